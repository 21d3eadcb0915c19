//! Whether two answers are the same: to the bit, within a tolerance, or not.

use ampoule_host::{Dtype, Field};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;
use serde_json::{Map, Value};

/// What became of one instance in one environment.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The prediction, as `ampoule predict` prints it. A picture is `{"content_type": …, "b64": …}`.
    Given(Value),
    /// The instance is at fault, and why.
    Refused(String),
    /// The model is at fault, and why.
    Failed(String),
}

/// How one answer compares with the reference's.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Equal,
    /// The largest difference of two numbers, and where it is.
    Within {
        difference: f64,
        at: String,
    },
    Different(Difference),
}

/// Where two answers part.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The path within the prediction, such as `.probabilities[1]`; empty for the whole.
    pub at: String,
    pub expected: String,
    pub actual: String,
}

/// Compares answers by these rules.
pub struct Rules<'a> {
    pub outputs: &'a [Field],
    /// Absolute or relative, whichever is larger.
    pub tolerance: f64,
    /// Whether an answer may leave fields out.
    pub partial: bool,
}

impl Rules<'_> {
    /// Compares `actual` with the reference's answer to the same instance.
    pub fn compare(&self, expected: &Answer, actual: &Answer) -> Verdict {
        match (expected, actual) {
            (Answer::Given(expected), Answer::Given(actual)) => {
                let mut found = Found { verdict: Verdict::Equal, tolerance: self.tolerance };
                self.prediction(expected, actual, &mut found);
                found.verdict
            }
            (Answer::Refused(_), Answer::Refused(_)) | (Answer::Failed(_), Answer::Failed(_)) => {
                Verdict::Equal
            }
            _ => different(String::new(), answer(expected), answer(actual)),
        }
    }

    fn prediction(&self, expected: &Value, actual: &Value, found: &mut Found) {
        let only = match self.outputs {
            [only] => Some(only),
            _ => None,
        };
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => self.fields(expected, actual, found),
            // A single output may come under its name.
            (_, Value::Object(members)) if members.len() == 1 => {
                match only.and_then(|only| Some((only, members.get(&only.name)?))) {
                    Some((only, actual)) => value(expected, actual, "", number(Some(only)), found),
                    None => value(expected, actual, "", Number::Any, found),
                }
            }
            _ => value(expected, actual, "", number(only), found),
        }
    }

    fn fields(&self, expected: &Map<String, Value>, actual: &Map<String, Value>, found: &mut Found) {
        let mut compared = 0;
        for (name, expected) in expected {
            let path = member("", name);
            let Some(actual) = actual.get(name) else {
                if !self.partial {
                    found.differ(path, show(expected), "nothing".to_owned());
                }
                continue;
            };
            compared += 1;
            if name == "b64" {
                picture(expected, actual, found);
            } else {
                let field = self.outputs.iter().find(|field| field.name == *name);
                value(expected, actual, &path, number(field), found);
            }
        }
        for (name, actual) in actual {
            if !expected.contains_key(name) {
                found.differ(member("", name), "nothing".to_owned(), show(actual));
            }
        }
        if compared == 0 && !expected.is_empty() {
            let names: Vec<&str> = expected.keys().map(String::as_str).collect();
            found.differ(String::new(), format!("one of {}", names.join(", ")), "none of them".to_owned());
        }
    }
}

/// What is known so far of one instance.
struct Found {
    verdict: Verdict,
    tolerance: f64,
}

impl Found {
    fn differ(&mut self, at: String, expected: String, actual: String) {
        if !matches!(self.verdict, Verdict::Different(_)) {
            self.verdict = different(at, expected, actual);
        }
    }

    fn numbers(&mut self, at: &str, expected: f64, actual: f64) {
        let difference = (expected - actual).abs();
        let allowed = self.tolerance.max(self.tolerance * expected.abs());
        if difference.is_nan() || difference > allowed {
            self.differ(at.to_owned(), expected.to_string(), actual.to_string());
            return;
        }
        let larger = match &self.verdict {
            Verdict::Equal => true,
            Verdict::Within { difference: before, .. } => difference > *before,
            Verdict::Different(_) => false,
        };
        if larger {
            self.verdict = Verdict::Within { difference, at: at.to_owned() };
        }
    }
}

fn different(at: String, expected: String, actual: String) -> Verdict {
    Verdict::Different(Difference { at, expected, actual })
}

/// What a number in a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Single,
    Double,
    Whole,
    /// As it is written.
    Any,
}

fn number(field: Option<&Field>) -> Number {
    match field.and_then(|field| field.dtype) {
        Some(Dtype::F16 | Dtype::F32) => Number::Single,
        Some(Dtype::F64) => Number::Double,
        Some(Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64) => Number::Whole,
        Some(Dtype::Bool | Dtype::String) | None => Number::Any,
    }
}

fn value(expected: &Value, actual: &Value, at: &str, kind: Number, found: &mut Found) {
    match (expected, actual) {
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                value(expected, actual, &format!("{at}[{index}]"), kind, found);
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            let items = |list: &[Value]| format!("{} items", list.len());
            found.differ(at.to_owned(), items(expected), items(actual));
        }
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, expected) in expected {
                match actual.get(name) {
                    Some(actual) => value(expected, actual, &member(at, name), kind, found),
                    None => found.differ(member(at, name), show(expected), "nothing".to_owned()),
                }
            }
            for (name, actual) in actual.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                found.differ(member(at, name), "nothing".to_owned(), show(actual));
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            let float = matches!(kind, Number::Single | Number::Double);
            let whole = kind == Number::Whole || !(float || one.is_f64() || other.is_f64());
            let [expected, actual] = [one, other].map(|number| number.as_f64().unwrap_or(f64::NAN));
            let equal = match kind {
                _ if whole => one == other,
                // Both are written with as many digits as tell singles apart.
                Number::Single => (expected as f32).to_bits() == (actual as f32).to_bits(),
                _ => expected.to_bits() == actual.to_bits(),
            };
            match (equal, whole) {
                (true, _) => {}
                (false, true) => found.differ(at.to_owned(), one.to_string(), other.to_string()),
                (false, false) => found.numbers(at, expected, actual),
            }
        }
        _ if expected == actual => {}
        _ => found.differ(at.to_owned(), show(expected), show(actual)),
    }
}

/// Two blobs as base64: pictures are compared by their pixels, others by their bytes.
fn picture(expected: &Value, actual: &Value, found: &mut Found) {
    if expected == actual {
        return;
    }
    let at = "b64".to_owned();
    let bytes = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok());
    let (Some(one), Some(other)) = (bytes(expected), bytes(actual)) else {
        found.differ(at, "a blob in base64".to_owned(), show(actual));
        return;
    };
    if one == other {
        return;
    }
    let (Ok(expected), Ok(actual)) = (image::load_from_memory(&one), image::load_from_memory(&other)) else {
        let at_byte = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        let blob = |bytes: &[u8]| format!("a blob of {} bytes", bytes.len());
        found.differ(at, blob(&one), format!("{}, other from byte {at_byte} on", blob(&other)));
        return;
    };
    let size = |picture: &DynamicImage| format!("{} x {} pixels", picture.width(), picture.height());
    if size(&expected) != size(&actual) {
        found.differ(at, size(&expected), size(&actual));
        return;
    }
    let (expected, actual) = (expected.to_rgba16(), actual.to_rgba16());
    let mut differing =
        expected.enumerate_pixels().zip(actual.pixels()).filter(|((.., one), other)| one != other);
    if let Some(((x, y, one), other)) = differing.next() {
        let count = 1 + differing.count();
        let all = expected.pixels().len();
        let show = |pixel: &image::Rgba<u16>| {
            let channels: Vec<String> = pixel.0.iter().map(|channel| (channel / 257).to_string()).collect();
            format!("({})", channels.join(", "))
        };
        let at = format!("pixel ({x}, {y}), the first of {count} of {all}");
        found.differ(at, show(one), show(other));
    }
}

fn member(at: &str, name: &str) -> String {
    format!("{at}.{name}")
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Given(prediction) => show(prediction),
        Answer::Refused(why) => format!("a refusal ({})", cut(why)),
        Answer::Failed(why) => format!("a failure ({})", cut(why)),
    }
}

fn show(value: &Value) -> String {
    cut(&value.to_string())
}

/// At most so many characters of a value are shown.
const SHOWN: usize = 120;

/// A text that a message can hold: one line, cut.
pub fn cut(text: &str) -> String {
    let line = line(text);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// A text as one line.
pub fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs() -> Vec<Field> {
        let field = |json: Value| serde_json::from_value(json).expect("a field");
        vec![
            field(json!({ "name": "label", "dtype": "string" })),
            field(json!({ "name": "count", "dtype": "i64" })),
            field(json!({ "name": "p", "dtype": "f32", "shape": [2] })),
        ]
    }

    fn compared(expected: Value, actual: Value, partial: bool) -> String {
        let outputs = outputs();
        let rules = Rules { outputs: &outputs, tolerance: 1e-5, partial };
        match rules.compare(&Answer::Given(expected), &Answer::Given(actual)) {
            Verdict::Equal => "equal".to_owned(),
            Verdict::Within { at, .. } => format!("within at {at}"),
            Verdict::Different(Difference { at, expected, actual }) => format!("{at}: {expected}, {actual}"),
        }
    }

    #[test]
    fn predictions_are_compared_value_by_value() {
        let reference = json!({ "label": "a", "count": 3, "p": [0.1, 0.9] });
        for (actual, partial, expected) in [
            (json!({ "label": "a", "count": 3, "p": [0.1, 0.9] }), false, "equal"),
            // A single's digits as a double has them.
            (json!({ "label": "a", "count": 3, "p": [0.10000000149011612, 0.9] }), false, "equal"),
            (json!({ "label": "a", "count": 3, "p": [0.100001, 0.900005] }), false, "within at .p[1]"),
            (json!({ "label": "a", "count": 3, "p": [0.1, 0.9001] }), false, ".p[1]: 0.9, 0.9001"),
            (json!({ "label": "a", "count": 4, "p": [0.1, 0.9] }), false, ".count: 3, 4"),
            (json!({ "label": "a", "count": 3.0, "p": [0.1, 0.9] }), false, ".count: 3, 3.0"),
            (json!({ "label": "b", "count": 3, "p": [0.1, 0.9] }), false, ".label: \"a\", \"b\""),
            (json!({ "label": "a", "count": 3, "p": [0.1] }), false, ".p: 2 items, 1 items"),
            (json!({ "label": "a", "count": 3 }), false, ".p: [0.1,0.9], nothing"),
            (json!({ "label": "a", "count": 3 }), true, "equal"),
            (json!({ "label": "a", "other": 3 }), true, ".other: nothing, 3"),
            (json!({}), true, ": one of label, count, p, none of them"),
            (json!("a"), true, ": {\"count\":3,\"label\":\"a\",\"p\":[0.1,0.9]}, \"a\""),
            (json!({ "label": "a", "count": 3, "p": [0.1, null] }), false, ".p[1]: 0.9, null"),
        ] {
            let got = compared(reference.clone(), actual.clone(), partial);
            // Maps keep an order of their own, with one feature or another of their library.
            let whole = actual == json!("a") && got.ends_with("}, \"a\"");
            assert!(
                got == expected || whole || (actual == json!({}) && got.ends_with("none of them")),
                "{actual}: {got}"
            );
        }
    }

    #[test]
    fn a_refusal_is_no_prediction_and_no_failure() {
        let outputs = outputs();
        let rules = Rules { outputs: &outputs, tolerance: 0.0, partial: false };
        let (refused, failed) = (Answer::Refused("one".to_owned()), Answer::Failed("two".to_owned()));
        assert_eq!(rules.compare(&refused, &Answer::Refused("other words".to_owned())), Verdict::Equal);
        for (expected, actual) in
            [(&refused, &failed), (&failed, &refused), (&refused, &Answer::Given(json!({ "label": "a" })))]
        {
            assert!(
                matches!(rules.compare(expected, actual), Verdict::Different(_)),
                "{expected:?}, {actual:?}"
            );
        }
    }

    #[test]
    fn pictures_are_compared_by_their_pixels() {
        let png = |value: u8| {
            let mut picture = image::GrayImage::new(4, 2);
            picture.put_pixel(3, 1, image::Luma([value]));
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
            let mut bytes = bytes.into_inner();
            // What comes behind the end is no picture any more.
            bytes.push(value);
            json!({ "content_type": "image/png", "b64": STANDARD.encode(bytes) })
        };
        assert_eq!(compared(png(7), png(7), false), "equal");
        assert_eq!(
            compared(png(7), png(9), false),
            "pixel (3, 1), the first of 1 of 8: (7, 7, 7, 255), (9, 9, 9, 255)"
        );
    }
}
