//! What an ONNX file says about itself.

use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};

use super::{Description, Dim, TensorInfo};
use crate::{Dtype, Error};

impl Description {
    pub(crate) fn of(model: &ModelProto) -> Result<Self, Error> {
        let Some(graph) = &model.graph else {
            return Err(Error::model("the file holds no graph; is it an ONNX model?"));
        };
        let inputs = graph.input.iter().filter(|i| graph.initializer.iter().all(|t| t.name != i.name));
        let mut description = Self {
            inputs: inputs.map(|i| read("input", i, graph)).collect::<Result<_, _>>()?,
            outputs: graph.output.iter().map(|o| read_output(o, graph)).collect::<Result<_, _>>()?,
            doc: [&model.doc_string, &graph.doc_string]
                .into_iter()
                .find(|d| !d.is_empty())
                .cloned()
                .unwrap_or_default(),
            producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
            metadata: model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
            labels: labels(graph),
            missing: Vec::new(),
            features: Vec::new(),
            task: None,
        };
        unique("input", &description.inputs)?;
        unique("output", &description.outputs)?;
        if description.outputs.is_empty() {
            return Err(Error::model("the graph has no outputs"));
        }
        description.missing = super::missing::may_be_missing(graph, &description.inputs);
        Ok(description)
    }
}

/// As [`read`]. The maps of a ZipMap are no tensor; what is given in their place is the scores.
fn read_output(info: &ValueInfoProto, graph: &GraphProto) -> Result<TensorInfo, Error> {
    let zipped = graph.node.iter().find(|node| node.op_type == "ZipMap" && node.output.contains(&info.name));
    let Some(node) = zipped else { return read("output", info, graph) };
    let classes: usize = node.attribute.iter().map(|a| a.ints.len() + a.strings.len()).sum();
    let shape = vec![Dim::Symbol("?".to_owned()), Dim::Fixed(classes)];
    Ok(TensorInfo { name: info.name.clone(), dtype: Dtype::F32, shape })
}

fn read(role: &str, info: &ValueInfoProto, graph: &GraphProto) -> Result<TensorInfo, Error> {
    let name = info.name.clone();
    // Sequences and maps are skipped by the decoder, as is a type that is missing.
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        let near = graph.node.iter().find(|node| node.input.contains(&name) || node.output.contains(&name));
        let operator = near.map(|node| format!(" of operator {}", node.op_type)).unwrap_or_default();
        return Err(Error::unsupported(format!(
            "{role} {name:?}: expected a tensor, got another type{operator} (a map, a sequence or an optional value)"
        )));
    };
    let dtype = Dtype::from_onnx(tensor.elem_type).ok_or_else(|| {
        Error::unsupported(format!(
            "{role} {name:?}: ONNX element type {} has no dtype here",
            tensor.elem_type
        ))
    })?;
    let shape = match &tensor.shape {
        Some(shape) => shape.dim.iter().map(|d| dim(d.value.as_ref())).collect(),
        None if role == "output" => vec![Dim::Symbol("...".to_owned())],
        None => return Err(Error::unsupported(format!("{role} {name:?}: the file declares no shape"))),
    };
    Ok(TensorInfo { name, dtype, shape })
}

/// Exporters write -1 or 0 for a dim that they leave open.
fn dim(value: Option<&Value>) -> Dim {
    match value {
        Some(Value::DimValue(n)) if *n > 0 => Dim::Fixed(usize::try_from(*n).unwrap_or(usize::MAX)),
        Some(Value::DimParam(name)) if !name.is_empty() => Dim::Symbol(name.clone()),
        _ => Dim::Symbol("?".to_owned()),
    }
}

fn unique(role: &str, infos: &[TensorInfo]) -> Result<(), Error> {
    let twice = |i: &usize| infos[..*i].iter().any(|earlier| earlier.name == infos[*i].name);
    match (0..infos.len()).find(twice) {
        Some(i) => Err(Error::model(format!("{role} {:?} is declared twice", infos[i].name))),
        None => Ok(()),
    }
}

/// Attributes of ZipMap, TreeEnsembleClassifier, LinearClassifier and SVMClassifier (ONNX, `ai.onnx.ml` operators).
fn labels(graph: &GraphProto) -> Vec<String> {
    let names = |n: &&NodeProto| n.op_type == "ZipMap" || n.op_type.ends_with("Classifier");
    let attributes = graph.node.iter().rev().filter(names).flat_map(|n| &n.attribute);
    for attribute in attributes {
        match attribute.name.as_str() {
            "classlabels_int64s" | "classlabels_ints" if !attribute.ints.is_empty() => {
                return attribute.ints.iter().map(i64::to_string).collect();
            }
            "classlabels_strings" if !attribute.strings.is_empty() => {
                return attribute.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
            }
            _ => {}
        }
    }
    Vec::new()
}
