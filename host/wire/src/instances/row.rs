//! An instance of several inputs: an object by name, or an array in order.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::ValueSeed;
use super::{Code, Part, Sink, quoted, refuse_others};

/// Reads such an instance.
pub(super) struct RowSeed<'s, 'a> {
    pub sink: &'s mut Sink<'a>,
}

impl<'s, 'a> RowSeed<'s, 'a> {
    fn sink(self) -> &'s mut Sink<'a> {
        self.sink
    }

    fn expected(&self) -> String {
        let names: Vec<&str> = self.sink.fields.iter().map(|field| field.name.as_str()).collect();
        format!("an object or an array of {} values ({})", names.len(), names.join(", "))
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expected())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        by_position(self.sink, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        by_name(self.sink, map)
    }

    refuse_others!(Code::InvalidInstance, Self::expected; scalars);
}

/// An array of inputs in order.
pub(super) fn by_position<'de, A: SeqAccess<'de>>(sink: &mut Sink<'_>, mut items: A) -> Result<(), A::Error> {
    let inputs = sink.fields.len();
    for input in 0..inputs {
        sink.path.push(Part::Index(input));
        let seed = ValueSeed { sink: &mut *sink, input, axis: 0, alone: false };
        if items.next_element_seed(seed)?.is_none() {
            sink.path.pop();
            return Err(sink.refuse(Code::InvalidInstance, format!("expected {inputs} values, got {input}")));
        }
        sink.path.pop();
    }
    if items.next_element::<de::IgnoredAny>()?.is_some() {
        return Err(sink.refuse(Code::InvalidInstance, format!("expected {inputs} values, got more")));
    }
    Ok(())
}

/// An object of inputs by name.
pub(super) fn by_name<'de, A: MapAccess<'de>>(sink: &mut Sink<'_>, mut map: A) -> Result<(), A::Error> {
    let fields = sink.fields;
    let mut seen = vec![false; fields.len()];
    let mut next = 0;
    while let Some(input) = map.next_key_seed(NameSeed { sink: &mut *sink, next })? {
        next = input + 1;
        sink.path.push(Part::Key(&fields[input].name));
        if std::mem::replace(&mut seen[input], true) {
            return Err(sink.refuse(Code::InvalidInstance, "stands twice"));
        }
        map.next_value_seed(ValueSeed { sink: &mut *sink, input, axis: 0, alone: false })?;
        sink.path.pop();
    }
    for (input, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
        let missing = if fields[input].missing {
            sink.builder(input).is_some_and(|builder| builder.push_missing().is_ok())
        } else {
            false
        };
        if !missing {
            let why = format!("expected \"{}\", which is missing", fields[input].name);
            return Err(sink.refuse(Code::InvalidInstance, why));
        }
    }
    Ok(())
}

/// The name of an input; gives its index.
struct NameSeed<'s, 'a> {
    sink: &'s mut Sink<'a>,
    /// Where the name is looked for first: callers mostly keep the signature's order.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = usize;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an input")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<usize, E> {
        let fields = self.sink.fields;
        if fields.get(self.next).is_some_and(|field| field.name == name) {
            return Ok(self.next);
        }
        fields.iter().position(|field| field.name == name).ok_or_else(|| {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            let why = format!("expected {}, got the key {}", names.join(", "), quoted(name));
            self.sink.refuse(Code::InvalidInstance, why)
        })
    }
}
