//! CatBoost's models in JSON: symmetric trees (`oblivious_trees`) and others (`trees`), of numerical features.
//!
//! Fields are those that CatBoost's `catboost/libs/model/model_export/json_model_helpers.cpp` writes. Values are compared
//! in f32 (`x > border`) and leaves added in f64, then scaled and shifted.

mod objective;
mod trees;

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::budget::{Budget, MAX_NAMES};
use super::list::{Numbers, each, lenient};
use super::{Feature, FeatureKind, Import, Model};
use crate::Error;
use crate::forest::{Aggregate, Arithmetic, Base, Compare, Forest, Way};
use objective::{Classes, Objective, Parameters};
use trees::{Oblivious, Trees};

pub(super) fn read(bytes: &[u8]) -> Result<Import, Error> {
    // Numbers take eight bytes here, and room to grow; those that CatBoost writes take more than four there.
    let commas = bytes.iter().filter(|byte| **byte == b',').count();
    if commas > bytes.len() / 4 + (1 << 20) {
        return Err(wrong("expected numbers as CatBoost writes them, got shorter ones"));
    }
    let file = lenient(bytes, |bytes| serde_json::from_slice(bytes));
    build(file.map_err(|e| Error::model(format!("CatBoost's JSON: {e}")))?, bytes.len())
}

#[derive(Deserialize)]
struct File {
    features_info: Features,
    #[serde(default)]
    model_info: About,
    oblivious_trees: Option<Oblivious>,
    trees: Option<Trees>,
    /// A factor, and what is then added to each score: a list, in old files one number
    scale_and_bias: Option<(f64, Numbers)>,
}

#[derive(Deserialize)]
struct Features {
    #[serde(default)]
    float_features: FloatFeatures,
    #[serde(default)]
    categorical_features: Unread,
    #[serde(default)]
    text_features: Unread,
    #[serde(default)]
    embedding_features: Unread,
}

#[derive(Default)]
struct FloatFeatures(Vec<FloatFeature>);

#[derive(Deserialize)]
pub(super) struct FloatFeature {
    #[serde(default)]
    feature_id: String,
    /// Among those of its kind
    feature_index: u32,
    /// The column
    flat_feature_index: u32,
    #[serde(default)]
    nan_value_treatment: NanTreatment,
}

/// Where NaN goes in `x > border`.
#[derive(Clone, Copy, Default, Deserialize)]
#[expect(clippy::enum_variant_names, reason = "the file's own names")]
enum NanTreatment {
    #[default]
    AsIs,
    AsFalse,
    AsTrue,
}

/// Features of a kind that is not read: the first one's name or column.
#[derive(Default)]
struct Unread(Option<String>);

#[derive(Default, Deserialize)]
struct About {
    #[serde(default)]
    params: Parameters,
    class_params: Option<Classes>,
    catboost_version_info: Option<String>,
    binclass_probability_threshold: Option<IgnoredAny>,
}

fn build(file: File, file_bytes: usize) -> Result<Import, Error> {
    let Features { float_features, categorical_features, text_features, embedding_features } =
        file.features_info;
    for (kind, unread) in
        [("categorical", categorical_features), ("text", text_features), ("embedding", embedding_features)]
    {
        if let Some(name) = unread.0 {
            let mend = "encode it before training";
            return Err(Error::unsupported(format!("CatBoost: {kind} feature {name} is not read ({mend})")));
        }
    }
    let About { params, class_params, catboost_version_info, binclass_probability_threshold } =
        file.model_info;
    if binclass_probability_threshold.is_some() {
        return Err(Error::unsupported("CatBoost: binclass_probability_threshold is not read"));
    }
    let mut budget = Budget::of(file_bytes);
    let features = float_features.0;
    if let Some((at, _)) = features.iter().enumerate().find(|(at, f)| f.feature_index as usize != *at) {
        return Err(wrong(&format!("expected float feature {at}, got another")));
    }
    let (scale, biases) = file.scale_and_bias.unwrap_or((1.0, Numbers::One(0.0)));
    let given = match &biases {
        Numbers::Many(biases) => Some(biases.len()),
        Numbers::One(_) => None,
    };
    let (planted, outputs) = match (file.oblivious_trees, file.trees) {
        (Some(oblivious), None) => oblivious.plant(&features, given, &mut budget)?,
        (None, Some(trees)) => trees.plant(&features, given)?,
        _ => return Err(wrong("expected either oblivious_trees or trees")),
    };
    let base = match biases {
        Numbers::Many(biases) => biases,
        Numbers::One(bias) => vec![bias; outputs],
    };
    let width = features.iter().map(|feature| feature.flat_feature_index as usize + 1).max().unwrap_or(0);
    let objective = Objective::of(params, class_params, outputs)?;
    let forest = Forest {
        features: width,
        outputs,
        aggregate: Aggregate::Sum,
        base,
        base_order: Base::Last,
        scale,
        arithmetic: Arithmetic::F64,
        compare: Compare::F32,
        link: objective.link,
        ..planted
    };
    Ok(Import {
        model: Model::Trees(forest.check()?),
        producer: catboost_version_info.as_deref().and_then(version).unwrap_or("CatBoost").to_owned(),
        objective: objective.name,
        task: objective.task,
        features: describe(features, width),
        answer: objective.answer,
    })
}

/// Of a text with a line like `Summary: CatBoost release 1.2.10. commit_hash: …`.
fn version(text: &str) -> Option<&str> {
    let release = text.find("CatBoost release ").map(|at| &text[at..])?;
    let end = release.find([' ', '\n']).and_then(|_| release.find(". ")).unwrap_or(release.len());
    release.get(..end).filter(|release| release.len() < 40)
}

/// Names where every column has one.
fn describe(features: Vec<FloatFeature>, width: usize) -> Vec<Feature> {
    let in_order = features.iter().enumerate().all(|(at, feature)| feature.flat_feature_index as usize == at);
    if !in_order || features.len() != width || features.iter().any(|feature| feature.feature_id.is_empty()) {
        return Vec::new();
    }
    let describe = |feature: FloatFeature| Feature {
        name: feature.feature_id,
        kind: FeatureKind::Float,
        categories: Vec::new(),
    };
    features.into_iter().map(describe).collect()
}

impl FloatFeature {
    /// Column, and where NaN goes.
    fn column(&self) -> (u32, Way) {
        let nan = match self.nan_value_treatment {
            NanTreatment::AsIs | NanTreatment::AsFalse => Way::No,
            NanTreatment::AsTrue => Way::Yes,
        };
        (self.flat_feature_index, nan)
    }
}

impl<'a> Deserialize<'a> for FloatFeatures {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        each(reader, "a list of features", Self(Vec::new()), |Self(features), feature| {
            if features.len() == MAX_NAMES {
                return Err(format!("expected at most {MAX_NAMES} features"));
            }
            features.push(feature);
            Ok(())
        })
    }
}

impl<'a> Deserialize<'a> for Unread {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            feature_id: String,
            #[serde(default)]
            flat_feature_index: u64,
        }
        struct Reads;
        impl<'a> Visitor<'a> for Reads {
            type Value = Unread;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of features")
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Unread, A::Error> {
                let first: Option<Named> = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Unread(first.map(|feature| match feature.feature_id.as_str() {
                    "" => feature.flat_feature_index.to_string(),
                    name => format!("{name:?}"),
                })))
            }
        }
        reader.deserialize_seq(Reads)
    }
}

fn wrong(message: &str) -> Error {
    Error::model(format!("CatBoost: {message}"))
}
