//! Bodies as AWS's clients send them: plain, or cut into chunks with checksums behind them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::double::http::Request;
use crate::double::refusal::Refusal;

/// The content of a request that writes.
pub fn content(request: &Request) -> Result<Bytes, Refusal> {
    if !is_chunked(request) {
        return Ok(request.body.clone());
    }
    let (content, _) = parse(&request.body).ok_or_else(|| Refusal::Invalid("a broken chunk".to_owned()))?;
    let told = request.header("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
    if told.is_some_and(|length: usize| length != content.len()) {
        return Err(Refusal::Named("IncompleteBody", "another length than was told".to_owned()));
    }
    Ok(content)
}

/// What stands behind the last chunk.
pub fn trailers(request: &Request) -> BTreeMap<String, String> {
    if !is_chunked(request) {
        return BTreeMap::new();
    }
    parse(&request.body).map(|(_, trailers)| trailers).unwrap_or_default()
}

fn is_chunked(request: &Request) -> bool {
    request.header("x-amz-content-sha256").is_some_and(|kind| kind.starts_with("STREAMING-"))
        || request
            .header("content-encoding")
            .is_some_and(|encodings| encodings.split(',').any(|encoding| encoding.trim() == "aws-chunked"))
}

fn parse(mut body: &[u8]) -> Option<(Bytes, BTreeMap<String, String>)> {
    let mut content = BytesMut::new();
    loop {
        let head = std::str::from_utf8(line(&mut body)?).ok()?;
        let length = usize::from_str_radix(head.split(';').next()?, 16).ok()?;
        if length == 0 {
            break;
        }
        let (chunk, rest) = body.split_at_checked(length)?;
        content.extend_from_slice(chunk);
        body = rest.strip_prefix(b"\r\n")?;
    }
    let mut trailers = BTreeMap::new();
    while let Some(text) = line(&mut body) {
        let text = std::str::from_utf8(text).ok()?;
        if let Some((name, value)) = text.split_once(':') {
            trailers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    Some((content.freeze(), trailers))
}

fn line<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = body.windows(2).position(|two| two == b"\r\n")?;
    let (line, rest) = body.split_at(end);
    *body = rest.get(2..)?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_content_and_trailers() {
        let body = b"3;chunk-signature=00\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        let (content, trailers) = parse(body).expect("it is well formed");
        assert_eq!(content, "abcde");
        assert_eq!(trailers.get("x-amz-checksum-crc32").map(String::as_str), Some("AAAA"));
    }

    #[test]
    fn a_cut_body_is_no_content() {
        let body = b"3\r\nabc\r\n0\r\n\r\n";
        for length in 0..9 {
            assert!(parse(body.get(..length).expect("it is longer")).is_none(), "{length}");
        }
    }
}
