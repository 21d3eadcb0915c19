//! From the files of the libraries that train tree ensembles to what runs here: [`import`] looks which library wrote
//! the bytes, and that library's module reads them into an [`Import`].
//!
//! The bytes are untrusted: what is read is checked, counted before it is kept ([`Budget`]), and refused by name
//! where it is not understood.

mod budget;
mod catboost;
mod lightgbm;
mod linear;
mod list;
mod sealed;
mod ubjson;
mod xgboost;

pub(crate) use linear::Linear;

use crate::Error;
use crate::forest::{Checked, Link};

/// What a model is for, as its objective says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Classification,
    Regression,
    Ranking,
    /// Hazard ratios or survival times
    Survival,
}

/// A column of a booster's input, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// Not empty
    pub name: String,
    /// What the column holds
    pub kind: FeatureKind,
    /// Of a categorical feature, where the file lists them: the value in the input is the position in here
    pub categories: Vec<String>,
}

/// What a feature's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeatureKind {
    /// Any number
    Float,
    /// Whole numbers
    Integer,
    /// 0 or 1
    Indicator,
    /// The codes of categories: 0, 1, 2, …
    Categorical,
}

/// A booster's file, read: what computes its raw scores, and what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) model: Model,
    /// What wrote the file, such as `XGBoost 3.2.0`
    pub(crate) producer: String,
    /// The library's own name for it
    pub(crate) objective: String,
    pub(crate) task: Task,
    /// As many as the rows are wide, or none if the file doesn't name them
    pub(crate) features: Vec<Feature>,
    pub(crate) answer: Answer,
}

/// What computes raw scores, and predictions from them.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Trees(Checked),
    Linear(Linear),
}

/// What is answered for each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// What the model predicts
    Predictions,
    /// A class, and where `probabilities` says so, how likely each is
    Classes { labels: Labels, decided_by: Decision, probabilities: Probabilities },
}

/// The classes' names, in the order of their scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Labels {
    Integers(Vec<i64>),
    Strings(Vec<String>),
}

/// How a class is found. With one score for two classes: the second if the score or the probability is above the middle
/// (0 or 0.5). Otherwise the first of the greatest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Scores,
    Probabilities,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probabilities {
    Given,
    /// The objective knows classes only (XGBoost's `binary:hinge`)
    Unknown,
}

/// What is in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    XgboostJson,
    XgboostUbjson,
    Lightgbm,
    Catboost,
    Compact,
}

impl Format {
    /// By the first bytes alone; `None` for anything else, such as ONNX.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a library's other formats, `InvalidModel` for JSON of another kind.
    pub(crate) fn of(bytes: &[u8]) -> Result<Option<Self>, Error> {
        // Of any version: another than this one is refused when it is read.
        if bytes.starts_with(&sealed::MAGIC[..7]) {
            return Ok(Some(Self::Compact));
        }
        let text = bytes.trim_ascii_start();
        if [b"tree\n".as_slice(), b"tree\r\n"].iter().any(|start| text.starts_with(start)) {
            return Ok(Some(Self::Lightgbm));
        }
        if bytes.starts_with(b"CBM1") {
            let mend = "save it with format=\"json\"";
            return Err(Error::unsupported(format!("CatBoost's binary format is not read ({mend})")));
        }
        if bytes.starts_with(b"binf") {
            let mend = "save it as .json or .ubj";
            return Err(Error::unsupported(format!(
                "XGBoost's deprecated binary format is not read ({mend})"
            )));
        }
        let [b'{', inside @ ..] = text else { return Ok(None) };
        if matches!(inside, [b'L' | b'i' | b'U' | b'I' | b'l' | b'#', ..]) {
            return Ok(Some(Self::XgboostUbjson));
        }
        match first_key(inside) {
            Some(b"learner" | b"version") => Ok(Some(Self::XgboostJson)),
            Some(
                b"ctr_data" | b"features_info" | b"model_info" | b"oblivious_trees" | b"scale_and_bias"
                | b"trees",
            ) => Ok(Some(Self::Catboost)),
            _ => {
                let expected = "expected a model of XGBoost or CatBoost, got other JSON";
                Err(Error::model(expected))
            }
        }
    }
}

fn first_key(inside: &[u8]) -> Option<&[u8]> {
    let key = inside.trim_ascii_start().strip_prefix(b"\"")?;
    key.split(|byte| *byte == b'"').next()
}

/// Reads a booster; `format` is what [`Format::of`] said of the same bytes.
///
/// # Errors
///
/// `InvalidModel` for bytes that are not what they seem or contradict themselves, `Unsupported`, with its name, for
/// what is not run here.
pub(crate) fn import(bytes: &[u8], format: Format) -> Result<Import, Error> {
    let import = match format {
        Format::XgboostJson => xgboost::json(bytes),
        Format::XgboostUbjson => xgboost::ubjson(bytes),
        Format::Lightgbm => lightgbm::read(bytes),
        Format::Catboost => catboost::read(bytes),
        Format::Compact => return import_compact(bytes),
    }?;
    import.check()?;
    Ok(import)
}

/// The form in which a booster loads fastest, many times faster than from its library's file; a [`Graph`](crate::Graph)
/// takes either. The same model gives the same bytes. `None` for what has no other form: ONNX, and this form itself.
///
/// # Errors
///
/// As [`Graph::load`](crate::Graph::load) of a booster.
pub fn compact(bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match Format::of(bytes)? {
        None | Some(Format::Compact) => Ok(None),
        Some(format) => import(bytes, format).map(|import| Some(sealed::write(&import))),
    }
}

/// Whether `bytes` are what [`compact`] gives; whether they are whole is seen when they are loaded.
pub fn is_compact(bytes: &[u8]) -> bool {
    bytes.starts_with(sealed::MAGIC)
}

/// As [`import`], of the compact form alone.
///
/// # Errors
///
/// `InvalidModel` for anything else.
pub(crate) fn import_compact(bytes: &[u8]) -> Result<Import, Error> {
    let import = sealed::read(bytes)?;
    import.check()?;
    Ok(import)
}

impl Import {
    /// Whether all parts fit each other.
    ///
    /// # Errors
    ///
    /// `InvalidModel`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Model::Linear(linear) = &self.model {
            linear.check()?;
        }
        let (features, named) = (self.width(), self.features.len());
        if features == 0 {
            return Err(Error::model("the model has no features"));
        }
        if named != 0 && named != features {
            return Err(Error::model(format!("expected names of {features} features, got {named}")));
        }
        if let Answer::Classes { labels, .. } = &self.answer {
            let (scores, labels) = (self.scores(), labels.len());
            if labels != scores.max(2) {
                return Err(Error::model(format!(
                    "expected labels of {} classes, got {labels}",
                    scores.max(2)
                )));
            }
        }
        Ok(())
    }

    /// How many features a row has.
    pub(crate) fn width(&self) -> usize {
        match &self.model {
            Model::Trees(forest) => forest.features,
            Model::Linear(linear) => linear.features,
        }
    }

    pub(crate) fn link(&self) -> Link {
        match &self.model {
            Model::Trees(forest) => forest.link,
            Model::Linear(linear) => linear.link,
        }
    }

    /// How many raw scores a row gets.
    pub(crate) fn scores(&self) -> usize {
        match &self.model {
            Model::Trees(forest) => forest.outputs,
            Model::Linear(linear) => linear.outputs,
        }
    }
}

impl Labels {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integers(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    /// 0, 1, 2, …
    fn numbered(classes: usize) -> Self {
        Self::Integers((0..classes as i64).collect())
    }
}
