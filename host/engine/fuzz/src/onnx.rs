//! Changes to an ONNX model that leave it a protobuf with known operators and names that exist: what is wrong with it is
//! then found by the readers of attributes, by the inference of shapes and by the planner, not by the decoder.

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use crate::Random;

const OPERATORS: [&str; 129] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "ArrayFeatureExtractor",
    "AveragePool",
    "BatchNormalization",
    "Binarizer",
    "BitShift",
    "Cast",
    "CastLike",
    "Celu",
    "Clip",
    "Compress",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "CumSum",
    "DFT",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "DynamicQuantizeLinear",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "EyeLike",
    "FeatureVectorizer",
    "Flatten",
    "Floor",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gemm",
    "GlobalAveragePool",
    "GlobalLpPool",
    "Greater",
    "GridSample",
    "Hardmax",
    "Identity",
    "If",
    "Imputer",
    "InstanceNormalization",
    "IsNaN",
    "LRN",
    "LSTM",
    "LabelEncoder",
    "LayerNormalization",
    "LeakyRelu",
    "LinearClassifier",
    "LinearRegressor",
    "LogSoftmax",
    "Loop",
    "LpNormalization",
    "LpPool",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "MaxRoiPool",
    "MaxUnpool",
    "Mean",
    "MelWeightMatrix",
    "Min",
    "Mod",
    "Mul",
    "Multinomial",
    "NonMaxSuppression",
    "NonZero",
    "Normalizer",
    "Not",
    "OneHot",
    "OneHotEncoder",
    "PRelu",
    "Pad",
    "Pow",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "RNN",
    "RandomNormal",
    "RandomUniformLike",
    "Range",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "ReverseSequence",
    "RoiAlign",
    "STFT",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "Scan",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "StringNormalizer",
    "Sub",
    "TfIdfVectorizer",
    "Tile",
    "TopK",
    "Transpose",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "Trilu",
    "Unique",
    "Unsqueeze",
    "Upsample",
    "Where",
];

const ATTRIBUTES: [&str; 31] = [
    "axis",
    "axes",
    "keepdims",
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "auto_pad",
    "mode",
    "to",
    "value",
    "perm",
    "alpha",
    "beta",
    "transA",
    "transB",
    "hidden_size",
    "direction",
    "output_padding",
    "output_shape",
    "ceil_mode",
    "num_outputs",
    "split",
    "blocksize",
    "k",
    "scales",
    "num_scan_inputs",
    "equation",
    "dtype",
    "shape",
];

const TEXTS: [&str; 17] = [
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "NOTSET",
    "linear",
    "cubic",
    "nearest",
    "constant",
    "reflect",
    "bidirectional",
    "ij,jk->ik",
    "...i,...i->...",
    "SOFTMAX",
    "BRANCH_LEQ",
    "LEAF",
    "RBF",
    "N",
];

/// The model in `data`, changed in one to four places; `None` if there is none.
pub fn mutate(data: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(data).ok()?;
    for _ in 0..1 + random.below(4) {
        if random.one_in(24)
            && let Some(set) = model.opset_import.first_mut()
        {
            set.version = random.below(27) as i64;
        }
        change(model.graph.as_mut()?, random);
    }
    Some(model.encode_to_vec())
}

fn change(graph: &mut GraphProto, random: &mut Random) {
    let names = names(graph);
    match random.below(16) {
        0 => graph.output.iter_mut().for_each(|output| {
            if random.one_in(2)
                && let Some(name) = pick(&names, random)
            {
                output.name = name;
            }
        }),
        1 | 2 => {
            if let Some(info) = any(&mut graph.input, random) {
                change_type(info, random);
            }
        }
        3 => {
            let infos = if random.one_in(2) { &mut graph.value_info } else { &mut graph.output };
            if let Some(info) = any(infos, random) {
                change_type(info, random);
            }
        }
        4..=6 => {
            if let Some(tensor) = any(&mut graph.initializer, random) {
                change_tensor(tensor, random);
            }
        }
        7 => {
            // A copy behind the others, whose output is another.
            if let Some(mut node) = pick(&graph.node, random) {
                let name = format!("v{}", graph.node.len());
                node.output.iter_mut().for_each(|output| output.clone_from(&name));
                node.name.clone_from(&name);
                if let Some(output) = graph.output.first_mut() {
                    output.name = name;
                }
                graph.node.push(node);
            }
        }
        8 if !graph.node.is_empty() => drop(graph.node.remove(random.below(graph.node.len()))),
        _ => {
            if let Some(node) = any(&mut graph.node, random) {
                change_node(node, &names, random);
            }
        }
    }
}

/// Of all values that a node may take.
fn names(graph: &GraphProto) -> Vec<String> {
    let inputs = graph.input.iter().map(|info| &info.name);
    let constants = graph.initializer.iter().map(|tensor| &tensor.name);
    inputs.chain(constants).chain(graph.node.iter().flat_map(|node| &node.output)).cloned().collect()
}

fn change_node(node: &mut NodeProto, names: &[String], random: &mut Random) {
    let inner = node.attribute.iter_mut().find_map(|attribute| attribute.g.as_mut());
    if let Some(graph) = inner
        && random.one_in(2)
    {
        return change(graph, random);
    }
    match random.below(10) {
        0 | 1 => (*random.pick(&OPERATORS)).clone_into(&mut node.op_type),
        2 => {
            if let (Some(input), Some(name)) = (any(&mut node.input, random), pick(names, random)) {
                *input = if random.one_in(8) { String::new() } else { name };
            }
        }
        3 => node.input.extend(pick(names, random)),
        4 => drop(node.input.pop()),
        5 => node.output.push(format!("{}x", node.name)),
        6 if !node.attribute.is_empty() => drop(node.attribute.remove(random.below(node.attribute.len()))),
        7 => node.attribute.push(attribute(random)),
        _ => match any(&mut node.attribute, random) {
            Some(attribute) => change_attribute(attribute, random),
            None => node.attribute.push(attribute(random)),
        },
    }
}

fn attribute(random: &mut Random) -> AttributeProto {
    let mut attribute =
        AttributeProto { name: (*random.pick(&ATTRIBUTES)).to_owned(), ..AttributeProto::default() };
    // FLOAT, INT, STRING, FLOATS, INTS (onnx.proto)
    attribute.r#type = *random.pick(&[1, 2, 3, 6, 7]);
    attribute.ints = vec![1; random.below(5)];
    attribute.floats = vec![1.0; random.below(5)];
    change_attribute(&mut attribute, random);
    attribute
}

fn change_attribute(attribute: &mut AttributeProto, random: &mut Random) {
    attribute.i = random.integer();
    attribute.f = random.float() as f32;
    if !attribute.s.is_empty() || attribute.r#type == 3 {
        attribute.s = random.pick(&TEXTS).as_bytes().to_vec();
    }
    list(&mut attribute.ints, random, Random::integer);
    list(&mut attribute.floats, random, |random| random.float() as f32);
    list(&mut attribute.strings, random, |random| random.pick(&TEXTS).as_bytes().to_vec());
    if let Some(tensor) = &mut attribute.t {
        change_tensor(tensor, random);
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Random) {
    match random.below(6) {
        0 | 1 => {
            list(&mut tensor.dims, random, Random::integer);
        }
        2 => tensor.data_type = random.below(24) as i32,
        3 => {
            let keep = random.below(tensor.raw_data.len() + 1);
            tensor.raw_data.truncate(keep);
        }
        _ => {
            // Sizes and axes are numbers in here.
            let value = random.integer().to_le_bytes();
            if let Some(place) = any_chunk(&mut tensor.raw_data, random) {
                place.copy_from_slice(&value);
            }
            list(&mut tensor.int64_data, random, Random::integer);
            list(&mut tensor.int32_data, random, |random| random.integer() as i32);
            list(&mut tensor.float_data, random, |random| random.float() as f32);
        }
    }
}

fn any_chunk<'d>(data: &'d mut [u8], random: &mut Random) -> Option<&'d mut [u8]> {
    let count = data.len() / 8;
    (count > 0).then(|| random.below(count)).map(|at| &mut data[at * 8..][..8])
}

fn change_type(info: &mut ValueInfoProto, random: &mut Random) {
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
    else {
        return;
    };
    if random.one_in(4) {
        tensor.elem_type = random.below(24) as i32;
        return;
    }
    let Some(shape) = &mut tensor.shape else { return };
    match random.below(4) {
        0 => drop(shape.dim.pop()),
        1 => shape.dim.extend(pick(&shape.dim, random)),
        _ => {
            if let Some(dim) = any(&mut shape.dim, random) {
                dim.value = match random.below(5) {
                    0 => None,
                    1 => Some(DimValue::DimParam(
                        (*random.pick(&["N", "M", "2*N", "(N+1)/2", "?"])).to_owned(),
                    )),
                    _ => Some(DimValue::DimValue(random.integer())),
                };
            }
        }
    }
}

fn list<T: Clone>(list: &mut Vec<T>, random: &mut Random, new: impl Fn(&mut Random) -> T) {
    if list.is_empty() {
        return;
    }
    let at = random.below(list.len());
    match random.below(6) {
        0 => drop(list.remove(at)),
        1 => list.insert(at, list[at].clone()),
        2 => list.truncate(at),
        _ => list[at] = new(random),
    }
}

fn any<'l, T>(list: &'l mut [T], random: &mut Random) -> Option<&'l mut T> {
    if list.is_empty() { None } else { list.get_mut(random.below(list.len())) }
}

fn pick<T: Clone>(list: &[T], random: &mut Random) -> Option<T> {
    if list.is_empty() { None } else { Some(random.pick(list).clone()) }
}
