//! [`Form`]: what a request's body is, and the instances in it.

use ampoule_host::{Batch, Model};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;

use super::refusal::Refusal;
use super::sagemaker;
use ampoule_wire::rows::{FirstRecord, read_table};
use ampoule_wire::{self as wire, Code, Decoder, Filler, media};

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"instances": […]}`.
    Json,
    /// The same as SageMaker's clients send it.
    Wrapped,
    /// One JSON value of an instance on each line.
    Lines,
    /// A table, and what its first row is where that is said.
    Csv(Option<FirstRecord>),
    /// A blob; of this type, if its first bytes don't tell.
    Blob(Option<String>),
}

impl Form {
    /// By the header `Content-Type`; JSON without one.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(said) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let said = said.to_str().unwrap_or("no text");
        match &*media::essence(said) {
            "application/json" => Ok(Self::Json),
            "text/csv" => Ok(Self::Csv(announced(said))),
            "application/x-image" => Ok(Self::Blob(None)),
            essence if media::JSON_LINES.contains(&essence) => Ok(Self::Lines),
            essence if essence.starts_with("image/") => Ok(Self::Blob(Some(essence.to_owned()))),
            _ => {
                let shown: String = said.chars().take(80).collect();
                let why = format!(
                    "expected application/json, application/jsonlines, text/csv or image/*, got {shown:?}"
                );
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", why).closing())
            }
        }
    }

    /// The instances of a body, and the text of its parameters.
    pub fn decode(&self, model: &Model, body: Bytes) -> Result<(Batch, Option<String>), Refusal> {
        let manifest = model.manifest();
        let max_instances = model.host().limits().max_instances;
        let texts = |texts: &mut dyn Iterator<Item = &str>| -> Result<Batch, Refusal> {
            let mut filler = Filler::new(manifest);
            for (row, text) in texts.enumerate() {
                if row >= max_instances {
                    let why =
                        format!("expected at most {max_instances} instances (limit max_instances), got more");
                    return Err(refusal(Code::TooLarge, why));
                }
                filler.text(row, sagemaker::bare(manifest, text))?;
            }
            Ok(filler.finish())
        };
        Ok(match self {
            Self::Wrapped if let Some(instances) = sagemaker::unwrapped(manifest, &body) => {
                (texts(&mut instances.into_iter())?, None)
            }
            Self::Json | Self::Wrapped => {
                let request = Decoder::new(manifest, max_instances).request(&body)?;
                (request.instances, request.parameters)
            }
            Self::Lines => {
                let text = std::str::from_utf8(&body)
                    .map_err(|cause| refusal(Code::InvalidJson, format!("not JSON: {cause}")))?;
                (texts(&mut text.lines().filter(|line| !line.trim().is_empty()))?, None)
            }
            Self::Csv(first) => (read_table(manifest, &body, max_instances, *first)?, None),
            Self::Blob(content_type) => (wire::blob(manifest, body.into(), content_type.as_deref())?, None),
        })
    }
}

fn refusal(code: Code, why: String) -> Refusal {
    wire::Refusal { code, path: String::new(), why }.into()
}

/// What `header=present` or `header=absent` (RFC 4180, section 3) says of a table.
fn announced(content_type: &str) -> Option<FirstRecord> {
    for parameter in content_type.split(';').skip(1) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("header") {
            return match value.trim().trim_matches('"').to_ascii_lowercase().as_str() {
                "present" => Some(FirstRecord::Header),
                "absent" => Some(FirstRecord::Row),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_content_type_says_what_a_body_is() {
        for (said, expected) in [
            ("application/json; charset=utf-8", Form::Json),
            ("APPLICATION/JSONLINES", Form::Lines),
            ("application/x-ndjson", Form::Lines),
            ("text/csv", Form::Csv(None)),
            ("text/csv; label_size=0", Form::Csv(None)),
            ("text/csv; charset=utf-8; header=absent", Form::Csv(Some(FirstRecord::Row))),
            ("text/csv;Header=\"present\"", Form::Csv(Some(FirstRecord::Header))),
            ("image/png", Form::Blob(Some("image/png".to_owned()))),
            ("application/x-image", Form::Blob(None)),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(said))]);
            assert_eq!(Form::of(&headers).expect(said), expected, "{said}");
        }
        assert_eq!(Form::of(&HeaderMap::new()).expect("JSON"), Form::Json);
        for said in ["text/html", "application/x-recordio-protobuf", "text/libsvm", ""] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(said))]);
            assert_eq!(Form::of(&headers).expect_err(said).status, 415, "{said}");
        }
    }
}
