//! A signature from what a graph says of itself.

use std::path::Path;

use ampoule_host::{Dim, Dtype, Field, GraphFacts, GraphTensor};
use anyhow::bail;

/// A field for each of a graph's tensors, without the batch axis. An output whose last axis counts
/// the classes gets their labels.
pub fn fields(tensors: &[GraphTensor], labels: &[String]) -> anyhow::Result<Vec<Field>> {
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

/// Whether the graph's batch axis is fixed at 1.
pub fn takes_one_at_a_time(graph: &GraphFacts) -> bool {
    graph.inputs.iter().any(|input| matches!(input.shape.first(), Some(Dim::Fixed(1))))
}

/// Sets the pipeline's `batch` where it says nothing of it.
pub fn set_batch(pipeline: &mut Option<serde_json::Value>, batch: usize) {
    let pipeline = pipeline.get_or_insert_with(|| serde_json::json!({}));
    if let Some(pipeline) = pipeline.as_object_mut() {
        pipeline.entry("batch").or_insert_with(|| batch.into());
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
