//! The elements of `{"instances": […]}` or of an array, one after the other, without holding the
//! whole text.

use std::io::BufRead;

use super::filling::{RowSource, Taken};
use super::{InstanceConfig, Original, Place, RowsError, not_text, too_long};
use crate::{Code, Filler, Refusal};

/// The instances of a JSON text.
pub(super) struct Elements<R> {
    text: Scanner<R>,
    max_bytes: usize,
    row: usize,
    within: Within,
    config: InstanceConfig,
}

#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// The array is the whole text.
    Array,
    /// The array is a member of an object.
    Object,
    /// It has ended.
    Nothing,
}

impl<R: BufRead> Elements<R> {
    /// Reads as far as the first instance.
    pub fn new(input: R, max_bytes: usize, config: InstanceConfig) -> Result<Self, RowsError> {
        let mut text = Scanner { input, offset: 0, line: 1 };
        let within = match text.peek()? {
            None => return Err(text.refuse("expected JSON, got nothing".to_owned())),
            Some(b'[') => Within::Array,
            Some(b'{') => {
                text.skip()?;
                text.instances(max_bytes)?;
                Within::Object
            }
            Some(_) => {
                let why = "expected an object with \"instances\", or an array of instances";
                return Err(text.refuse_at(why));
            }
        };
        match text.peek()? {
            Some(b'[') => text.skip()?,
            _ => return Err(text.refuse_at("\"instances\": expected an array")),
        }
        Ok(Self { text, max_bytes, row: 0, within, config })
    }

    /// Whether there is another element; at the array's end, what follows is read too.
    fn more(&mut self) -> Result<bool, RowsError> {
        if self.within == Within::Nothing {
            return Ok(false);
        }
        match self.text.peek()? {
            Some(b']') => self.text.skip()?,
            Some(b',') if self.row > 0 => {
                self.text.skip()?;
                return Ok(true);
            }
            Some(_) if self.row == 0 => return Ok(true),
            _ => {
                let why = format!("expected a comma or the array's end after instances[{}]", self.row - 1);
                return Err(self.text.refuse_at(&why));
            }
        }
        if self.within == Within::Object {
            match self.text.peek()? {
                Some(b'}') => self.text.skip()?,
                Some(b',') => {
                    self.text.skip()?;
                    let key = self.text.key(self.max_bytes)?;
                    return Err(self.text.refuse(member(&key)));
                }
                _ => return Err(self.text.refuse_at("expected the object's end after \"instances\"")),
            }
        }
        self.within = Within::Nothing;
        match self.text.peek()? {
            None => Ok(false),
            Some(_) => Err(self.text.refuse_at("expected the text's end")),
        }
    }
}

/// A member beside `instances`.
fn member(key: &str) -> String {
    match key {
        "instances" => "\"instances\" stands twice".to_owned(),
        "parameters" => "expected \"instances\" alone, got \"parameters\" (a file has none: they go with the command or the job)".to_owned(),
        other => format!("expected \"instances\", got {}", crate::quoted(other)),
    }
}

impl<R: BufRead + Send> RowSource for Elements<R> {
    type Row = String;

    fn next(&mut self) -> Result<Option<Taken<String>>, RowsError> {
        if !self.more()? {
            return Ok(None);
        }
        self.text.peek()?;
        let place = Place { row: self.row, line: Some(self.text.line) };
        self.row += 1;
        let mut bytes = Vec::new();
        let length = self.text.value(self.max_bytes, &mut bytes)?;
        if length == 0 {
            let why = format!("expected a value for instances[{}]", place.row);
            return Err(self.text.refuse_at(&why));
        }
        let row = if length > self.max_bytes {
            Err(too_long(place, self.max_bytes, length))
        } else {
            String::from_utf8(bytes).map_err(|cause| not_text(place, cause.utf8_error()))
        };
        Ok(Some(Taken { place, row }))
    }

    fn fill(&self, place: Place, row: &String, filler: &mut Filler<'_>) -> Result<(), Refusal> {
        filler.text(place.row, &self.config.instance(place, row)?)
    }

    fn bytes(row: &String) -> usize {
        row.len()
    }

    fn original(&self, row: Option<String>) -> Original {
        row.map_or(Original::Lost, Original::Json)
    }
}

/// Finds where values begin and end; what is between is the decoder's affair.
struct Scanner<R> {
    input: R,
    offset: u64,
    line: u64,
}

impl<R: BufRead> Scanner<R> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Result<Option<u8>, RowsError> {
        loop {
            let chunk = self.input.fill_buf().map_err(RowsError::of)?;
            let Some(&first) = chunk.first() else { return Ok(None) };
            if !matches!(first, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(Some(first));
            }
            self.skip()?;
        }
    }

    /// Passes over one byte.
    fn skip(&mut self) -> Result<(), RowsError> {
        let first = self.input.fill_buf().map_err(RowsError::of)?.first().copied();
        if let Some(byte) = first {
            self.line += u64::from(byte == b'\n');
            self.offset += 1;
            self.input.consume(1);
        }
        Ok(())
    }

    /// Passes over the members before `instances`, of which there may be none.
    fn instances(&mut self, max_bytes: usize) -> Result<(), RowsError> {
        if self.peek()? == Some(b'}') {
            return Err(self.refuse("expected \"instances\", got none".to_owned()));
        }
        let key = self.key(max_bytes)?;
        if key == "instances" { Ok(()) } else { Err(self.refuse(member(&key))) }
    }

    /// A member's name and its colon.
    fn key(&mut self, max_bytes: usize) -> Result<String, RowsError> {
        if self.peek()? != Some(b'"') {
            return Err(self.refuse_at("expected a member's name"));
        }
        let mut bytes = Vec::new();
        let length = self.value(max_bytes.min(1 << 16), &mut bytes)?;
        let key = serde_json::from_slice::<String>(&bytes).unwrap_or_default();
        if length > bytes.len() || self.peek()? != Some(b':') {
            return Err(self.refuse_at("expected a member's name and a colon"));
        }
        self.skip()?;
        Ok(key)
    }

    /// Reads over one value and gives its length; its bytes are kept if they are few enough.
    fn value(&mut self, max_bytes: usize, into: &mut Vec<u8>) -> Result<usize, RowsError> {
        let (mut length, mut depth) = (0usize, 0usize);
        let (mut text, mut escaped) = (false, false);
        loop {
            let chunk = self.input.fill_buf().map_err(RowsError::of)?;
            let ended = chunk.is_empty();
            let mut taken = 0;
            let mut whole = false;
            for &byte in chunk {
                if !text
                    && depth == 0
                    && matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r')
                {
                    whole = true;
                    break;
                }
                taken += 1;
                self.line += u64::from(byte == b'\n');
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if text => escaped = true,
                    b'"' => {
                        text = !text;
                        whole = !text && depth == 0;
                    }
                    _ if text => {}
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => {
                        depth -= 1;
                        whole = depth == 0;
                    }
                    _ => {}
                }
                if whole {
                    break;
                }
            }
            length += taken;
            if length <= max_bytes {
                into.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            } else {
                *into = Vec::new();
            }
            self.offset += taken as u64;
            self.input.consume(taken);
            if ended && (text || depth > 0) {
                let why = format!("expected the end of a value, got the text's after byte {}", self.offset);
                return Err(self.refuse(why));
            }
            if whole || ended {
                return Ok(length);
            }
        }
    }

    fn refuse(&self, why: String) -> RowsError {
        Refusal { code: Code::InvalidJson, path: String::new(), why }.into()
    }

    /// What was expected, what is there instead, and where.
    fn refuse_at(&mut self, expected: &str) -> RowsError {
        let got = match self.input.fill_buf() {
            Ok([]) => "the text's end".to_owned(),
            Ok([first, ..]) => format!("{:?}", char::from(*first)),
            Err(cause) => return RowsError::of(cause),
        };
        self.refuse(format!("{expected}, got {got} at byte {} (line {})", self.offset, self.line))
    }
}
