//! [`Decoder`]: a JSON request, checked against a signature while it is parsed.
//!
//! Values go straight from the text into their columns. The first one that doesn't fit ends the
//! parse, with its path: `instances[3].size[1]`.

use std::fmt;

use ampoule_host::{Batch, Field, Form, Manifest, Media};
use base64::Engine as _;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::column::{Builder, Scalar};
use super::media::sniff;
use super::{Code, Refusal, quoted};

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

    /// Reads JSON texts of one instance each, such as the lines of a JSONL file.
    ///
    /// # Errors
    /// As [`Decoder::request`]; the path counts the texts from `first`.
    pub fn texts<'t>(&self, texts: impl Iterator<Item = &'t str>, first: usize) -> Result<Batch, Refusal> {
        let mut sink = Sink::new(self.fields, self.max_instances);
        for (index, text) in texts.enumerate() {
            sink.path.clear();
            sink.path.push(Part::Index(first + index));
            let mut parser = serde_json::Deserializer::from_str(text);
            let parsed = InstanceSeed(&mut sink).deserialize(&mut parser).and_then(|()| parser.end());
            parsed.map_err(|cause| sink.refusal(&cause))?;
        }
        Ok(sink.finish())
    }

    /// Reads one row of a table: a cell for each of `columns`, which index the inputs.
    /// Cells of a single vector input follow one another.
    ///
    /// # Errors
    /// As [`Decoder::request`].
    pub fn rows(&self) -> Rows<'a> {
        Rows { sink: Sink::new(self.fields, self.max_instances) }
    }
}

/// Fills columns from the cells of a table.
pub struct Rows<'a> {
    sink: Sink<'a>,
}

impl Rows<'_> {
    /// Adds one row: for each cell, the index of its input.
    ///
    /// # Errors
    /// A [`Refusal`] with the path `instances[ROW].INPUT`.
    pub fn push<'c>(
        &mut self,
        row: usize,
        cells: impl Iterator<Item = (usize, &'c str)>,
    ) -> Result<(), Refusal> {
        let refuse = |field: &Field, why| Refusal {
            code: Code::InvalidInstance,
            path: format!("instances[{row}].{}", field.name),
            why,
        };
        let Forms::Columns(builders) = &mut self.sink.forms else {
            return Err(Refusal {
                code: Code::InvalidInstance,
                path: String::new(),
                why: "expected pictures or JSON, got a table".to_owned(),
            });
        };
        for (input, cell) in cells {
            let Some(builder) = builders.get_mut(input) else { continue };
            let text = cell.trim();
            let scalar = match builder.expects() {
                "a string" if text.is_empty() && builder.field().missing => Scalar::Null,
                "a string" => Scalar::Text(cell),
                _ if text.is_empty() => Scalar::Null,
                "true or false" => match text {
                    "true" | "True" | "TRUE" | "1" => Scalar::Bool(true),
                    "false" | "False" | "FALSE" | "0" => Scalar::Bool(false),
                    _ => Scalar::Text(cell),
                },
                _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(whole), _) => Scalar::Signed(whole),
                    (_, Ok(number)) if number.is_finite() => Scalar::Float(number),
                    (_, Ok(number)) if number.is_nan() && builder.field().missing => Scalar::Null,
                    _ => Scalar::Text(cell),
                },
            };
            builder.push(scalar).map_err(|why| refuse(builder.field(), why))?;
        }
        for builder in builders {
            builder.end_row();
        }
        Ok(())
    }

    pub fn finish(self) -> Batch {
        self.sink.finish()
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
        let mut path = String::new();
        for part in &self.path {
            match part {
                Part::Key(name) if path.is_empty() => path.push_str(name),
                Part::Key(name) => path.extend([".", name]),
                Part::Index(index) if path.is_empty() => path.push_str(&format!("instances[{index}]")),
                Part::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        self.refused.get_or_insert(Refusal { code, path, why: why.into() });
        E::custom("refused")
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

use serde::Deserialize as _;

/// An instance of several inputs: an object by name, or an array in order.
struct RowSeed<'s, 'a> {
    sink: &'s mut Sink<'a>,
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let sink = self.sink;
        let inputs = sink.fields.len();
        for input in 0..inputs {
            sink.path.push(Part::Index(input));
            let seed = ValueSeed { sink: &mut *sink, input, axis: 0, alone: false };
            if items.next_element_seed(seed)?.is_none() {
                sink.path.pop();
                return Err(
                    sink.refuse(Code::InvalidInstance, format!("expected {inputs} values, got {input}"))
                );
            }
            sink.path.pop();
        }
        if items.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(sink.refuse(Code::InvalidInstance, format!("expected {inputs} values, got more")));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        by_name(self.sink, map)
    }

    refuse_others!(Code::InvalidInstance, Self::expected; scalars);
}

/// An object of inputs by name.
fn by_name<'de, A: MapAccess<'de>>(sink: &mut Sink<'_>, mut map: A) -> Result<(), A::Error> {
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

/// The value of one input: a scalar, or arrays within arrays down to one.
struct ValueSeed<'s, 'a> {
    sink: &'s mut Sink<'a>,
    input: usize,
    /// How many arrays are open already.
    axis: usize,
    /// Whether this is the whole instance, so that an object may name the input.
    alone: bool,
}

impl ValueSeed<'_, '_> {
    fn scalar<E: de::Error>(self, value: Scalar<'_>) -> Result<(), E> {
        let axis = self.axis;
        let Some(builder) = self.sink.builder(self.input) else { return Ok(()) };
        let outcome = if axis == builder.rank() {
            builder.push(value)
        } else if matches!(value, Scalar::Null) && axis == 0 && builder.field().missing {
            builder.push_missing()
        } else {
            Err(format!("{}, got {}", expected(builder, axis), value.show()))
        };
        outcome.map_err(|why| self.sink.refuse(Code::InvalidInstance, why))
    }
}

/// What has to stand below `axis` open arrays.
fn expected(builder: &Builder<'_>, axis: usize) -> String {
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

/// A blob: `{"b64": "…"}`, with `content_type` where its bytes don't tell, or an object that holds
/// it under the input's name.
struct MediaSeed<'s, 'a> {
    sink: &'s mut Sink<'a>,
    nested: bool,
}

impl<'s, 'a> MediaSeed<'s, 'a> {
    fn sink(self) -> &'s mut Sink<'a> {
        self.sink
    }

    #[expect(clippy::unused_self, reason = "the form that the visitor's answers share")]
    fn expected(&self) -> &'static str {
        "an object with \"b64\""
    }
}

impl<'de> DeserializeSeed<'de> for MediaSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MediaSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let sink = self.sink;
        let name = sink.fields.first().map_or("", |field| field.name.as_str());
        let (mut bytes, mut content_type, mut held) = (None, None, false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "b64" if bytes.is_none() => {
                    sink.path.push(Part::Key("b64"));
                    bytes = Some(map.next_value_seed(Base64Seed(&mut *sink))?);
                    sink.path.pop();
                }
                "content_type" if content_type.is_none() => content_type = Some(map.next_value::<String>()?),
                key if key == name && !self.nested && !held => {
                    held = true;
                    sink.path.push(Part::Key(name));
                    map.next_value_seed(MediaSeed { sink: &mut *sink, nested: true })?;
                    sink.path.pop();
                }
                "b64" | "content_type" => {
                    return Err(sink.refuse(Code::InvalidInstance, format!("\"{key}\" stands twice")));
                }
                other => {
                    let why = format!("expected \"b64\" and \"content_type\", got the key {}", quoted(other));
                    return Err(sink.refuse(Code::InvalidInstance, why));
                }
            }
        }
        match (bytes, held) {
            (Some(bytes), false) => match media(sink, bytes, content_type) {
                Ok(()) => Ok(()),
                Err(why) => Err(sink.refuse(Code::InvalidInstance, why)),
            },
            (None, true) => Ok(()),
            (None, false) => Err(sink.refuse(Code::InvalidInstance, "expected \"b64\", which is missing")),
            (Some(_), true) => Err(sink.refuse(Code::InvalidInstance, "expected one blob, got two")),
        }
    }

    refuse_others!(Code::InvalidInstance, Self::expected; scalars, seq);
}

fn media(sink: &mut Sink<'_>, bytes: Vec<u8>, content_type: Option<String>) -> Result<(), String> {
    let Forms::Media(types, items) = &mut sink.forms else { return Ok(()) };
    items.push(typed(types, bytes, content_type.as_deref())?);
    Ok(())
}

/// A blob as one of `types`: by its first bytes, or else by what the caller says.
///
/// # Errors
/// `expected …, got …`.
pub(super) fn typed(types: &[String], bytes: Vec<u8>, said: Option<&str>) -> Result<Media, String> {
    let said = said.map(|said| said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let content_type =
        sniff(&bytes).map(str::to_owned).or(said).unwrap_or_else(|| "application/octet-stream".to_owned());
    if !types.contains(&content_type) {
        let begins = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let why = format!(
            "expected {}, got {content_type} of {} bytes (begins {begins})",
            types.join(" or "),
            bytes.len()
        );
        return Err(why);
    }
    Ok(Media { content_type, bytes, metadata: None })
}

/// A base64 text; gives its bytes.
struct Base64Seed<'s, 'a>(&'s mut Sink<'a>);

impl<'de> DeserializeSeed<'de> for Base64Seed<'_, '_> {
    type Value = Vec<u8>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Base64Seed<'_, '_> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a base64 text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|cause| {
            self.0.refuse(Code::InvalidInstance, format!("expected base64 (RFC 4648): {cause}"))
        })
    }
}

/// A blob that came as it is, such as the body of a request or a file.
///
/// # Errors
/// A [`Refusal`] where its type is none that the model takes.
pub fn blob(manifest: &Manifest, bytes: Vec<u8>, said: Option<&str>) -> Result<Batch, Refusal> {
    let refuse = |why| Refusal { code: Code::InvalidInstance, path: "instances[0]".to_owned(), why };
    let types = manifest
        .takes_media()
        .ok_or_else(|| refuse("expected JSON or a table: this model takes no pictures".to_owned()))?;
    Ok(Batch::Media(vec![typed(types, bytes, said).map_err(refuse)?]))
}
