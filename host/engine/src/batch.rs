//! [`independent`]: whether what a graph makes of a picture is the same whatever else is in its batch.
//!
//! Such a graph needs no plan of its own for each size of a batch, and its pictures can be computed on several threads,
//! with the same bits in any order.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use crate::signature::{Description, Dim};

/// Operators that leave each picture by itself where only their first input is no constant.
const BY_PICTURE: [&str; 18] = [
    "AveragePool",
    "Clip",
    "Conv",
    "ConvTranspose",
    "Elu",
    "Erf",
    "Exp",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "MaxPool",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Tanh",
];

/// Elementwise operators of two operands or more.
const ELEMENTWISE: [&str; 7] = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"];

/// Whether every input is `[N, C, H, W]` and so is all that is made of it, picture by picture. Knows the operators of
/// convolutional networks; of any other the answer is no.
pub(crate) fn independent(graph: &GraphProto, description: &Description) -> bool {
    let open = |shape: &[Dim]| shape.len() == 4 && matches!(shape.first(), Some(Dim::Symbol(_)));
    if description.inputs.is_empty() || !description.inputs.iter().all(|input| open(&input.shape)) {
        return false;
    }
    let mut constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut pictures: HashSet<&str> = description.inputs.iter().map(|input| input.name.as_str()).collect();
    for node in &graph.node {
        if node.op_type == "Constant" {
            let (Some(value), [output]) =
                (attribute(node, "value").and_then(|a| a.t.as_ref()), &node.output[..])
            else {
                return false;
            };
            constants.insert(output, value);
            continue;
        }
        let mut inputs = node.input.iter().map(String::as_str).filter(|name| !name.is_empty());
        if !node.domain.is_empty()
            || !inputs.all(|name| pictures.contains(name) || constants.contains_key(name))
            || !by_picture(node, &pictures, &constants)
        {
            return false;
        }
        // Of several outputs, such as a pool's indices, only the first is known to be of pictures.
        pictures.extend(node.output.first().map(String::as_str));
    }
    graph.output.iter().all(|output| pictures.contains(output.name.as_str()))
}

fn by_picture(node: &NodeProto, pictures: &HashSet<&str>, constants: &HashMap<&str, &TensorProto>) -> bool {
    let is_picture = |name: &String| pictures.contains(name.as_str());
    let Some((first, rest)) = node.input.split_first() else { return false };
    let fixed = is_picture(first) && !rest.iter().any(is_picture);
    // An axis of four, and not the first.
    let inner = |axis: i64| (1..4).contains(&axis) || (-3..0).contains(&axis);
    let axis = || attribute(node, "axis").map(|a| a.i);
    match node.op_type.as_str() {
        // Where it trains, it looks at the whole batch, and has more outputs.
        "BatchNormalization" => {
            fixed && node.output.len() == 1 && attribute(node, "training_mode").is_none_or(|mode| mode.i == 0)
        }
        op if BY_PICTURE.contains(&op) => fixed,
        op if ELEMENTWISE.contains(&op) => node.input.iter().all(|name| {
            is_picture(name)
                || constants
                    .get(name.as_str())
                    .is_some_and(|value| value.dims.len() < 4 || value.dims.len() == 4 && value.dims[0] == 1)
        }),
        "Concat" => node.input.iter().all(is_picture) && axis().is_some_and(inner),
        "Softmax" | "LogSoftmax" => fixed && axis().is_none_or(inner),
        "Resize" | "Upsample" => {
            let scales = node.input.last().and_then(|name| constants.get(name.as_str())).map(|t| floats(t));
            let whole = |scales: Vec<f32>| scales.len() == 4 && scales[0] == 1.0;
            let plain = attribute(node, "axes").is_none()
                && attribute(node, "coordinate_transformation_mode")
                    .is_none_or(|mode| mode.s != b"tf_crop_and_resize");
            fixed && plain && node.input.len() <= 3 && scales.is_some_and(whole)
        }
        _ => false,
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// The values of a constant in f32; none where it is of another dtype.
fn floats(tensor: &TensorProto) -> Vec<f32> {
    const FLOAT: i32 = 1;
    if tensor.data_type != FLOAT {
        return Vec::new();
    }
    if tensor.raw_data.is_empty() {
        return tensor.float_data.clone();
    }
    tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::TensorInfo;
    use crate::{Dtype, Tensor};

    fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> NodeProto {
        NodeProto {
            op_type: op.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes
                .iter()
                .map(|(name, i)| AttributeProto {
                    name: (*name).to_owned(),
                    i: *i,
                    ..AttributeProto::default()
                })
                .collect(),
            ..NodeProto::default()
        }
    }

    fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data: values.to_vec(),
            ..TensorProto::default()
        }
    }

    fn is_independent(nodes: &[NodeProto]) -> bool {
        let output = nodes.last().map(|node| node.output[0].clone()).unwrap_or_default();
        let graph = GraphProto {
            node: nodes.to_vec(),
            initializer: vec![
                tensor("w", &[8, 3, 3, 3], &[]),
                tensor("channels", &[8, 1, 1], &[]),
                tensor("one", &[1, 8, 1, 1], &[]),
                tensor("batch", &[2, 8, 1, 1], &[]),
                tensor("twice", &[4], &[1.0, 1.0, 2.0, 2.0]),
                tensor("longer", &[4], &[2.0, 1.0, 2.0, 2.0]),
            ],
            output: vec![tract_onnx::pb::ValueInfoProto { name: output, ..Default::default() }],
            ..GraphProto::default()
        };
        let dims = ["N", "C", "H", "W"].map(|name| Dim::Symbol(name.to_owned()));
        let info = TensorInfo { name: "x".to_owned(), dtype: Dtype::F32, shape: dims.to_vec() };
        independent(&graph, &Description { inputs: vec![info], ..Description::default() })
    }

    #[test]
    fn a_graph_is_independent_only_if_every_node_keeps_the_first_axis_by_itself() {
        let after = |op: &str, inputs: &[&str], attributes: &[(&str, i64)]| {
            is_independent(&[node("Conv", &["x", "w"], "c", &[]), node(op, inputs, "y", attributes)])
        };
        for (is, op, inputs, attributes) in [
            (true, "Relu", &["c"] as &[_], &[] as &[_]),
            (true, "Add", &["c", "c"], &[]),
            (true, "Mul", &["c", "channels"], &[]),
            (true, "Mul", &["one", "c"], &[]),
            (false, "Mul", &["c", "batch"], &[]),
            (true, "Concat", &["c", "x"], &[("axis", 1)]),
            (true, "Concat", &["c", "x"], &[("axis", -2)]),
            (false, "Concat", &["c", "x"], &[("axis", 0)]),
            (false, "Concat", &["c", "x"], &[("axis", -4)]),
            (false, "Concat", &["c", "w"], &[("axis", 1)]),
            (true, "Softmax", &["c"], &[("axis", 1)]),
            (false, "Softmax", &["c"], &[("axis", 0)]),
            (true, "Resize", &["c", "", "twice"], &[]),
            (false, "Resize", &["c", "", "longer"], &[]),
            (false, "Resize", &["c", "", "", "twice"], &[]),
            (true, "BatchNormalization", &["c", "w", "w", "w", "w"], &[]),
            (false, "BatchNormalization", &["c", "w", "w", "w", "w"], &[("training_mode", 1)]),
            (false, "Conv", &["x", "c"], &[]),
            (false, "ReduceMean", &["c"], &[]),
            (false, "Transpose", &["c"], &[]),
            (false, "Relu", &["unknown"], &[]),
            (false, "Relu", &["w"], &[]),
        ] {
            assert_eq!(after(op, inputs, attributes), is, "{op} of {inputs:?} {attributes:?}");
        }
        let foreign = NodeProto { domain: "com.example".to_owned(), ..node("Relu", &["x"], "y", &[]) };
        assert!(!is_independent(&[foreign]));
    }

    #[test]
    fn pictures_have_the_same_bits_alone_and_in_any_batch() {
        let bytes = include_bytes!("../tests/models/cnn.onnx");
        let graph = crate::Graph::load(bytes, &crate::LoadOptions::default()).expect("it loads");
        let info = &graph.inputs()[0];
        let one: Vec<usize> = info
            .shape
            .iter()
            .enumerate()
            .map(|(axis, dim)| match dim {
                Dim::Fixed(n) => *n,
                Dim::Symbol(_) if axis == 0 => 1,
                Dim::Symbol(_) => 16,
            })
            .collect();
        let size: usize = one.iter().product();
        let values: Vec<u8> =
            (0..5 * size).flat_map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0).to_le_bytes()).collect();
        let shape = |count| [&[count], &one[1..]].concat();
        let run = |from: usize, count: usize, helpers| {
            let bytes = &values[from * size * 4..][..count * size * 4];
            let tensor = Tensor::from_le_bytes(Dtype::F32, &shape(count), bytes).expect("a batch");
            let made = graph.run_with(vec![(info.name.clone(), tensor)], helpers).expect("it runs");
            made[0].1.as_bytes().to_vec()
        };
        let alone: Vec<u8> = (0..5).flat_map(|at| run(at, 1, 0)).collect();
        for helpers in [0, 1, 3, 9] {
            assert_eq!(run(0, 5, helpers), alone, "{helpers} helpers");
        }
    }
}
