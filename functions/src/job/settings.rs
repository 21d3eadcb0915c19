//! [`JobSettings`]: what a job is told: where its objects are, and what happens to them.

use ampoule_host::sha256_hex;
use serde_json::json;

use super::keys::Keys;
pub use crate::settings::After;
use ampoule_wire::rows::{Format, Layout};

/// What a job is told.
#[derive(Clone, Debug)]
pub struct JobSettings {
    /// Inputs are the objects whose keys begin with it.
    pub input_prefix: String,
    /// What the keys of predictions begin with.
    pub output_prefix: String,
    /// What the keys in the output store begin with of what can't be predicted.
    pub dead_prefix: String,
    /// What happens to an input once its prediction is safe.
    pub after: After,
    /// What the keys in the input store begin with of inputs that are moved.
    pub done_prefix: String,
    /// What every object is, where names and content types don't show it.
    pub format: Option<Format>,
    /// How predictions are laid out.
    pub layout: Layout,
    /// The parameters that go with every call: the text of a JSON object.
    pub parameters: Option<String>,
    /// Objects worked on at one time, if the stores bear it.
    pub max_objects_at_once: usize,
    /// Bytes of an object whose rows are read one after another; others end at the host's `max_input_bytes`.
    pub max_object_bytes: u64,
    /// The share of objects that can't be predicted at which a sweep stops: the model or the place is the wrong one.
    pub max_refused_share: f64,
    /// How many jobs may have written an object one after another that is taken for an input.
    pub max_hops: u32,
    /// The job's name, where several are to be told apart; else the model and the settings make one.
    pub name: Option<String>,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            input_prefix: String::new(),
            output_prefix: String::new(),
            dead_prefix: "_dead/".to_owned(),
            after: After::Keep,
            done_prefix: "_done/".to_owned(),
            format: None,
            layout: Layout::Own,
            parameters: None,
            max_objects_at_once: 16,
            max_object_bytes: 5 << 30,
            max_refused_share: 0.1,
            max_hops: 0,
            name: None,
        }
    }
}

impl JobSettings {
    /// Checks the settings for stores of these names, and gives the keys of the output.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self, input: &str, output: &str) -> Result<Keys, String> {
        let keys = Keys::new(&self.output_prefix, &self.dead_prefix)?;
        let place = |store: &str, prefix: &str| format!("{}/{prefix}", store.trim_end_matches('/'));
        let inputs = place(input, &self.input_prefix);
        for (what, prefix) in [("predictions", &self.output_prefix), ("dead letters", &self.dead_prefix)] {
            let outputs = place(output, prefix);
            // A folder lies in another; in a bucket the keys of one begin with the other.
            if outputs.starts_with(&inputs) || inputs.starts_with(&outputs) {
                return Err(format!("{inputs} and {outputs} lie in one another: {what} would become inputs"));
            }
        }
        if self.after == After::Move && self.input_prefix.starts_with(&self.done_prefix) {
            return Err(format!(
                "expected a prefix for moved inputs that inputs don't begin with, got {:?}",
                self.done_prefix
            ));
        }
        if !(self.max_refused_share > 0.0 && self.max_refused_share <= 1.0) {
            return Err(format!(
                "expected a share of refused objects above 0 and up to 1, got {}",
                self.max_refused_share
            ));
        }
        if let Some(parameters) = &self.parameters {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(parameters)
                .map_err(|cause| format!("parameters: expected a JSON object: {cause}"))?;
        }
        Ok(keys)
    }

    /// The digest of what decides how predictions look.
    pub fn digest(&self) -> String {
        let what = json!({
            "format": self.format.map(|format| format!("{format:?}")),
            "layout": format!("{:?}", self.layout),
            "parameters": self.parameters,
        });
        short(&what.to_string())
    }
}

/// Enough of a text's sha256 to tell it from others.
pub fn short(text: &str) -> String {
    sha256_hex(text.as_bytes()).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_among_inputs_are_refused() {
        let check = |input: &str, input_prefix: &str, output: &str, output_prefix: &str| {
            let settings = JobSettings {
                input_prefix: input_prefix.to_owned(),
                output_prefix: output_prefix.to_owned(),
                dead_prefix: format!("{output_prefix}_dead/"),
                ..JobSettings::default()
            };
            settings.check(input, output).map(|_| ())
        };
        for (input, input_prefix, output, output_prefix, good) in [
            ("s3://a", "", "s3://b", "", true),
            ("s3://a", "in/", "s3://a", "out/", true),
            ("s3://a", "", "s3://a", "out/", false),
            ("s3://a", "in/", "s3://a", "", false),
            ("s3://a", "in", "s3://a", "in-masks/", false),
            ("s3://a", "in/", "s3://a", "in-masks/", true),
            ("s3://a", "in/", "gs://a", "in/", true),
            ("s3://a", "", "s3://a-b", "", true),
            ("/d/in", "", "/d/out", "", true),
            ("/d/in", "", "/d/in-masks", "", true),
            ("/d", "", "/d/out", "", false),
            ("/d/out/in", "", "/d/out", "", false),
            ("/d/", "", "/d", "", false),
        ] {
            let outcome = check(input, input_prefix, output, output_prefix);
            assert_eq!(outcome.is_ok(), good, "{input} {input_prefix} {output} {output_prefix}: {outcome:?}");
        }
    }

    #[test]
    fn dead_letters_and_moved_inputs_among_inputs_are_refused() {
        let settings = JobSettings {
            input_prefix: "in/".to_owned(),
            output_prefix: "out/".to_owned(),
            dead_prefix: "in/_dead/".to_owned(),
            ..JobSettings::default()
        };
        let error = settings.check("s3://a", "s3://a").expect_err("they lie among inputs");
        assert_eq!(
            error,
            "s3://a/in/ and s3://a/in/_dead/ lie in one another: dead letters would become inputs"
        );
        let moves = |done: &str| {
            let settings =
                JobSettings { after: After::Move, done_prefix: done.to_owned(), ..JobSettings::default() };
            settings.check("s3://a", "s3://b").is_ok()
        };
        assert!(moves("_done/") && !moves(""));
    }

    #[test]
    fn settings_that_change_predictions_change_the_digest() {
        let plain = JobSettings::default();
        let moved = JobSettings { after: After::Move, ..plain.clone() };
        let csv = JobSettings { format: Some(Format::Csv), ..plain.clone() };
        let top = JobSettings { parameters: Some("{\"k\":2}".to_owned()), ..plain.clone() };
        assert_eq!(plain.digest(), moved.digest());
        assert!(plain.digest() != csv.digest() && plain.digest() != top.digest());
    }
}
