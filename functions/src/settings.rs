//! [`Settings`]: what a cloud function is told by its environment.
//!
//! [`VARIABLES`] is the one table of all variables, with their units and defaults; [`Environment`]
//! reads a value by its row, and [`markdown`] prints the rows for people.

mod variables;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ampoule_host::{Limits, Reuse};

use crate::serve::{self, Access};
use crate::store::{Cloud, Location, LocationError};

pub use variables::*;

/// What a cloud function is told by its environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sealed file, where it is named.
    pub model: Option<PathBuf>,
    /// The folder of precompiled code, where it is named.
    pub cache: Option<PathBuf>,
    pub log: String,
    pub limits: Limits,
    pub reuse: Reuse,
    /// Who may ask over HTTP, and how much.
    pub service: serve::Settings,
    /// Where objects come from.
    pub input: Option<Place>,
    /// Where predictions go.
    pub output: Option<Place>,
    /// Under this prefix of the output bucket lies what can't be predicted, and why.
    pub dead_letter_prefix: String,
    pub after: After,
    /// Under this prefix of the input bucket an input goes with [`After::Move`].
    pub done_prefix: String,
    pub response_mode: ResponseMode,
    /// Work ends this long before the platform's own deadline.
    pub margin: Duration,
}

/// Objects of one bucket whose keys begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the setting has it: a bucket's name, or `s3://NAME`, `gs://NAME` or a path.
    pub bucket: String,
    /// Empty for the whole bucket.
    pub prefix: String,
}

impl Place {
    /// Where that is: in `cloud`, if the bucket is only a name.
    ///
    /// # Errors
    /// The bucket is none.
    pub fn location(&self, cloud: &Cloud) -> Result<Location, LocationError> {
        let named = !self.bucket.contains('/') && !self.bucket.starts_with('.');
        let text = if named { format!("{}://{}", cloud.scheme, self.bucket) } else { self.bucket.clone() };
        let mut location: Location = text.parse()?;
        location.prefix.push_str(&self.prefix);
        Ok(location)
    }
}

/// What happens to an input once its prediction is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum After {
    Keep,
    Delete,
    /// Tag it `ampoule` = `done`, or `refused`
    Tag,
    Move,
}

/// How an HTTP answer leaves a Lambda function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// Whole, at most 6 MB.
    Buffered,
    /// Piece by piece, for a function URL whose invoke mode is `RESPONSE_STREAM`.
    Stream,
}

impl Settings {
    /// Reads every variable of [`VARIABLES`] that the functions share.
    ///
    /// # Errors
    /// The first value that is none, with what was expected.
    pub fn read(environment: &Environment) -> Result<Self, Invalid> {
        let defaults = Limits::default();
        let number = |variable| environment.number(variable);
        let place = |bucket: &Variable, prefix: &Variable| -> Result<Option<Place>, Invalid> {
            let prefix = environment.text(prefix)?.unwrap_or_default();
            Ok(environment.text(bucket)?.map(|bucket| Place { bucket, prefix }))
        };
        let access = match environment.text(&AMPOULE_TOKEN)? {
            Some(token) => Access::token(token.trim()),
            None => Access::Anyone,
        };
        let reuse = match number(&AMPOULE_REUSE)? {
            1 => Reuse::Never,
            calls => Reuse::Calls(calls),
        };
        Ok(Self {
            model: environment.text(&AMPOULE_MODEL)?.map(PathBuf::from),
            cache: environment.text(&AMPOULE_CACHE)?.map(PathBuf::from),
            log: environment.choice(&AMPOULE_LOG, &LOG_LEVELS.map(|level| (level, level)))?.to_owned(),
            limits: Limits {
                deadline_ms: number(&AMPOULE_DEADLINE_MS)?.into(),
                memory_bytes: size(number(&AMPOULE_MEMORY_MIB)?) << 20,
                max_input_bytes: size(number(&AMPOULE_MAX_INPUT_BYTES)?),
                max_output_bytes: size(number(&AMPOULE_MAX_OUTPUT_BYTES)?),
                max_tensor_bytes: size(number(&AMPOULE_MAX_TENSOR_BYTES)?),
                max_instances: size(number(&AMPOULE_MAX_INSTANCES)?),
                max_concurrent_calls: size(number(&AMPOULE_MAX_CONCURRENT_CALLS)?),
                max_queued_calls: size(number(&AMPOULE_MAX_QUEUED_CALLS)?),
                max_queue_ms: number(&AMPOULE_MAX_QUEUE_MS)?.into(),
                ..defaults
            },
            reuse,
            service: serve::Settings {
                access,
                max_body_bytes: size(number(&AMPOULE_MAX_BODY_BYTES)?),
                max_decoded_bytes: size(number(&AMPOULE_MAX_DECODED_BYTES)?),
                ..serve::Settings::default()
            },
            input: place(&INPUT_BUCKET_NAME, &INPUT_PREFIX)?,
            output: place(&OUTPUT_BUCKET_NAME, &OUTPUT_PREFIX)?,
            dead_letter_prefix: environment.text(&DEAD_LETTER_PREFIX)?.unwrap_or_default(),
            after: environment.choice(
                &INPUT_ACTION,
                &[
                    ("keep", After::Keep),
                    ("delete", After::Delete),
                    ("tag", After::Tag),
                    ("move", After::Move),
                ],
            )?,
            done_prefix: environment.text(&DONE_PREFIX)?.unwrap_or_default(),
            response_mode: environment.choice(
                &AMPOULE_RESPONSE_MODE,
                &[("buffered", ResponseMode::Buffered), ("stream", ResponseMode::Stream)],
            )?,
            margin: Duration::from_millis(number(&AMPOULE_MARGIN_MS)?.into()),
        })
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).expect("a function runs on 32 bits at least")
}

/// The process's variables, taken once.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect(),
        )
    }

    /// These and no others.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    /// A variable's text or else its default; none where it is empty.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, variable: &Variable) -> Result<Option<String>, Invalid> {
        let given = match self.0.get(variable.name) {
            Some(value) => {
                let text = value.to_str().ok_or_else(|| variable.invalid("text in UTF-8", "other bytes"))?;
                Some(text.to_owned())
            }
            None => None,
        };
        let default = match variable.default {
            Default::Value(value) => Some(value.to_owned()),
            Default::Found(_) | Default::Nothing => None,
        };
        Ok(given.filter(|text| !text.is_empty()).or(default))
    }

    /// Whether a variable is set, and not to nothing.
    pub fn has(&self, variable: &Variable) -> bool {
        self.0.get(variable.name).is_some_and(|value| !value.is_empty())
    }

    /// The text of a variable by its name; none where it is empty or no text.
    pub fn named(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.to_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A variable's whole number, within the bounds of its row.
    ///
    /// # Errors
    /// It is none, or out of bounds.
    pub fn number(&self, variable: &Variable) -> Result<u32, Invalid> {
        let text = self.text(variable)?.unwrap_or_default();
        let range: &RangeInclusive<u32> = &variable.range;
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let of = if variable.unit.is_empty() { String::new() } else { format!(" of {}", variable.unit) };
            let expected = format!("a whole number{of} from {} to {}", range.start(), range.end());
            variable.invalid(&expected, &format!("{text:?}"))
        })
    }

    /// What one of the words of `choices` stands for.
    ///
    /// # Errors
    /// The variable holds another word.
    pub fn choice<T: Copy>(&self, variable: &Variable, choices: &[(&str, T)]) -> Result<T, Invalid> {
        let text = self.text(variable)?.unwrap_or_default();
        let found = choices.iter().find(|(word, _)| text.trim().eq_ignore_ascii_case(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            variable.invalid(&words.join(", "), &format!("{text:?}"))
        })
    }

    /// Variables that look like ours and are none: misspelt, mostly.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let known = |name: &str| VARIABLES.iter().any(|variable| variable.name == name);
        self.0.keys().map(String::as_str).filter(move |name| name.starts_with("AMPOULE_") && !known(name))
    }
}

/// A variable whose value is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: expected {expected}, got {actual}")]
pub struct Invalid {
    pub name: &'static str,
    pub expected: String,
    pub actual: String,
}

impl Variable {
    /// That this variable's value is none; a secret is not shown.
    pub fn invalid(&self, expected: &str, actual: &str) -> Invalid {
        let actual = if self.secret { "something else" } else { actual };
        Invalid { name: self.name, expected: expected.to_owned(), actual: actual.to_owned() }
    }
}

/// The table of all variables, as Markdown.
pub fn markdown() -> String {
    let mut table = "| variable | unit | default | where | meaning |\n|---|---|---|---|---|\n".to_owned();
    for variable in VARIABLES {
        let default = match variable.default {
            Default::Value(value) => format!("`{value}`"),
            Default::Found(how) => how.to_owned(),
            Default::Nothing => String::new(),
        };
        let platforms = if variable.platforms.len() == Platform::ALL.len() {
            "all".to_owned()
        } else {
            variable.platforms.iter().map(|platform| platform.name()).collect::<Vec<_>>().join(", ")
        };
        table.push_str(&format!(
            "| `{}` | {} | {default} | {platforms} | {} |\n",
            variable.name, variable.unit, variable.meaning
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_host_and_the_server() {
        let settings = Settings::read(&Environment::default()).expect("the defaults are values");
        assert_eq!(settings.limits, Limits::default());
        assert_eq!(settings.reuse, Reuse::default());
        let server = serve::Settings::default();
        assert_eq!(settings.service.max_body_bytes, server.max_body_bytes);
        assert_eq!(settings.service.max_decoded_bytes, server.max_decoded_bytes);
        assert!(matches!(settings.service.access, Access::Anyone));
        assert_eq!((settings.input, settings.output), (None, None));
        assert_eq!(settings.after, After::Keep);
        assert_eq!(settings.response_mode, ResponseMode::Buffered);
    }

    #[test]
    fn values_are_read() {
        let settings = Settings::read(&Environment::of([
            ("INPUT_BUCKET_NAME", "scenes"),
            ("INPUT_PREFIX", "2026/"),
            ("OUTPUT_BUCKET_NAME", "masks"),
            ("INPUT_ACTION", "Delete"),
            ("AMPOULE_MEMORY_MIB", " 64 "),
            ("AMPOULE_REUSE", "10"),
            ("AMPOULE_TOKEN", "secret"),
            ("AMPOULE_RESPONSE_MODE", "stream"),
            ("AMPOULE_LOG", ""),
        ]));
        let settings = settings.expect("these are values");
        assert_eq!(settings.input, Some(Place { bucket: "scenes".to_owned(), prefix: "2026/".to_owned() }));
        assert_eq!(settings.output, Some(Place { bucket: "masks".to_owned(), prefix: String::new() }));
        assert_eq!(settings.after, After::Delete);
        assert_eq!(settings.limits.memory_bytes, 64 << 20);
        assert_eq!(settings.reuse, Reuse::Calls(10));
        assert!(matches!(settings.service.access, Access::Token(_)));
        assert_eq!(settings.response_mode, ResponseMode::Stream);
        assert_eq!(settings.log, "info");
    }

    #[test]
    fn a_bucket_that_is_only_a_name_lies_in_the_own_cloud() {
        for (bucket, prefix, cloud, expected) in [
            ("scenes", "", Cloud::AWS, "s3://scenes/"),
            ("scenes", "2026", Cloud::GOOGLE, "gs://scenes/2026"),
            ("s3://scenes", "a/", Cloud::GOOGLE, "s3://scenes/a/"),
            ("s3://scenes/in", "a/", Cloud::GOOGLE, "s3://scenes/in/a/"),
            ("./scenes", "", Cloud::AWS, "./scenes"),
            ("/srv/scenes", "", Cloud::GOOGLE, "/srv/scenes"),
        ] {
            let place = Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
            let location = place.location(&cloud).expect("a place");
            assert_eq!(location.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_was_expected() {
        for (name, value, error) in [
            (
                "AMPOULE_DEADLINE_MS",
                "soon",
                "expected a whole number of ms from 1 to 4294967295, got \"soon\"",
            ),
            ("AMPOULE_MEMORY_MIB", "5000", "expected a whole number of MiB from 1 to 4096, got \"5000\""),
            ("AMPOULE_REUSE", "0", "expected a whole number of calls from 1 to 4294967295, got \"0\""),
            ("INPUT_ACTION", "burn", "expected keep, delete, tag, move, got \"burn\""),
            ("AMPOULE_LOG", "loud", "expected error, warn, info, debug, got \"loud\""),
        ] {
            let refused = Settings::read(&Environment::of([(name, value)])).expect_err(name);
            assert_eq!(refused.to_string(), format!("{name}: {error}"));
        }
    }

    #[test]
    fn every_row_says_everything_once() {
        let mut names: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        let rows = names.len();
        names.dedup();
        assert_eq!(names.len(), rows, "a variable stands twice");
        for variable in VARIABLES {
            assert!(!variable.meaning.is_empty() && !variable.platforms.is_empty(), "{}", variable.name);
        }
        assert_eq!(markdown().lines().count(), rows + 2);
    }

    /// `WRITE=1 cargo test --release -p ampoule-functions --lib settings` writes it anew.
    #[test]
    fn the_page_holds_the_table() {
        const BEGIN: &str = "<!-- the table of functions/src/settings/variables.rs -->\n";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SETTINGS.md");
        let page = std::fs::read_to_string(&path).expect("the page is there");
        let (before, table) = page.split_once(BEGIN).expect("the table has its mark");
        if std::env::var_os("WRITE").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{}", markdown())).expect("it can be written");
            return;
        }
        assert_eq!(table, markdown(), "the page holds another table: see this test for how to write it");
    }

    #[test]
    fn a_misspelt_variable_is_found() {
        let environment = Environment::of([("AMPOULE_TOKN", "x"), ("AMPOULE_TOKEN", "x"), ("HOME", "/")]);
        assert_eq!(environment.unknown().collect::<Vec<_>>(), ["AMPOULE_TOKN"]);
    }
}
