//! [`Ubjson`]: reads Universal Binary JSON (draft 12) as XGBoost writes it, through serde.
//!
//! Counted and typed arrays, counted objects; no-ops and high-precision numbers are refused, as are typed arrays of
//! elements without bytes, whose length would cost the file nothing. Every element read consumes bytes.

use serde::de::value::Error;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// A cursor over the bytes of one value.
pub(super) struct Ubjson<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: u32,
}

/// Objects and arrays within each other; XGBoost writes 8.
const MAX_DEPTH: u32 = 64;

impl<'de> Ubjson<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    fn wrong(&self, message: impl std::fmt::Display) -> Error {
        Error::custom(format_args!("{message} at byte {}", self.at))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.wrong("unexpected end of file")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn marker(&mut self) -> Result<u8, Error> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn slice(&mut self, length: usize) -> Result<&'de [u8], Error> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) {
            Some(slice) => {
                self.at += length;
                Ok(slice)
            }
            None => Err(self.wrong(format_args!("expected {length} more bytes, got the end of the file"))),
        }
    }

    fn integer(&mut self, marker: u8) -> Result<Option<i64>, Error> {
        Ok(Some(match marker {
            b'i' => self.take().map(i8::from_be_bytes)?.into(),
            b'U' | b'C' => self.take().map(u8::from_be_bytes)?.into(),
            b'I' => self.take().map(i16::from_be_bytes)?.into(),
            b'l' => self.take().map(i32::from_be_bytes)?.into(),
            b'L' => self.take().map(i64::from_be_bytes)?,
            _ => return Ok(None),
        }))
    }

    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.marker()?;
        let length = self.integer(marker)?.and_then(|length| usize::try_from(length).ok());
        length.ok_or_else(|| self.wrong("expected a length"))
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.length()?;
        let bytes = self.slice(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("expected UTF-8"))
    }

    /// Behind `[` or `{`: the type and number of elements, where they are given.
    fn container(&mut self, closing: u8) -> Result<Elements, Error> {
        let kind = match self.peek() {
            Some(b'$') => {
                self.at += 1;
                let kind = self.marker()?;
                if size(kind).is_none() || closing != b']' {
                    return Err(self.wrong(format_args!("typed elements {:?} are not read", kind as char)));
                }
                if self.peek() != Some(b'#') {
                    return Err(self.wrong("expected a count of typed elements"));
                }
                Some(kind)
            }
            _ => None,
        };
        let left = match self.peek() {
            Some(b'#') => {
                self.at += 1;
                Some(self.length()?)
            }
            _ => None,
        };
        Ok(Elements { kind, left, closing })
    }

    /// Whether another element follows; consumes the end if not.
    fn more(&mut self, elements: &mut Elements) -> Result<bool, Error> {
        match &mut elements.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.peek() == Some(elements.closing) => {
                self.at += 1;
                elements.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, Error> {
        if let Some(integer) = self.integer(marker)? {
            return visitor.visit_i64(integer);
        }
        match marker {
            b'd' => visitor.visit_f32(self.take().map(f32::from_be_bytes)?),
            b'D' => visitor.visit_f64(self.take().map(f64::from_be_bytes)?),
            b'S' => visitor.visit_borrowed_str(self.text()?),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'Z' => visitor.visit_unit(),
            b'[' => {
                let mut list = self.container(b']')?;
                self.enter(|reader| visitor.visit_seq(Within { reader, elements: &mut list }))
            }
            b'{' => {
                let mut fields = self.container(b'}')?;
                self.enter(|reader| visitor.visit_map(Within { reader, elements: &mut fields }))
            }
            _ => Err(self.wrong(format_args!("unexpected marker {:?}", marker as char))),
        }
    }

    fn enter<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(format_args!("expected at most {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn skip(&mut self, marker: u8) -> Result<(), Error> {
        if let Some(size) = size(marker) {
            return self.slice(size).map(drop);
        }
        let closing = match marker {
            b'S' => return self.text().map(drop),
            b'T' | b'F' | b'Z' => return Ok(()),
            b'[' => b']',
            b'{' => b'}',
            _ => return Err(self.wrong(format_args!("unexpected marker {:?}", marker as char))),
        };
        let mut elements = self.container(closing)?;
        if let (Some(size), Some(left)) = (elements.kind.and_then(size), elements.left) {
            return self.slice(size.saturating_mul(left)).map(drop);
        }
        self.enter(|reader| {
            while reader.more(&mut elements)? {
                if closing == b'}' {
                    reader.text()?;
                }
                let marker = reader.marker()?;
                reader.skip(marker)?;
            }
            Ok(())
        })
    }
}

/// Bytes of a number with this marker.
fn size(marker: u8) -> Option<usize> {
    Some(match marker {
        b'i' | b'U' | b'C' => 1,
        b'I' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}

struct Elements {
    kind: Option<u8>,
    left: Option<usize>,
    closing: u8,
}

struct Within<'r, 'de> {
    reader: &'r mut Ubjson<'de>,
    elements: &'r mut Elements,
}

impl<'de> SeqAccess<'de> for Within<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.reader.more(self.elements)? {
            return Ok(None);
        }
        match self.elements.kind {
            Some(kind) => seed.deserialize(Typed { reader: self.reader, kind }),
            None => seed.deserialize(&mut *self.reader),
        }
        .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        let left = self.reader.bytes.len() - self.reader.at;
        let size = self.elements.kind.and_then(size).unwrap_or(1);
        self.elements.left.map(|count| count.min(left / size))
    }
}

impl<'de> MapAccess<'de> for Within<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.reader.more(self.elements)? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> Deserializer<'de> for &mut Ubjson<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let marker = self.marker()?;
        self.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'Z') {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let marker = self.marker()?;
        self.skip(marker)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

/// An element of a typed array: no marker of its own.
struct Typed<'r, 'de> {
    reader: &'r mut Ubjson<'de>,
    kind: u8,
}

impl<'de> Deserializer<'de> for Typed<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.value(self.kind, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
