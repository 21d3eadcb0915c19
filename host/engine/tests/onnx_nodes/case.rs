//! [`Case`]: a graph of one operator or its expansion, inputs, and the answer that is expected.

use std::path::Path;

use ampoule_engine::{Dtype, Error, Graph, LoadOptions, Tensor};
use serde_json::Value;

pub struct Case {
    pub name: String,
    /// `inference`, `training` or `sequence or optional`
    pub kind: String,
    pub operators: Vec<String>,
    model: Vec<u8>,
    inputs: Option<Vec<(String, Tensor)>>,
    outputs: Option<Vec<(String, Tensor)>>,
    rtol: f64,
    atol: f64,
}

#[derive(Debug)]
pub enum Outcome {
    Pass,
    /// What differs
    Wrong(String),
    /// The whole chain of errors
    Refused(String),
}

/// What `onnx_nodes.py` wrote.
pub fn read(folder: &Path) -> Vec<Case> {
    let stream = std::fs::read(folder.join("cases.bin")).unwrap();
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let case = |case: &Value| Case {
        name: text(&case["name"]),
        kind: text(&case["kind"]),
        operators: case["operators"].as_array().unwrap().iter().map(text).collect(),
        model: span(&stream, &case["model"]).to_vec(),
        inputs: tensors(&stream, &case["inputs"]),
        outputs: tensors(&stream, &case["outputs"]),
        rtol: case["rtol"].as_f64().unwrap(),
        atol: case["atol"].as_f64().unwrap(),
    };
    cases.iter().map(case).collect()
}

fn span<'a>(stream: &'a [u8], span: &Value) -> &'a [u8] {
    let number = |at: usize| usize::try_from(span[at].as_u64().unwrap()).unwrap();
    &stream[number(0)..][..number(1)]
}

/// `None` if one of them is no tensor of a dtype that the engine has.
fn tensors(stream: &[u8], list: &Value) -> Option<Vec<(String, Tensor)>> {
    list.as_array().unwrap().iter().map(|t| tensor(stream, t)).collect()
}

fn tensor(stream: &[u8], json: &Value) -> Option<(String, Tensor)> {
    let name = json["name"].as_str()?.to_owned();
    let shape: Vec<usize> =
        json["shape"].as_array()?.iter().map(|n| usize::try_from(n.as_u64().unwrap()).unwrap()).collect();
    let dtype = match json["dtype"].as_str()? {
        "bool" => Dtype::Bool,
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "uint16" => Dtype::U16,
        "int16" => Dtype::I16,
        "uint32" => Dtype::U32,
        "int32" => Dtype::I32,
        "uint64" => Dtype::U64,
        "int64" => Dtype::I64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "float8_e4m3fnuz" => Dtype::F8E4M3Fnuz,
        "float8_e5m2" => Dtype::F8E5M2,
        "float8_e5m2fnuz" => Dtype::F8E5M2Fnuz,
        "float8_e8m0fnu" => Dtype::F8E8M0,
        "float4_e2m1fn" => Dtype::F4E2M1,
        "int4" => Dtype::I4,
        "uint4" => Dtype::U4,
        "int2" => Dtype::I2,
        "uint2" => Dtype::U2,
        "string" => {
            let strings =
                json["strings"].as_array()?.iter().map(|s| s.as_str().unwrap().to_owned()).collect();
            return Some((name, Tensor::from_strings(&shape, strings).unwrap()));
        }
        _ => return None,
    };
    let mut bytes = span(stream, &json["bytes"]).to_vec();
    // Signed elements narrower than a byte repeat their sign here.
    let shift = match dtype {
        Dtype::I4 => 4,
        Dtype::I2 => 6,
        _ => 0,
    };
    bytes.iter_mut().for_each(|byte| {
        if shift > 0 {
            *byte = ((*byte as i8) << shift >> shift) as u8
        }
    });
    Some((name, Tensor::from_le_bytes(dtype, &shape, &bytes).ok()?))
}

impl Case {
    pub fn run(&self) -> Outcome {
        let graph = match Graph::load(&self.model, &LoadOptions::default()) {
            Ok(graph) => graph,
            Err(error) => return Outcome::Refused(chain(&error)),
        };
        let (Some(inputs), Some(expected)) = (&self.inputs, &self.outputs) else {
            return Outcome::Wrong("the graph was loaded, but takes or gives what is no tensor here".into());
        };
        // An input that the graph doesn't read may be missing from its signature.
        let taken = |name: &String| graph.inputs().iter().any(|info| info.name == *name);
        let inputs = inputs.iter().filter(|(name, _)| taken(name)).cloned().collect();
        match graph.run(inputs) {
            Err(error) => Outcome::Refused(chain(&error)),
            Ok(got) => match self.difference(&got, expected) {
                None => Outcome::Pass,
                Some(difference) => Outcome::Wrong(difference),
            },
        }
    }

    fn difference(&self, got: &[(String, Tensor)], expected: &[(String, Tensor)]) -> Option<String> {
        if got.len() != expected.len() {
            return Some(format!("expected {} outputs, got {}", expected.len(), got.len()));
        }
        for ((name, got), (_, expected)) in got.iter().zip(expected) {
            let (form, wanted) = ((got.dtype(), got.shape()), (expected.dtype(), expected.shape()));
            if form != wanted {
                return Some(format!("{name}: expected {wanted:?}, got {form:?}"));
            }
            if got.dtype() == Dtype::String {
                if got.strings() != expected.strings() {
                    return Some(format!(
                        "{name}: expected {:?}, got {:?}",
                        expected.strings(),
                        got.strings()
                    ));
                }
                continue;
            }
            for (at, (a, e)) in numbers(got).into_iter().zip(numbers(expected)).enumerate() {
                let same =
                    a == e || a.is_nan() && e.is_nan() || (a - e).abs() <= self.atol + self.rtol * e.abs();
                if !same {
                    return Some(format!("{name}[{at}]: expected {e}, got {a}"));
                }
            }
        }
        None
    }
}

/// All messages, outermost first.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    fn each<const N: usize>(tensor: &Tensor, number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        tensor.as_bytes().chunks_exact(N).map(|b| number(b.try_into().unwrap())).collect()
    }
    match tensor.dtype() {
        Dtype::Bool | Dtype::U8 => each(tensor, |b: [u8; 1]| b[0].into()),
        Dtype::I8 => each(tensor, |b| i8::from_le_bytes(b).into()),
        Dtype::U16 => each(tensor, |b| u16::from_le_bytes(b).into()),
        Dtype::I16 => each(tensor, |b| i16::from_le_bytes(b).into()),
        Dtype::U32 => each(tensor, |b| u32::from_le_bytes(b).into()),
        Dtype::I32 => each(tensor, |b| i32::from_le_bytes(b).into()),
        Dtype::U64 => each(tensor, |b| u64::from_le_bytes(b) as f64),
        Dtype::I64 => each(tensor, |b| i64::from_le_bytes(b) as f64),
        Dtype::F16 => each(tensor, |b| half(u16::from_le_bytes(b))),
        Dtype::Bf16 => each(tensor, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into()),
        Dtype::F32 => each(tensor, |b| f32::from_le_bytes(b).into()),
        Dtype::F64 => each(tensor, f64::from_le_bytes),
        Dtype::I4 | Dtype::I2 => each(tensor, |b| i8::from_le_bytes(b).into()),
        // The codes of narrow floats have to be the same.
        _ => each(tensor, |b: [u8; 1]| b[0].into()),
    }
}

/// Of a binary16.
fn half(bits: u16) -> f64 {
    let magnitude = match (bits >> 10 & 0x1f, bits & 0x3ff) {
        (0, steps) => f64::from(steps) * 2f64.powi(-24),
        (31, 0) => f64::INFINITY,
        (31, _) => f64::NAN,
        (exponent, fraction) => (1.0 + f64::from(fraction) / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
