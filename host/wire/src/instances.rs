//! [`Decoder`]: a JSON request, checked against a signature while it is parsed.
//!
//! Values go straight from the text into their columns. The first one that doesn't fit ends the
//! parse, with its path: `instances[3].size[1]`.

mod blob;
mod fill;
mod row;
mod value;

pub use blob::blob;
pub use fill::{Cell, Filler, RowValues};

use std::fmt;

use crate::{Batch, Field, Form, Manifest, Media};
use serde::Deserialize as _;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::column::{Builder, Scalar};
use super::{Code, Refusal, quoted};
use blob::MediaSeed;
use row::RowSeed;
use value::{ValueSeed, expected};

/// A request, ready to be predicted.
#[derive(Clone, Debug)]
pub struct Request {
    pub instances: Batch,
    /// The text of the `parameters` object, if one was sent.
    pub parameters: Option<String>,
}

/// Reads instances for one signature.
pub struct Decoder<'a> {
    fields: &'a [Field],
    max_instances: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder for `manifest`'s inputs that refuses more than `max_instances`.
    pub fn new(manifest: &'a Manifest, max_instances: usize) -> Self {
        Self { fields: &manifest.inputs, max_instances }
    }

    /// Reads `{"instances": […], "parameters": {…}}`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first value at fault.
    pub fn request(&self, body: &[u8]) -> Result<Request, Refusal> {
        let mut sink = Sink::new(self.fields, self.max_instances);
        let mut parser = serde_json::Deserializer::from_slice(body);
        let parsed = RequestSeed(&mut sink).deserialize(&mut parser).and_then(|request| {
            parser.end()?;
            Ok(request)
        });
        match parsed {
            Ok(parameters) => Ok(Request { instances: sink.finish(), parameters }),
            Err(cause) => Err(sink.refusal(&cause)),
        }
    }
}

/// Where the parser is.
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

/// What the parser fills, and the refusal that ends it.
struct Sink<'a> {
    fields: &'a [Field],
    forms: Forms<'a>,
    count: usize,
    max_instances: usize,
    path: Vec<Part<'a>>,
    refused: Option<Refusal>,
}

enum Forms<'a> {
    Columns(Vec<Builder<'a>>),
    Media(&'a [String], Vec<Media>),
    Json(Vec<String>),
}

impl<'a> Sink<'a> {
    fn new(fields: &'a [Field], max_instances: usize) -> Self {
        let forms = match fields.first().map(Field::form) {
            Some(Form::Media(types)) => Forms::Media(types, Vec::new()),
            Some(Form::Json) => Forms::Json(Vec::new()),
            _ => Forms::Columns(
                fields
                    .iter()
                    .filter_map(|field| match field.form() {
                        Form::Tensor(dtype, shape) => Some(Builder::new(field, dtype, shape)),
                        _ => None,
                    })
                    .collect(),
            ),
        };
        Self { fields, forms, count: 0, max_instances, path: Vec::new(), refused: None }
    }

    fn finish(self) -> Batch {
        match self.forms {
            Forms::Columns(_) if self.count == 0 && self.fields.is_empty() => Batch::Json(Vec::new()),
            Forms::Columns(builders) => Batch::Columns(builders.into_iter().map(Builder::finish).collect()),
            Forms::Media(_, items) => Batch::Media(items),
            Forms::Json(items) => Batch::Json(items),
        }
    }

    /// Notes why the parse ends here. What is returned only stops the parser.
    fn refuse<E: de::Error>(&mut self, code: Code, why: impl Into<String>) -> E {
        let path = self.place();
        self.refused.get_or_insert(Refusal { code, path, why: why.into() });
        E::custom("refused")
    }

    /// Where the parser is.
    fn place(&self) -> String {
        let mut path = String::new();
        for part in &self.path {
            match part {
                Part::Key(name) if path.is_empty() => path.push_str(name),
                Part::Key(name) => path.extend([".", name]),
                Part::Index(index) if path.is_empty() => path.push_str(&format!("instances[{index}]")),
                Part::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    fn refusal(&mut self, cause: &serde_json::Error) -> Refusal {
        // JSON of the wrong type, or a number that no double holds, has a place.
        let text = cause.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        if let Some((actual, expected)) =
            text.strip_prefix("invalid type: ").and_then(|text| text.split_once(", expected "))
        {
            let _: serde_json::Error =
                self.refuse(Code::InvalidInstance, format!("expected {expected}, got {actual}"));
        } else if text == "number out of range" {
            let why = "expected a number that a double can hold, got a larger one";
            let _: serde_json::Error = self.refuse(Code::InvalidInstance, why);
        }
        self.refused.take().unwrap_or_else(|| Refusal {
            code: Code::InvalidJson,
            path: String::new(),
            why: if cause.is_eof() && cause.line() <= 1 && cause.column() == 0 {
                "expected JSON, got nothing".to_owned()
            } else {
                format!("not JSON: {cause}")
            },
        })
    }

    /// The value of input `input` at this place.
    fn builder(&mut self, input: usize) -> Option<&mut Builder<'a>> {
        match &mut self.forms {
            Forms::Columns(builders) => builders.get_mut(input),
            _ => None,
        }
    }

    /// Takes one value of `input`, within `axis` arrays.
    fn scalar(&mut self, input: usize, axis: usize, value: Scalar<'_>) -> Result<(), String> {
        let Some(builder) = self.builder(input) else { return Ok(()) };
        if axis == builder.rank() {
            builder.push(value)
        } else if matches!(value, Scalar::Null) && axis == 0 && builder.field().missing {
            builder.push_missing()
        } else {
            Err(format!("{}, got {}", expected(builder, axis), value.show()))
        }
    }
}

/// `{"instances": […], "parameters": {…}}`; gives the parameters' text.
struct RequestSeed<'s, 'a>(&'s mut Sink<'a>);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_, '_> {
    type Value = Option<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_, '_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"instances\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut instances, mut parameters) = (false, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "instances" if instances => {
                    return Err(self.0.refuse(Code::InvalidRequest, "\"instances\" stands twice"));
                }
                "instances" => {
                    instances = true;
                    self.0.path.push(Part::Key("instances"));
                    map.next_value_seed(InstancesSeed(self.0))?;
                    self.0.path.pop();
                }
                "parameters" if parameters.is_some() => {
                    return Err(self.0.refuse(Code::InvalidRequest, "\"parameters\" stands twice"));
                }
                "parameters" => {
                    let text = map.next_value::<Box<RawValue>>()?;
                    self.0.path.push(Part::Key("parameters"));
                    if text.get() == "null" {
                        // The same as none.
                    } else if !text.get().starts_with('{') {
                        let why = format!("expected an object, got {}", quoted(text.get()));
                        return Err(self.0.refuse(Code::InvalidRequest, why));
                    } else if let Err(cause) = serde_json::from_str::<serde_json::Value>(text.get()) {
                        return Err(self.0.refuse(Code::InvalidJson, format!("not JSON: {cause}")));
                    }
                    self.0.path.pop();
                    parameters = Some(text);
                }
                other => {
                    let why = format!("expected \"instances\" and \"parameters\", got {}", quoted(other));
                    return Err(self.0.refuse(Code::InvalidRequest, why));
                }
            }
        }
        if !instances {
            return Err(self.0.refuse(Code::InvalidRequest, "expected \"instances\", got none"));
        }
        Ok(parameters.filter(|text| text.get() != "null").map(|text| text.get().to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.0.refuse(Code::InvalidRequest, "expected an object with \"instances\", got an array"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let why = format!("expected an object with \"instances\", got {}", quoted(text));
        Err(self.0.refuse(Code::InvalidRequest, why))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Err(self
            .0
            .refuse(Code::InvalidRequest, format!("expected an object with \"instances\", got {value}")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Err(self
            .0
            .refuse(Code::InvalidRequest, format!("expected an object with \"instances\", got {value}")))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Err(self
            .0
            .refuse(Code::InvalidRequest, format!("expected an object with \"instances\", got {value}")))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Err(self
            .0
            .refuse(Code::InvalidRequest, format!("expected an object with \"instances\", got {value}")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Err(self.0.refuse(Code::InvalidRequest, "expected an object with \"instances\", got null"))
    }
}

/// The array of instances.
struct InstancesSeed<'s, 'a>(&'s mut Sink<'a>);

impl<'de> DeserializeSeed<'de> for InstancesSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // A value of another kind is reported by the visitor's default, without its path; so look first.
        deserializer.deserialize_any(self)
    }
}

/// The answers of a visitor that wants one kind of value to all others.
macro_rules! refuse_others {
    ($code:expr, $expected:expr; $($kind:ident),*) => {
        $(refuse_others!(@$kind $code, $expected);)*
    };
    (@scalars $code:expr, $expected:expr) => {
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
            let why = format!("expected {}, got {value}", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
            let why = format!("expected {}, got {value}", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
            let why = format!("expected {}, got {value}", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
            let why = format!("expected {}, got {value:?}", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
            let why = format!("expected {}, got {}", $expected(&self), quoted(text));
            Err(self.sink().refuse($code, why))
        }
        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            let why = format!("expected {}, got null", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
    };
    (@seq $code:expr, $expected:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
            let why = format!("expected {}, got an array", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
    };
    (@map $code:expr, $expected:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
            let why = format!("expected {}, got an object", $expected(&self));
            Err(self.sink().refuse($code, why))
        }
    };
}

use refuse_others;

impl<'s, 'a> InstancesSeed<'s, 'a> {
    fn sink(self) -> &'s mut Sink<'a> {
        self.0
    }
}

impl<'de> Visitor<'de> for InstancesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.path.push(Part::Index(self.0.count));
        while items.next_element_seed(InstanceSeed(self.0))?.is_some() {
            let count = self.0.count;
            if let Some(last) = self.0.path.last_mut() {
                *last = Part::Index(count);
            }
        }
        self.0.path.pop();
        Ok(())
    }

    refuse_others!(Code::InvalidRequest, |_: &Self| "an array"; scalars, map);
}

/// One instance, whatever its form.
struct InstanceSeed<'s, 'a>(&'s mut Sink<'a>);

impl<'de> DeserializeSeed<'de> for InstanceSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let sink = self.0;
        if sink.count >= sink.max_instances {
            sink.path.pop();
            let why =
                format!("expected at most {} instances (limit max_instances), got more", sink.max_instances);
            return Err(sink.refuse(Code::TooLarge, why));
        }
        if let Forms::Json(items) = &mut sink.forms {
            items.push(Box::<RawValue>::deserialize(deserializer)?.get().to_owned());
        } else {
            match &sink.forms {
                Forms::Media(..) => {
                    deserializer.deserialize_any(MediaSeed { sink: &mut *sink, nested: false })?
                }
                _ if sink.fields.len() == 1 => {
                    deserializer.deserialize_any(ValueSeed {
                        sink: &mut *sink,
                        input: 0,
                        axis: 0,
                        alone: true,
                    })?;
                }
                _ => deserializer.deserialize_any(RowSeed { sink: &mut *sink })?,
            }
            if let Forms::Columns(builders) = &mut sink.forms {
                builders.iter_mut().for_each(Builder::end_row);
            }
        }
        sink.count += 1;
        Ok(())
    }
}
