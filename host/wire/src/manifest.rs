//! [`Manifest`]: what an ampoule says about itself, readable without running it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a manifest can't be used: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidManifest(pub String);

/// What is sealed beside the predictor and the graphs, as canonical JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this layout; 1.
    pub ampoule: u32,
    /// `[a-z0-9][a-z0-9._-]{0,63}`: it is part of routes and file names.
    pub name: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An SPDX expression for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where the model came from: a URL or a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub inputs: Vec<Field>,
    pub outputs: Vec<Field>,
    #[serde(default)]
    pub graphs: Vec<GraphFacts>,
    /// What the predictor does before and after the graph. It means something to the predictor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<serde_json::Value>,
    /// Instances that show what the model takes, each as a caller would send it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<serde_json::Value>,
    /// What else the predictor wants to know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Sha256 (lower-case hex) of the predictor as it was before sealing.
    #[serde(default)]
    pub predictor_sha256: String,
    /// What `ampoule check --record` found the same everywhere. It is no part of what is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
}

/// The environments that gave the native engine's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// Sha256 (lower-case hex) of the file that was checked: this one without `checked` in its manifest.
    pub sha256: String,
    /// How far numbers were allowed to be apart, absolute or relative, whichever is larger.
    pub tolerance: f64,
    pub environments: BTreeMap<String, Agreement>,
}

/// What one environment's answers were held to the native engine's in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// How many instances were compared.
    pub instances: u64,
    /// The largest difference of two numbers; 0 where all were equal to the bit.
    pub largest_difference: f64,
    /// What was compared of a prediction, where it wasn't all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// One input or output of the signature, for one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    /// The element type of a dense array; without it and without `media`, any JSON value is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// The shape of one instance's array; empty for a scalar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<Dim>,
    /// For a blob: the media types that are let in, or the one that comes out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The unit of the values, such as `cm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The smallest and the largest value that is let in; both ends belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// The classes, in the order of their indices; for an input, the only strings let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Whether `null` may stand for a value: it becomes NaN, or a missing string, which graphs
    /// don't take: a step of the pipeline has to put a value in its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// How a [`Field`]'s values travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form<'a> {
    /// A dense array of numbers or strings, and the shape of one instance.
    Tensor(Dtype, &'a [Dim]),
    /// A blob of one of these media types.
    Media(&'a [String]),
    /// Any JSON value; the predictor says what it makes of it.
    Json,
}

/// The element type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    String,
}

impl Dtype {
    /// The name that manifests and messages use, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::String => "string",
        }
    }
}

/// The size of one axis: a number, or a name for a size that differs between instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    Fixed(u32),
    Symbol(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Symbol(name) => f.write_str(name),
        }
    }
}

impl Field {
    /// How its values travel.
    pub fn form(&self) -> Form<'_> {
        match self.dtype {
            Some(dtype) => Form::Tensor(dtype, &self.shape),
            None if self.media.is_empty() => Form::Json,
            None => Form::Media(&self.media),
        }
    }

    /// How messages and pages name the field's type: `f32[3, h, w]`, `image/png`, `any JSON value`.
    pub fn type_name(&self) -> String {
        match self.form() {
            Form::Tensor(dtype, []) => dtype.name().to_owned(),
            Form::Tensor(dtype, shape) => format!("{}{}", dtype.name(), dims(shape)),
            Form::Media(media) => media.join(" or "),
            Form::Json => "any JSON value".to_owned(),
        }
    }
}

/// `[3, h, w]`.
pub(crate) fn dims(shape: &[Dim]) -> String {
    let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", axes.join(", "))
}

/// What a sealed graph takes and gives, as its file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphFacts {
    /// The name that `load-by-name` finds it under; the first graph is the one that is run by default.
    pub name: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Sha256 of its file, lower-case hex.
    pub sha256: String,
    pub inputs: Vec<GraphTensor>,
    pub outputs: Vec<GraphTensor>,
    /// Shapes to be made ready when the ampoule is opened: for each, one shape for each input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<Vec<Vec<usize>>>,
}

/// One input or output of a graph; its shape has the batch axis, if the graph has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphTensor {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<Dim>,
}

impl Manifest {
    /// Reads and checks the manifest section of an ampoule.
    ///
    /// # Errors
    /// [`InvalidManifest`].
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidManifest> {
        let manifest: Self =
            serde_json::from_slice(text).map_err(|cause| InvalidManifest(cause.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The canonical text: the same manifest always gives the same bytes.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest has string keys and finite numbers only")
    }

    /// Whether instances are blobs.
    pub fn takes_media(&self) -> Option<&[String]> {
        match self.inputs.as_slice() {
            [field] if matches!(field.form(), Form::Media(_)) => Some(&field.media),
            _ => None,
        }
    }

    /// Checks what the types alone don't say.
    ///
    /// # Errors
    /// [`InvalidManifest`].
    pub fn check(&self) -> Result<(), InvalidManifest> {
        let refuse = |why: String| Err(InvalidManifest(why));
        if self.ampoule != 1 {
            return refuse(format!(
                "ampoule: expected layout 1, got {} (made by a later version?)",
                self.ampoule
            ));
        }
        if !is_name(&self.name) {
            return refuse(format!("name: expected [a-z0-9][a-z0-9._-]{{0,63}}, got {:?}", self.name));
        }
        if self.inputs.is_empty() {
            return refuse("inputs: expected at least one, got none".to_owned());
        }
        for (side, fields) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            if let Some(twice) = first_repeated(fields.iter().map(|field| field.name.as_str())) {
                return refuse(format!("{side}: \"{twice}\" stands twice"));
            }
            for field in fields {
                if field.name.is_empty() || field.name.len() > 256 {
                    return refuse(format!(
                        "{side}: expected a name of 1 to 256 bytes, got {:?}",
                        field.name
                    ));
                }
                if field.dtype.is_some() && !field.media.is_empty() {
                    return refuse(format!("{side}.{}: expected dtype or media, got both", field.name));
                }
                if let Some([low, high]) = field.range
                    && (low.is_nan() || high.is_nan() || low > high)
                {
                    return refuse(format!(
                        "{side}.{}.range: expected [low, high], got [{low}, {high}]",
                        field.name
                    ));
                }
            }
            let alone = |field: &Field| !matches!(field.form(), Form::Tensor(..));
            if fields.len() > 1 && fields.iter().any(alone) {
                return refuse(format!(
                    "{side}: a field of media or of any JSON stands alone, got {} fields",
                    fields.len()
                ));
            }
        }
        if let Some(Checked { tolerance, .. }) = self.checked
            && !(tolerance.is_finite() && tolerance >= 0.0)
        {
            return refuse(format!("checked.tolerance: expected a number of 0 or more, got {tolerance}"));
        }
        if let Some(twice) = first_repeated(self.graphs.iter().map(|graph| graph.name.as_str())) {
            return refuse(format!("graphs: \"{twice}\" stands twice"));
        }
        Ok(())
    }
}

/// Whether `name` may name an ampoule: `[a-z0-9][a-z0-9._-]{0,63}`.
pub fn is_name(name: &str) -> bool {
    let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let head = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    head && name.len() <= 64 && name.bytes().all(tail)
}

/// The first name, in order, that stands more than once.
pub(crate) fn first_repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
