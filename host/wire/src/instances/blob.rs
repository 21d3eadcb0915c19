//! A blob: within JSON as base64, or as it is.

use std::fmt;

use crate::{Batch, Manifest, Media};
use base64::Engine as _;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Code, Forms, Part, Refusal, Sink, quoted, refuse_others};
use crate::media::{essence, sniff};

/// A blob: `{"b64": "…"}`, with `content_type` where its bytes don't tell, or an object that holds
/// it under the input's name.
pub(super) struct MediaSeed<'s, 'a> {
    pub sink: &'s mut Sink<'a>,
    /// Whether it stands under the input's name.
    pub nested: bool,
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

pub(super) fn media(sink: &mut Sink<'_>, bytes: Vec<u8>, content_type: Option<String>) -> Result<(), String> {
    let Forms::Media(types, items) = &mut sink.forms else { return Ok(()) };
    items.push(typed(types, bytes, content_type.as_deref())?);
    Ok(())
}

/// A blob as one of `types`: by its first bytes, or else by what the caller says.
///
/// # Errors
/// `expected …, got …`.
fn typed(types: &[String], bytes: Vec<u8>, said: Option<&str>) -> Result<Media, String> {
    let content_type = sniff(&bytes)
        .map(str::to_owned)
        .or_else(|| said.map(|said| essence(said).into_owned()))
        .unwrap_or_else(|| "application/octet-stream".to_owned());
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
