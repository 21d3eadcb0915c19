//! A signature from what a graph says of itself.

use std::path::Path;

use ampoule_host::seal::{Feature, FeatureKind};
use ampoule_host::{Dim, Dtype, Field, GraphFacts, GraphTensor};
use anyhow::bail;
use serde_json::{Value, json};

/// A field for each of a graph's inputs, without the batch axis. A column, `[N, 1]`, is one value for each
/// instance; those of `missing` may be left out.
pub fn of_inputs(tensors: &[GraphTensor], missing: &[String]) -> anyhow::Result<Vec<Field>> {
    let input = |tensor: &GraphTensor| {
        let mut field = field(tensor, &[])?;
        if field.shape == [Dim::Fixed(1)] {
            field.shape.clear();
        }
        field.missing = missing.contains(&tensor.name);
        Ok(field)
    };
    tensors.iter().map(input).collect()
}

/// A field for each of a graph's outputs, without the batch axis. One whose last axis counts the classes gets
/// their labels.
pub fn of_outputs(tensors: &[GraphTensor], labels: &[String]) -> anyhow::Result<Vec<Field>> {
    tensors.iter().map(|tensor| field(tensor, labels)).collect()
}

fn field(tensor: &GraphTensor, labels: &[String]) -> anyhow::Result<Field> {
    let dtype = match tensor.dtype.as_str() {
        "bool" => Dtype::Bool,
        "u8" => Dtype::U8,
        "i8" => Dtype::I8,
        "i16" => Dtype::I16,
        "i32" => Dtype::I32,
        "i64" => Dtype::I64,
        "f16" => Dtype::F16,
        "f32" => Dtype::F32,
        "f64" => Dtype::F64,
        "string" => Dtype::String,
        other => bail!("\"{}\" has dtype {other}, which signatures don't have", tensor.name),
    };
    let shape = match tensor.shape.split_first() {
        Some((Dim::Symbol(_) | Dim::Fixed(1), rest)) => rest.to_vec(),
        Some((Dim::Fixed(size), _)) => {
            bail!("the first axis of \"{}\" is {size}, so it can't count instances", tensor.name)
        }
        None => bail!("\"{}\" is a scalar, so it can't hold several instances", tensor.name),
    };
    let classes = matches!(shape.last(), Some(Dim::Fixed(size)) if *size as usize == labels.len());
    Ok(Field {
        name: tensor.name.clone(),
        dtype: Some(dtype),
        shape,
        media: Vec::new(),
        description: None,
        unit: None,
        range: None,
        labels: if classes { labels.to_vec() } else { Vec::new() },
        missing: false,
    })
}

/// A field for each column of a booster's only input; a missing value is one that it knows.
pub fn of_features(features: &[Feature], input: &GraphTensor) -> anyhow::Result<Vec<Field>> {
    let number = field(input, &[])?.dtype;
    let field = |feature: &Feature| {
        let named = !feature.categories.is_empty();
        let text = named && numbers(&feature.categories).is_none();
        Field {
            name: feature.name.clone(),
            dtype: if text { Some(Dtype::String) } else { number },
            shape: Vec::new(),
            media: Vec::new(),
            description: match feature.kind {
                FeatureKind::Categorical if named => Some(one_of(&feature.categories)),
                FeatureKind::Categorical => Some("the code of a category: 0, 1, 2, …".to_owned()),
                FeatureKind::Integer => Some("a whole number".to_owned()),
                FeatureKind::Float | FeatureKind::Indicator => None,
            },
            unit: None,
            range: (feature.kind == FeatureKind::Indicator).then_some([0.0, 1.0]),
            labels: Vec::new(),
            missing: true,
        }
    };
    Ok(features.iter().map(field).collect())
}

/// The steps that turn the names of categories into the codes that the booster was trained with.
pub fn codes(features: &[Feature], input: &GraphTensor) -> Vec<Value> {
    let named = features.iter().filter(|feature| !feature.categories.is_empty());
    named
        .map(|feature| {
            json!({ "ordinal": {
                "column": feature.name,
                "categories": numbers(&feature.categories).unwrap_or_else(|| json!(feature.categories)),
                "missing": { "value": null },
                "dtype": input.dtype,
            } })
        })
        .collect()
}

/// Categories that are all whole numbers, as such: years rather than names.
fn numbers(categories: &[String]) -> Option<Value> {
    categories
        .iter()
        .map(|category| category.parse::<i32>().ok())
        .collect::<Option<Vec<_>>>()
        .map(Value::from)
}

fn one_of(categories: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text =
        format!("one of {}", categories.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "));
    if categories.len() > SHOWN {
        text.push_str(&format!(" and {} more", categories.len() - SHOWN));
    }
    text
}

/// Whether the graph's batch axis is fixed at 1.
pub fn takes_one_at_a_time(graph: &GraphFacts) -> bool {
    graph.inputs.iter().any(|input| matches!(input.shape.first(), Some(Dim::Fixed(1))))
}

/// Sets a part of the pipeline where it says nothing of it.
pub fn set(pipeline: &mut Option<Value>, part: &str, value: Value) {
    let pipeline = pipeline.get_or_insert_with(|| json!({}));
    if let Some(pipeline) = pipeline.as_object_mut() {
        pipeline.entry(part).or_insert(value);
    }
}

/// A name from a file's: `My Model.onnx` is `my-model`.
pub fn name_of(path: &Path) -> String {
    let file = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = file.map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = stem
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}
