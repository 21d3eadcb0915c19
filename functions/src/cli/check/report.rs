//! The report of a check: `report.json`, and `report.html`, which needs nothing else.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;

use ampoule_wire::media;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

use super::compare::Answer;
use super::matrix::{Differing, Matrix, Outcome, Row};
use crate::cli::outcome::publish;

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1f24; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem; border-bottom: 1px solid #d8dce2; overflow-wrap: anywhere }
.equal td, .within td { background: #eef8f0 }
.different td, .failed td { background: #fdeeee; font-weight: 600 }
.absent td { color: #6b7280 }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top }
figure img { max-width: 20rem; border: 1px solid #d8dce2; image-rendering: pixelated }
code { overflow-wrap: anywhere }
";

/// Writes both files into `folder`, which is made if it isn't there.
///
/// # Errors
/// They can't be written.
pub fn write(folder: &Path, matrix: &Matrix) -> anyhow::Result<()> {
    publish(&folder.join("report.json"), format!("{:#}\n", matrix.json()).as_bytes())?;
    publish(&folder.join("report.html"), page(matrix).as_bytes())
}

fn page(matrix: &Matrix) -> String {
    let title = escaped(&format!("{} {}", matrix.name, matrix.version));
    let verdict =
        if matrix.holds() { "The answers are the same" } else { "The answers are not the same everywhere" };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: check</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{verdict}.</p>\n<table>\n"
    );
    for (name, value) in matrix.about() {
        let _ = writeln!(page, "<tr><th>{name}</th><td><code>{}</code></td></tr>", escaped(&value));
    }
    page.push_str("</table>\n<h2>Environments</h2>\n<table>\n");
    page.push_str("<tr><th>native</th><td>the reference</td></tr>\n");
    for row in &matrix.rows {
        let (class, name, words) = (class(row), escaped(&row.name), escaped(&matrix.words(row)));
        let _ = writeln!(page, "<tr class=\"{class}\"><th>{name}</th><td>{words}</td></tr>");
    }
    page.push_str("</table>\n");
    for row in &matrix.rows {
        if let Outcome::Different { differences, .. } = &row.outcome {
            let _ = writeln!(page, "<h2>{}</h2>", escaped(&row.name));
            for differing in differences {
                let _ = writeln!(page, "<p>{}</p>", escaped(&differing.words()));
                pictures(matrix, &row.name, differing, &mut page);
            }
        }
    }
    example(matrix, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

fn class(row: &Row) -> &'static str {
    match row.outcome {
        Outcome::Equal => "equal",
        Outcome::Within { .. } => "within",
        Outcome::Different { .. } => "different",
        Outcome::Failed(_) => "failed",
        Outcome::Absent { .. } => "absent",
    }
}

/// The reference's picture, the other's and where they differ.
fn pictures(matrix: &Matrix, name: &str, differing: &Differing, page: &mut String) {
    let expected = matrix.reference.get(differing.instance).and_then(picture);
    let actual = picture(&differing.actual);
    for (caption, bytes) in [("native", &expected), (name, &actual)] {
        if let Some(bytes) = bytes {
            figure(caption, bytes, page);
        }
    }
    if let (Some(expected), Some(actual)) = (expected, actual)
        && let Some(bytes) = difference(&expected, &actual)
    {
        figure("where they differ", &bytes, page);
    }
}

/// The first instance that has a picture for an answer.
fn example(matrix: &Matrix, page: &mut String) {
    let first =
        matrix.reference.iter().enumerate().find_map(|(index, answer)| Some((index, picture(answer)?)));
    if let Some((index, mask)) = first {
        let _ = writeln!(page, "<h2>For example</h2>");
        let input = matrix.instances.get(index).and_then(blob);
        if let Some(bytes) = input {
            figure(&format!("instances[{index}]"), &bytes, page);
        }
        figure("the native engine's answer", &mask, page);
    }
}

fn picture(answer: &Answer) -> Option<Vec<u8>> {
    match answer {
        Answer::Given(prediction) => blob(prediction),
        Answer::Refused(_) | Answer::Failed(_) => None,
    }
}

/// A blob that browsers show.
fn blob(value: &Value) -> Option<Vec<u8>> {
    let text =
        value.get("b64").or_else(|| value.as_object()?.values().find_map(|member| member.get("b64")))?;
    let bytes = STANDARD.decode(text.as_str()?).ok()?;
    matches!(media::sniff(&bytes), Some("image/png" | "image/jpeg" | "image/webp")).then_some(bytes)
}

fn figure(caption: &str, bytes: &[u8], page: &mut String) {
    // Its type is by its bytes, and never by what was said of it.
    let Some(content_type) = media::sniff(bytes) else { return };
    let caption = escaped(caption);
    let data = STANDARD.encode(bytes);
    let _ = writeln!(
        page,
        "<figure><img alt=\"{caption}\" src=\"data:{content_type};base64,{data}\"><figcaption>{caption}</figcaption></figure>"
    );
}

/// A PNG that is red where two pictures of one size differ, and pale grey elsewhere.
fn difference(expected: &[u8], actual: &[u8]) -> Option<Vec<u8>> {
    let open = |bytes| Some(image::load_from_memory(bytes).ok()?.to_rgba16());
    let (expected, actual) = (open(expected)?, open(actual)?);
    if expected.dimensions() != actual.dimensions() {
        return None;
    }
    let (width, height) = expected.dimensions();
    let picture = RgbImage::from_fn(width, height, |x, y| {
        if expected.get_pixel(x, y) == actual.get_pixel(x, y) {
            Rgb([236, 238, 241])
        } else {
            Rgb([214, 40, 40])
        }
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).ok()?;
    Some(bytes.into_inner())
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_others_stays_text() {
        assert_eq!(
            escaped("<script>alert('a & \"b\"')</script>\u{1b}"),
            "&lt;script&gt;alert(&#39;a &amp; &quot;b&quot;&#39;)&lt;/script&gt;\u{fffd}"
        );
    }
}
