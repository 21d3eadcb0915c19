//! A request's body, read within limits of size and time, and decompressed within limits.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::Settings;
use super::refusal::Refusal;

/// Bodies above this are decompressed and parsed where they don't hold up other requests.
pub(crate) const LARGE: usize = 128 << 10;

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes as they come.
    pub max_bytes: usize,
    /// Bytes once decompressed.
    pub max_decoded_bytes: usize,
    /// The longest pause between two pieces.
    pub pause: Duration,
}

impl Bounds {
    pub fn of(settings: &Settings) -> Self {
        Self {
            max_bytes: settings.max_body_bytes,
            max_decoded_bytes: settings.max_decoded_bytes,
            pause: settings.body_timeout,
        }
    }
}

/// Reads a whole body.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, bounds: &Bounds) -> Result<Bytes, Refusal> {
    let gzip = is_gzip(headers)?;
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > bounds.max_bytes as u64) {
        return Err(too_large("the body", bounds.max_bytes).closing());
    }
    let mut whole: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(bounds.pause, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                let why = "the body ended before it was whole";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "incomplete_body", why).closing());
            }
            Err(_) => {
                let why = format!("no byte of the body came for {} s", bounds.pause.as_secs_f32());
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", why).closing());
            }
        };
        let Ok(piece) = frame.into_data() else { continue };
        let so_far = joined.len() + whole.as_ref().map_or(0, Bytes::len);
        if so_far + piece.len() > bounds.max_bytes {
            return Err(too_large("the body", bounds.max_bytes).closing());
        }
        // Most bodies are one piece, and then nothing is copied.
        if whole.is_none() && joined.is_empty() {
            whole = Some(piece);
        } else {
            if let Some(first) = whole.take() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&piece);
        }
    }
    let whole = whole.unwrap_or_else(|| joined.freeze());
    if !gzip {
        return Ok(whole);
    }
    // A small body can hold a large one.
    let max = bounds.max_decoded_bytes;
    tokio::task::spawn_blocking(move || decompress(&whole, max)).await.unwrap_or_else(|_| {
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the body could not be decompressed"))
    })
}

/// Whether the body is compressed; any encoding but one gzip is refused.
fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let refuse = |got: &str| {
        let why = format!("expected no content encoding or gzip, got {got:?}");
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", why).closing()
    };
    let Some(encoding) = encodings.next() else { return Ok(false) };
    if encodings.next().is_some() {
        return Err(refuse("several"));
    }
    match encoding.to_str().map(str::trim) {
        Ok(name) if name.eq_ignore_ascii_case("gzip") => Ok(true),
        Ok("" | "identity") => Ok(false),
        Ok(name) => Err(refuse(&name.chars().take(40).collect::<String>())),
        Err(_) => Err(refuse("no text")),
    }
}

fn decompress(body: &[u8], max_bytes: usize) -> Result<Bytes, Refusal> {
    let mut decoded = Vec::new();
    let mut reader = flate2::bufread::MultiGzDecoder::new(body).take(max_bytes as u64 + 1);
    reader.read_to_end(&mut decoded).map_err(|cause| {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_encoding", format!("not gzip: {cause}"))
    })?;
    if decoded.len() > max_bytes {
        return Err(too_large("the decompressed body", max_bytes));
    }
    Ok(decoded.into())
}

fn too_large(what: &str, max_bytes: usize) -> Refusal {
    let why = format!("{what} is too large: expected at most {max_bytes} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why)
}
