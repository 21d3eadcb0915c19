//! Text on its way in: unpacked where it is gzip, and without a byte order mark.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::{RowsError, broken};

/// Bytes that are asked for at one time.
const BUFFER: usize = 64 << 10;

/// What the first bytes of a gzip file are (RFC 1952, section 2.3.1): its mark, and `deflate`.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// The byte order mark of UTF-8.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The text of `input`.
///
/// # Errors
/// It can't be read, or is UTF-16.
pub(super) fn text<'a>(input: impl Read + Send + 'a) -> Result<Box<dyn BufRead + Send + 'a>, RowsError> {
    let (first, input) = first_bytes(Own(input))?;
    let input: Box<dyn Read + Send + 'a> = if first == GZIP {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, Cursor::new(first).chain(input))))
    } else {
        Box::new(Cursor::new(first).chain(input))
    };
    let (mut first, input) = first_bytes(input)?;
    if first == MARK {
        first.clear();
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = first.as_slice() {
        return Err(broken("expected UTF-8, got UTF-16 (its byte order mark)".to_owned()).into());
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER, Cursor::new(first).chain(input))))
}

/// A text in memory without its byte order mark.
pub(super) fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(&MARK).unwrap_or(text)
}

/// Up to three bytes of the beginning, however few come at a time, and the rest.
fn first_bytes<R: Read>(mut input: R) -> Result<(Vec<u8>, R), RowsError> {
    let mut first = Vec::with_capacity(3);
    (&mut input).take(3).read_to_end(&mut first).map_err(RowsError::of)?;
    Ok((first, input))
}

/// Marks the errors of the input itself, so that they are told from those of a decoder.
struct Own<R>(R);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OwnError(io::Error);

impl<R: Read> Read for Own<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(io::Error::new(cause.kind(), OwnError(cause))),
                Ok(read) => return Ok(read),
            }
        }
    }
}

/// The input's own error, or that of a decoder.
pub(super) fn origin(cause: io::Error) -> Result<io::Error, io::Error> {
    if cause.get_ref().is_some_and(|inner| inner.is::<OwnError>()) {
        let inner = cause.into_inner().expect("it was looked at").downcast::<OwnError>();
        return Ok(inner.expect("it was looked at").0);
    }
    Err(cause)
}
