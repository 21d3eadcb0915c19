//! Reads what `make_models.py` wrote: models, and tensors with the answers of ONNX Runtime.

use std::path::{Path, PathBuf};

use ampoule_engine::{Dtype, Engine, Graph, LoadOptions, OnnxRuntime, Tensor};
use serde_json::Value;

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(&format!("answers/{name}.json"))).unwrap()
}

#[allow(dead_code, reason = "not every test needs it")]
pub fn load(name: &str) -> Graph {
    Graph::load(&bytes(&format!("models/{name}.onnx")), &LoadOptions::default()).unwrap()
}

#[allow(dead_code, reason = "not every test needs it")]
pub fn by(engine: &Engine) -> LoadOptions {
    LoadOptions { engine: engine.clone(), ..LoadOptions::default() }
}

/// Every engine that is here, by its name. All of them are held to the same cases.
#[allow(dead_code, reason = "not every test needs it")]
pub fn engines() -> Vec<(&'static str, Engine)> {
    let other = onnxruntime().map(|runtime| ("onnxruntime", Engine::OnnxRuntime(runtime)));
    [("native", Engine::Native)].into_iter().chain(other).collect()
}

/// ONNX Runtime as `make test` installs it.
#[allow(dead_code, reason = "not every test needs it")]
pub fn onnxruntime() -> Option<OnnxRuntime> {
    let opened = match library() {
        Some(file) => OnnxRuntime::open(&file).map_err(|e| e.to_string()),
        None => Err("PyPI's onnxruntime is missing, `make test` installs it".to_owned()),
    };
    assert!(opened.is_ok() || std::env::var_os("CI").is_none(), "{opened:?}");
    opened.map_err(|why| eprintln!("skipped: {why}")).ok()
}

/// The shared library of ONNX Runtime: the one that the command line would take, or that of `make test`.
#[allow(dead_code, reason = "not every test needs it")]
pub fn library() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("AMPOULE_ONNXRUNTIME_LIBRARY") {
        return Some(file.into());
    }
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/lib");
    let pythons = std::fs::read_dir(venv).ok()?.flatten();
    let mut folders = pythons.map(|python| python.path().join("site-packages/onnxruntime/capi"));
    let files = folders.find_map(|folder| std::fs::read_dir(folder).ok())?;
    files.flatten().map(|file| file.path()).find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Its folder holds other libraries, such as libonnxruntime_providers_shared.so.
        name.starts_with("libonnxruntime.")
    })
}

/// The named tensors of a case's `inputs` or `outputs`.
pub fn tensors(list: &Value) -> Vec<(String, Tensor)> {
    list.as_array().unwrap().iter().map(|t| (t["name"].as_str().unwrap().to_owned(), tensor(t))).collect()
}

pub fn f32s(tensor: &Tensor) -> Vec<f32> {
    tensor.as_bytes().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn tensor(json: &Value) -> Tensor {
    let shape: Vec<usize> =
        json["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let values = json["values"].as_array().unwrap();
    let numbers = || values.iter().map(number);
    let (dtype, bytes): (_, Vec<u8>) = match json["dtype"].as_str().unwrap() {
        "f32" => (Dtype::F32, numbers().flat_map(|x| (x as f32).to_le_bytes()).collect()),
        "f64" => (Dtype::F64, numbers().flat_map(f64::to_le_bytes).collect()),
        "f16" => (Dtype::F16, numbers().flat_map(|x| half(x as f32).to_le_bytes()).collect()),
        "i16" => {
            (Dtype::I16, values.iter().flat_map(|x| (x.as_i64().unwrap() as i16).to_le_bytes()).collect())
        }
        "i32" => {
            (Dtype::I32, values.iter().flat_map(|x| (x.as_i64().unwrap() as i32).to_le_bytes()).collect())
        }
        "i64" => (Dtype::I64, values.iter().flat_map(|x| x.as_i64().unwrap().to_le_bytes()).collect()),
        "bool" => (Dtype::Bool, values.iter().map(|x| u8::from(x.as_bool().unwrap())).collect()),
        _ => {
            let strings = values.iter().map(|x| x.as_str().unwrap().to_owned()).collect();
            return Tensor::from_strings(&shape, strings).unwrap();
        }
    };
    Tensor::from_le_bytes(dtype, &shape, &bytes).unwrap()
}

pub fn number(json: &Value) -> f64 {
    match json.as_str() {
        Some(text) => text.parse().unwrap(),
        None => json.as_f64().unwrap(),
    }
}

/// To the bits of a binary16 that represents it exactly, as all here do; normal numbers and zero.
fn half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    if x == 0.0 {
        return sign;
    }
    let exponent = (bits >> 23 & 0xff) as i32 - 127 + 15;
    if exponent <= 0 {
        let steps = (x.abs() * 2f32.powi(24)).round() as u16;
        return sign | steps;
    }
    sign | (exponent as u16) << 10 | (bits >> 13) as u16 & 0x3ff
}

/// Of a binary16.
pub fn widen(bits: u16) -> f32 {
    let magnitude = match (bits >> 10 & 0x1f, bits & 0x3ff) {
        (0, steps) => f32::from(steps) * 2f32.powi(-24),
        (exponent, fraction) => (1.0 + f32::from(fraction) / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
