//! Which inputs may hold NaN for a missing value: those that the graph itself fills, or that its trees send their own way.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::TensorInfo;
use crate::Dtype;

/// Operators that hand elements on as they are.
const MOVES: [&str; 13] = [
    "ArrayFeatureExtractor",
    "Cast",
    "Concat",
    "FeatureVectorizer",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The inputs of floats, in their order, whose every way through the graph ends at an operator that [`settles`] NaN; one that
/// nothing reads has no other way.
pub(super) fn may_be_missing(graph: &GraphProto, inputs: &[TensorInfo]) -> Vec<String> {
    // A graph within a node sees values that its node doesn't name.
    let nested = |node: &NodeProto| node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
    if graph.node.iter().any(nested) {
        return Vec::new();
    }
    let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for node in &graph.node {
        for name in &node.input {
            readers.entry(name).or_default().push(node);
        }
    }
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let floats = inputs.iter().filter(|info| matches!(info.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64));
    let settled = |info: &&TensorInfo| {
        let (mut ways, mut seen) = (vec![info.name.as_str()], HashSet::new());
        while let Some(name) = ways.pop() {
            if outputs.contains(name) {
                return false;
            }
            for node in readers.get(name).into_iter().flatten().filter(|node| !settles(node)) {
                if !moves(node) {
                    return false;
                }
                ways.extend(node.output.iter().map(String::as_str).filter(|name| seen.insert(*name)));
            }
        }
        true
    };
    floats.filter(settled).map(|info| info.name.clone()).collect()
}

fn moves(node: &NodeProto) -> bool {
    // `TensorProto.DataType` of f32, f16 and f64: no integer is NaN.
    let floats =
        |node: &NodeProto| node.attribute.iter().any(|a| a.name == "to" && matches!(a.i, 1 | 10 | 11));
    MOVES.contains(&node.op_type.as_str()) && (node.op_type != "Cast" || floats(node))
}

/// Whether it is an `Imputer` of NaN, or an ensemble of which some node sends a missing value its own way
/// (`ai.onnx.ml`, `nodes_missing_value_tracks_true`).
fn settles(node: &NodeProto) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    if node.op_type == "Imputer" {
        return attribute("replaced_value_float").is_some_and(|value| value.f.is_nan());
    }
    node.op_type.starts_with("TreeEnsemble")
        && attribute("nodes_missing_value_tracks_true")
            .is_some_and(|ways| ways.ints.iter().any(|&way| way != 0))
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, ValueInfoProto};

    use super::*;
    use crate::Dim;

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        NodeProto {
            op_type: operator.to_owned(),
            input: names(inputs),
            output: names(&[output]),
            ..NodeProto::default()
        }
    }

    fn imputer(input: &str, output: &str, replaced: f32) -> NodeProto {
        let name = "replaced_value_float".to_owned();
        let attribute = vec![AttributeProto { name, f: replaced, ..AttributeProto::default() }];
        NodeProto { attribute, ..node("Imputer", &[input], output) }
    }

    fn missing(nodes: Vec<NodeProto>) -> Vec<String> {
        let output = vec![ValueInfoProto { name: "y".to_owned(), ..ValueInfoProto::default() }];
        let graph = GraphProto { node: nodes, output, ..GraphProto::default() };
        let info = |(name, dtype): (&str, Dtype)| TensorInfo {
            name: name.to_owned(),
            dtype,
            shape: vec![Dim::Symbol("N".to_owned()), Dim::Fixed(1)],
        };
        may_be_missing(&graph, &[("a", Dtype::F32), ("b", Dtype::F64), ("n", Dtype::I64)].map(info))
    }

    #[test]
    fn what_reaches_only_an_imputer_may_be_missing() {
        for (nodes, expected) in [
            (vec![imputer("a", "y", f32::NAN), node("Neg", &["b"], "z")], &["a"][..]),
            (vec![node("Concat", &["a", "b", "n"], "c"), imputer("c", "y", f32::NAN)], &["a", "b"]),
            // One other way is enough against it, and so is an imputer of another value.
            (vec![imputer("a", "y", f32::NAN), node("Abs", &["a"], "z"), node("Abs", &["b"], "w")], &[]),
            (vec![imputer("a", "y", -1.0), imputer("b", "z", f32::NAN)], &["b"]),
            (vec![imputer("b", "z", f32::NAN), node("Identity", &["a"], "y")], &["b"]),
            (vec![node("Abs", &["a"], "y")], &["b"]),
            (vec![node("Cast", &["a"], "c"), imputer("c", "y", f32::NAN)], &["b"]),
            // Nodes in a ring, which is no graph, come to an end too.
            (
                vec![
                    node("Concat", &["a", "d"], "c"),
                    node("Squeeze", &["c"], "d"),
                    imputer("d", "y", f32::NAN),
                ],
                &["a", "b"],
            ),
        ] {
            assert_eq!(missing(nodes), expected);
        }
    }
}
