//! XML as S3 sends and takes it.

use std::collections::BTreeMap;

use xmlparser::{ElementEnd, Token, Tokenizer};

use crate::double::refusal::Refusal;

/// The tags of a `Tagging` body.
pub fn tags(body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut tags = BTreeMap::new();
    let mut name = None;
    for (path, text) in texts(body)? {
        match path.as_str() {
            "Tagging/TagSet/Tag/Key" => name = Some(text),
            "Tagging/TagSet/Tag/Value" => {
                let name = name.take().ok_or_else(malformed)?;
                if tags.insert(name, text).is_some() {
                    return Err(Refusal::Named("InvalidTag", "a name twice".to_owned()));
                }
            }
            _ => {}
        }
    }
    Ok(tags)
}

/// Numbers and ETags of a `CompleteMultipartUpload` body.
pub fn parts(body: &[u8]) -> Result<Vec<(u32, String)>, Refusal> {
    let (mut numbers, mut etags) = (Vec::new(), Vec::new());
    for (path, text) in texts(body)? {
        match path.as_str() {
            "CompleteMultipartUpload/Part/PartNumber" => {
                numbers.push(text.trim().parse().map_err(|_| malformed())?);
            }
            "CompleteMultipartUpload/Part/ETag" => etags.push(text),
            _ => {}
        }
    }
    if numbers.len() != etags.len() {
        return Err(malformed());
    }
    Ok(numbers.into_iter().zip(etags).collect())
}

pub fn tagging(tags: &BTreeMap<String, String>) -> String {
    let tags: String = tags
        .iter()
        .map(|(name, value)| {
            format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(name), escape(value))
        })
        .collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

pub fn error(code: &str, message: &str, resource: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message>\
         <Resource>{}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>",
        escape(message),
        escape(resource)
    )
}

pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push_str(&format!("&#x{:x};", u32::from(letter))),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Every element that holds no other, with its path and text, in order.
fn texts(body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut found = Vec::new();
    let mut is_leaf = false;
    for token in Tokenizer::from(body) {
        match token.map_err(|_| malformed())? {
            Token::ElementStart { local, .. } => {
                path.push(local.as_str().to_owned());
                text.clear();
                is_leaf = true;
            }
            Token::Text { text: piece } => text.push_str(&unescape(piece.as_str()).ok_or_else(malformed)?),
            Token::ElementEnd { end: ElementEnd::Open, .. } => {}
            Token::ElementEnd { .. } => {
                if is_leaf {
                    found.push((path.join("/"), std::mem::take(&mut text)));
                }
                is_leaf = false;
                path.pop();
            }
            _ => {}
        }
    }
    Ok(found)
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (name, after) = after.split_once(';')?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let number = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(number)?
            }
        });
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

fn malformed() -> Refusal {
    Refusal::Named("MalformedXML", "no XML of the published schema".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        for text in ["a&b<c>\"d'", "\u{1}\t\n", "æøå 雲", ""] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn tags_are_read() {
        let tags_of: BTreeMap<String, String> =
            [("a", "1"), ("b & c", "<2>"), ("empty", "")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(tags(tagging(&tags_of).as_bytes()), Ok(tags_of));
        assert!(tags(b"<Tagging><TagSet>").is_ok_and(|tags| tags.is_empty()));
        assert!(tags(b"<<<").is_err());
    }
}
