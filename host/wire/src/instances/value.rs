//! The value of one input: a scalar, or arrays within arrays down to one.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::row::{by_name, by_position};
use super::{Builder, Code, Part, Scalar, Sink};

/// Reads such a value.
pub(super) struct ValueSeed<'s, 'a> {
    pub sink: &'s mut Sink<'a>,
    pub input: usize,
    /// How many arrays are open already.
    pub axis: usize,
    /// Whether this is the whole instance, so that an object may name the input.
    pub alone: bool,
}

impl ValueSeed<'_, '_> {
    fn scalar<E: de::Error>(self, value: Scalar<'_>) -> Result<(), E> {
        let Self { sink, input, axis, .. } = self;
        sink.scalar(input, axis, value).map_err(|why| sink.refuse(Code::InvalidInstance, why))
    }
}

/// What has to stand below `axis` open arrays.
pub(super) fn expected(builder: &Builder<'_>, axis: usize) -> String {
    if axis == 0 {
        return builder.expected();
    }
    if axis == builder.rank() {
        return format!("expected {}", builder.expects());
    }
    match builder.axis(axis) {
        Some(size) => format!("expected an array of {size}"),
        None => "expected an array".to_owned(),
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of an input")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Signed(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (input, axis, sink) = (self.input, self.axis, self.sink);
        let Some(builder) = sink.builder(input) else { return Ok(()) };
        if self.alone && builder.rank() == 0 {
            return by_position(sink, items);
        }
        if axis >= builder.rank() {
            let why = format!("{}, got an array", expected(builder, axis));
            return Err(sink.refuse(Code::InvalidInstance, why));
        }
        let size = builder.axis(axis);
        sink.path.push(Part::Index(0));
        let mut count = 0u32;
        loop {
            if size.is_some_and(|size| count == size) {
                if items.next_element::<de::IgnoredAny>()?.is_some() {
                    sink.path.pop();
                    let why = format!("expected an array of {count}, got more");
                    return Err(sink.refuse(Code::InvalidInstance, why));
                }
                break;
            }
            if let Some(last) = sink.path.last_mut() {
                *last = Part::Index(count as usize);
            }
            if items
                .next_element_seed(ValueSeed { sink: &mut *sink, input, axis: axis + 1, alone: false })?
                .is_none()
            {
                break;
            }
            count += 1;
        }
        sink.path.pop();
        match size {
            Some(size) if size != count => {
                let why = format!("expected an array of {size}, got {count}");
                Err(sink.refuse(Code::InvalidInstance, why))
            }
            _ => {
                if let Some(builder) = sink.builder(input) {
                    builder.settle(axis, count);
                }
                Ok(())
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.alone {
            return by_name(self.sink, map);
        }
        let axis = self.axis;
        let Some(builder) = self.sink.builder(self.input) else { return Ok(()) };
        let why = format!("{}, got an object", expected(builder, axis));
        Err(self.sink.refuse(Code::InvalidInstance, why))
    }
}
