//! What SageMaker's callers and its batch transform want beside `/invocations` itself.
//!
//! Source: "Use your own inference code" with hosting services and with batch transform, and
//! "Common data formats for inference", Amazon SageMaker developer guide.

use ampoule_host::{Form, Manifest, Model};
use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::accept::Answer;

/// What the platform tells a container about how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transform {
    /// The container works for a batch transform job.
    batch: bool,
    max_concurrent: Option<usize>,
    /// 0 lets the platform stream a payload of any size.
    max_payload_mb: Option<usize>,
    strategy: Option<Strategy>,
    usual: Option<Usual>,
}

/// How many records a payload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Single,
    Multi,
}

/// The form of an answer to a caller who names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usual {
    Json,
    Lines,
    Csv,
}

/// What one request may hold where the job doesn't say, in megabytes: SageMaker's own default.
const PAYLOAD_MB: usize = 6;

/// Megabytes that all requests of a time may hold together.
const MAX_TOTAL_MB: usize = 100;

impl Transform {
    /// Reads the `SAGEMAKER_*` variables.
    ///
    /// # Errors
    /// A variable that isn't what it should be, by name.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let number = |name: &str| -> anyhow::Result<Option<usize>> {
            match variable(name).map(|text| (text.trim().parse(), text)) {
                None => Ok(None),
                Some((Ok(number), _)) => Ok(Some(number)),
                Some((Err(_), text)) => bail!("{name}: expected a number, got {text:?}"),
            }
        };
        let strategy = match variable("SAGEMAKER_BATCH_STRATEGY").as_deref().map(str::trim) {
            None => None,
            Some("SINGLE_RECORD" | "SingleRecord") => Some(Strategy::Single),
            Some("MULTI_RECORD" | "MultiRecord") => Some(Strategy::Multi),
            Some(text) => {
                bail!("SAGEMAKER_BATCH_STRATEGY: expected SINGLE_RECORD or MULTI_RECORD, got {text:?}")
            }
        };
        let usual = match variable("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") {
            None => None,
            Some(text) => match Answer::named(&text) {
                Some(Answer::Json) => Some(Usual::Json),
                Some(Answer::Lines) => Some(Usual::Lines),
                Some(Answer::Csv) => Some(Usual::Csv),
                _ => bail!(
                    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: expected application/json, application/jsonlines \
                     or text/csv, got {text:?}"
                ),
            },
        };
        Ok(Self {
            batch: variable("SAGEMAKER_BATCH").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            max_concurrent: number("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS")?,
            max_payload_mb: number("SAGEMAKER_MAX_PAYLOAD_IN_MB")?,
            strategy,
            usual,
        })
    }

    /// Bytes of a payload that the job announces.
    pub fn max_payload_bytes(&self) -> Option<usize> {
        self.max_payload_mb.and_then(|mb| mb.checked_mul(1 << 20))
    }

    /// Whether a body of JSON may be instances, one on each line, as a batch transform that splits
    /// its input by lines sends them.
    pub(super) fn may_be_lines(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Request<'a> {
            #[serde(borrow)]
            instances: Option<&'a RawValue>,
        }
        self.batch
            && !serde_json::from_slice(body).is_ok_and(|request: Request<'_>| request.instances.is_some())
    }

    /// The form of an answer to a caller who names none.
    pub(super) fn usual(&self) -> Answer {
        match self.usual {
            None | Some(Usual::Json) => Answer::Json,
            Some(Usual::Lines) => Answer::Lines,
            Some(Usual::Csv) => Answer::Csv,
        }
    }

    /// `GET /execution-parameters`: how a batch transform is to call, where its job doesn't say.
    pub(super) fn parameters(&self, model: &Model, max_body_bytes: usize) -> serde_json::Value {
        let blobs = model.manifest().takes_media().is_some();
        let fits = (max_body_bytes >> 20).clamp(1, MAX_TOTAL_MB);
        let payload = self.max_payload_mb.unwrap_or(if blobs { fits } else { fits.min(PAYLOAD_MB) });
        let calls = model.host().limits().max_concurrent_calls;
        let concurrent = self.max_concurrent.unwrap_or(calls.min((MAX_TOTAL_MB / payload.max(1)).max(1)));
        let strategy = self.strategy.unwrap_or(if blobs { Strategy::Single } else { Strategy::Multi });
        serde_json::json!({
            "MaxConcurrentTransforms": concurrent,
            "BatchStrategy": match strategy {
                Strategy::Single => "SINGLE_RECORD",
                Strategy::Multi => "MULTI_RECORD",
            },
            "MaxPayloadInMB": payload,
        })
    }
}

/// `{"features": […]}`, or `{"data": {"features": {"values": […]}}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance<'a> {
    #[serde(borrow)]
    features: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data<'a> {
    #[serde(borrow)]
    features: Values<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

/// The text of an instance without what SageMaker's own models want around it; as it is where there
/// is nothing around it, or where the signature has that itself.
pub(super) fn bare<'t>(manifest: &Manifest, text: &'t str) -> &'t str {
    features(manifest, text).unwrap_or(text)
}

fn features<'t>(manifest: &Manifest, text: &'t str) -> Option<&'t str> {
    let own = |input: &ampoule_host::Field| {
        ["features", "data"].contains(&input.name.as_str()) || matches!(input.form(), Form::Json)
    };
    if !text.trim_start().starts_with('{') || manifest.inputs.iter().any(own) {
        return None;
    }
    match serde_json::from_str(text).ok()? {
        Instance { features: Some(features), data: None } => Some(features.get()),
        Instance { features: None, data: Some(data) } => Some(data.features.values.get()),
        _ => None,
    }
}

/// The texts of a body's instances if every one has something around it; none of them otherwise.
pub(super) fn unwrapped<'b>(manifest: &Manifest, body: &'b [u8]) -> Option<Vec<&'b str>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request<'a> {
        #[serde(borrow)]
        instances: Vec<&'a RawValue>,
    }
    let text = std::str::from_utf8(body).ok()?;
    if !text.contains("\"features\"") {
        return None;
    }
    if let Some(one) = features(manifest, text) {
        return Some(vec![one]);
    }
    let request: Request<'_> = serde_json::from_str(text).ok()?;
    request.instances.into_iter().map(|instance| features(manifest, instance.get())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(inputs: &serde_json::Value) -> Manifest {
        let value =
            serde_json::json!({ "ampoule": 1, "name": "m", "version": "1", "inputs": inputs, "outputs": [] });
        Manifest::from_json(value.to_string().as_bytes()).expect("a manifest")
    }

    #[test]
    fn features_are_taken_out_of_what_is_around_them() {
        let plain = manifest(&serde_json::json!([{ "name": "x", "dtype": "f32", "shape": [2] }]));
        for (text, expected) in [
            (r#"{"features": [1, 2]}"#, "[1, 2]"),
            (r#" {"data": {"features": {"values": [1, 2]}}}"#, "[1, 2]"),
            (r#"{"x": [1, 2]}"#, r#"{"x": [1, 2]}"#),
            ("[1, 2]", "[1, 2]"),
            // A sparse tensor is not what the model takes: the decoder says so.
            (
                r#"{"data": {"features": {"values": [1], "keys": [0], "shape": [2]}}}"#,
                r#"{"data": {"features": {"values": [1], "keys": [0], "shape": [2]}}}"#,
            ),
            (r#"{"features": [1], "x": 2}"#, r#"{"features": [1], "x": 2}"#),
            ("", ""),
        ] {
            assert_eq!(bare(&plain, text), expected);
        }
        let own = manifest(&serde_json::json!([{ "name": "features", "dtype": "f32", "shape": [2] }]));
        assert_eq!(bare(&own, r#"{"features": [1, 2]}"#), r#"{"features": [1, 2]}"#);
    }

    #[test]
    fn a_body_is_unwrapped_whole_or_not_at_all() {
        let plain = manifest(&serde_json::json!([{ "name": "x", "dtype": "f32", "shape": [1] }]));
        let both = br#"{"instances": [{"features": [1]}, {"data": {"features": {"values": [2]}}}]}"#;
        assert_eq!(unwrapped(&plain, both), Some(vec!["[1]", "[2]"]));
        assert_eq!(unwrapped(&plain, br#"{"data": {"features": {"values": [3]}}}"#), Some(vec!["[3]"]));
        assert_eq!(unwrapped(&plain, br#"{"instances": [{"features": [1]}, [2]]}"#), None);
        assert_eq!(unwrapped(&plain, br#"{"instances": [[1]]}"#), None);
        assert_eq!(unwrapped(&plain, br#"{"features""#), None);
        assert_eq!(unwrapped(&plain, b"\xff\"features\""), None);
    }

    #[test]
    fn variables_are_read_or_refused_by_name() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Transform::from_variables(move |name| {
                pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(of(&[]).expect("nothing is needed"), Transform::default());
        let set = of(&[
            ("SAGEMAKER_BATCH", "true"),
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "50"),
            ("SAGEMAKER_BATCH_STRATEGY", "SingleRecord"),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "2"),
            ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv"),
        ])
        .expect("all are as documented");
        assert_eq!(set.max_payload_bytes(), Some(50 << 20));
        assert_eq!(set.usual(), Answer::Csv);
        assert!(set.may_be_lines(b"[1, 2]\n[3, 4]\n"));
        assert!(!set.may_be_lines(br#"{"instances": []}"#));
        assert!(!Transform::default().may_be_lines(b"[1, 2]\n[3, 4]\n"));
        for (name, value) in [
            ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "lots"),
            ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "-1"),
            ("SAGEMAKER_BATCH_STRATEGY", "SOME"),
            ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/x-npy"),
        ] {
            let why = of(&[(name, value)]).expect_err("refused").to_string();
            assert!(why.starts_with(name), "{why}");
        }
    }
}
