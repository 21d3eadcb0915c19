//! The models of `make_deep.py`: int8, bf16, control flow, and sizes that are values.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod golden;

use ampoule_engine::{Dtype, ErrorKind, Graph, LoadOptions, Tensor};
use golden::{by, bytes, engines, f32s, json, load, tensors};

/// Name, atol, rtol.
const CASES: [(&str, f32, f32); 8] = [
    // One step of the quantized output, where a value lies between two.
    ("qdq_cnn", 0.03, 0.0),
    ("qoperator_mlp", 0.03, 0.0),
    // Half a step of bf16's eight bits, twice.
    ("bf16", 1e-2, 8e-3),
    ("if", 1e-6, 1e-5),
    ("loop", 0.0, 0.0),
    ("scan", 1e-6, 1e-5),
    ("sizes", 1e-5, 1e-5),
    ("names", 1e-6, 1e-5),
];

/// Those that multiply bytes.
const INTEGERS: [&str; 2] = ["qdq_cnn", "qoperator_mlp"];

/// Whether ONNX Runtime adds products of bytes in 32 bits here. On an x86 processor without VNNI it adds pairs of them in 16,
/// where they may saturate, as its documentation of quantization says; the answers kept are of one that has it.
fn adds_bytes_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[test]
fn deep_models_answer_as_the_peer_does() {
    let engines = engines();
    for ((engine, by_engine), (name, atol, rtol)) in engines.iter().flat_map(|e| CASES.map(|case| (e, case)))
    {
        let graph = match Graph::load(&bytes(&format!("models/{name}.onnx")), &by(by_engine)) {
            Ok(graph) => graph,
            // ONNX Runtime has hardly an operator for it on a processor.
            Err(error) if (*engine, name) == ("onnxruntime", "bf16") => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
                continue;
            }
            Err(error) => panic!("{engine}: {name}: {error:?}"),
        };
        for (at, run) in json(name)["runs"].as_array().unwrap().iter().enumerate() {
            let answers = graph
                .run(tensors(&run["inputs"]))
                .unwrap_or_else(|e| panic!("{engine}: {name}, run {at}: {e:?}"));
            for ((output, got), (_, expected)) in answers.iter().zip(tensors(&run["outputs"])) {
                assert_eq!(
                    (got.dtype(), got.shape()),
                    (Dtype::F32, expected.shape()),
                    "{engine}: {name}, run {at}, {output}"
                );
                if *engine == "onnxruntime" && INTEGERS.contains(&name) && !adds_bytes_exactly() {
                    continue;
                }
                for (at, (a, e)) in f32s(got).into_iter().zip(f32s(&expected)).enumerate() {
                    assert!(
                        (a - e).abs() <= atol + rtol * e.abs(),
                        "{engine}: {name}, {output}[{at}]: expected {e}, got {a}"
                    );
                }
            }
        }
    }
}

#[test]
fn most_quantized_answers_are_the_peers_to_the_bit() {
    for name in ["qdq_cnn", "qoperator_mlp"] {
        let (mut same, mut all) = (0, 0);
        let graph = load(name);
        for run in json(name)["runs"].as_array().unwrap() {
            let answers = graph.run(tensors(&run["inputs"])).unwrap();
            for ((_, got), (_, expected)) in answers.iter().zip(tensors(&run["outputs"])) {
                let pairs = f32s(got).into_iter().zip(f32s(&expected));
                same += pairs.filter(|(a, e)| (a - e).abs() <= 1e-5 * (1.0 + e.abs())).count();
                all += f32s(&expected).len();
            }
        }
        assert!(10 * same >= 9 * all, "{name}: {same} of {all} are the same");
    }
}

#[test]
fn bf16_crosses_the_boundary_as_its_bits() {
    // A graph `y = -x` in bf16, by hand: its input, output and node.
    let info = |name: &[u8]| {
        let dims = b"\x12\x0a\x0a\x08\x08\x10\x12\x04\x0a\x02\x08\x03";
        [b"\x0a\x01".as_slice(), name, dims].concat()
    };
    let field = |tag: u8, inner: &[u8]| [&[tag, inner.len() as u8], inner].concat();
    let graph = [
        field(0x0a, b"\x0a\x01x\x12\x01y\x22\x03Neg"),
        field(0x12, b"g"),
        field(0x5a, &info(b"x")),
        field(0x62, &info(b"y")),
    ]
    .concat();
    let model = [b"\x08\x09".as_slice(), &field(0x3a, &graph), b"\x42\x04\x0a\x00\x10\x11"].concat();
    let graph = Graph::load(&model, &LoadOptions::default()).unwrap();
    assert_eq!(graph.inputs()[0].to_string(), "bf16[3]");
    // 1, -2.5 and 0.
    let bits = |values: [u16; 3]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let x = Tensor::from_le_bytes(Dtype::Bf16, &[3], &bits([0x3f80, 0xc020, 0])).unwrap();
    let answers = graph.run(vec![("x".to_owned(), x)]).unwrap();
    assert_eq!(answers[0].1.as_bytes(), bits([0xbf80, 0x4020, 0x8000]));
}

#[test]
fn a_graph_run_in_steps_names_the_operator_that_fails() {
    let run = &json("sizes")["runs"][0];
    let mut inputs = tensors(&run["inputs"]);
    inputs[1].1 = Tensor::from_le_bytes(Dtype::I64, &[2], &[0xff; 16]).unwrap();
    let error = load("sizes").run(inputs).unwrap_err();
    assert!(error.to_string().starts_with("operator Resize (ai.onnx)"), "{error}");
}
