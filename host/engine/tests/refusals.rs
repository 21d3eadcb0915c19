//! What is refused, whose fault that is, and in which words.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod golden;

use ampoule_engine::{Dtype, Error, ErrorKind, Graph, LoadOptions, Tensor};
use golden::{bytes, load};

fn zeros(dtype: Dtype, shape: &[usize]) -> Tensor {
    let size = shape.iter().product::<usize>() * dtype.size_bytes();
    Tensor::from_le_bytes(dtype, shape, &vec![0; size]).unwrap()
}

fn refused<T>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.err().expect("should have been refused");
    (error.kind(), error.to_string())
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    use Dtype::{Bool, F32, F64, I64};
    let good =
        [("a", F32, vec![2, 3]), ("b", F32, vec![2, 3]), ("mask", Bool, vec![2, 3]), ("at", I64, vec![1])];
    let change = |at: usize, name, dtype, shape: &[usize]| {
        let mut inputs = good.to_vec();
        inputs[at] = (name, dtype, shape.to_vec());
        inputs
    };
    let cases = [
        (good[..3].to_vec(), r#"input "at" is missing, expected i64[K]"#),
        (change(0, "A", F32, &[2, 3]), r#"input "A" is unknown, expected "a", "b", "mask", "at""#),
        (change(1, "a", F32, &[2, 3]), r#"input "a" is given twice"#),
        (change(1, "b", F64, &[2, 3]), r#"input "b": expected f32[N, 3], got f64[2, 3]"#),
        (change(1, "b", F32, &[3, 2]), r#"input "b": expected f32[N, 3], got f32[3, 2]"#),
        (change(1, "b", F32, &[3]), r#"input "b": expected f32[N, 3], got f32[3]"#),
        (
            change(2, "mask", Bool, &[4, 3]),
            r#"input "mask": expected bool[N, 3] with N = 2 as in input "a", got N = 4"#,
        ),
    ];
    let graph = load("several");
    for (inputs, expected) in cases {
        let inputs =
            inputs.iter().map(|(name, dtype, shape)| (name.to_string(), zeros(*dtype, shape))).collect();
        assert_eq!(refused(graph.run(inputs)), (ErrorKind::InvalidInput, expected.to_owned()));
    }
}

#[test]
fn values_and_shapes_on_which_the_graph_fails_are_the_callers() {
    let at = Tensor::from_le_bytes(Dtype::I64, &[1], &9i64.to_le_bytes()).unwrap();
    let f32s = zeros(Dtype::F32, &[2, 3]);
    let inputs = vec![("a", f32s.clone()), ("b", f32s), ("mask", zeros(Dtype::Bool, &[2, 3])), ("at", at)];
    let inputs = inputs.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    let expected = "running the graph failed".to_owned();
    assert_eq!(refused(load("several").run(inputs)), (ErrorKind::InvalidInput, expected));

    let odd = vec![("x".to_owned(), zeros(Dtype::F32, &[1, 3, 7, 7]))];
    let expected = "the graph takes no input of [1, 3, 7, 7]".to_owned();
    assert_eq!(refused(load("cnn").run(odd)), (ErrorKind::InvalidInput, expected));
}

#[test]
fn tensors_hold_what_they_say() {
    let cases: [(Dtype, &[usize], &[u8], &str); 5] = [
        (Dtype::F32, &[2], &[0; 7], "f32[2]: expected 8 bytes, got 7"),
        (Dtype::U8, &[], &[], "u8[]: expected 1 bytes, got 0"),
        (Dtype::Bool, &[2], &[1, 2], "bool[2]: expected 0 or 1, got 2 at byte 1"),
        (
            Dtype::F64,
            &[usize::MAX / 4, 2],
            &[],
            "f64[4611686018427387903, 2] has more bytes than can be addressed",
        ),
        (Dtype::String, &[1], &[0; 2], "a tensor of string cannot be made from bytes"),
    ];
    for (dtype, shape, bytes, expected) in cases {
        assert_eq!(refused(Tensor::from_le_bytes(dtype, shape, bytes)).1, expected);
    }
}

#[test]
fn models_that_cannot_be_run_say_why() {
    let small = LoadOptions { max_model_bytes: 10, ..LoadOptions::default() };
    let linear = bytes("models/linear.onnx");
    let expected = format!("expected a model of at most 10 bytes, got {}", linear.len());
    assert_eq!(refused(Graph::load(&linear, &small)), (ErrorKind::InvalidModel, expected));

    let iris = bytes("models/iris_logistic.onnx");
    let scaler = replace(&iris, b"Scaler", b"Skaler");
    let (kind, message) = refused(Graph::load(&scaler, &LoadOptions::default()));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert_eq!(message, r#"operator Skaler (ai.onnx.ml), node "Scaler" is not implemented"#);

    let warm = LoadOptions { warm: vec![vec![vec![1, 4, 8, 8]]], ..LoadOptions::default() };
    let expected = r#"warm: input "x": expected f32[N, 3, H, W], got [1, 4, 8, 8]"#.to_owned();
    let cnn = bytes("models/cnn.onnx");
    assert_eq!(refused(Graph::load(&cnn, &warm)), (ErrorKind::InvalidInput, expected));
}

#[test]
fn weights_outside_of_the_file_are_never_looked_for() {
    // A tensor `w` whose data lies at /etc/passwd: name (8), data location (14) and external data (13).
    let tensor = b"\x08\x01\x10\x01\x42\x01w\x70\x01\x6a\x17\x0a\x08location\x12\x0b/etc/passwd";
    let graph = [
        b"\x2a".as_slice(),
        &[tensor.len() as u8],
        tensor,
        b"\x62\x0b\x0a\x01w\x12\x06\x0a\x04\x08\x01\x12\x00",
    ]
    .concat();
    let model = [b"\x08\x08\x3a".as_slice(), &[graph.len() as u8], &graph].concat();
    let expected = r#"tensor "w" lies outside of the model file (save the model with its weights inside)"#;
    let refusal = refused(Graph::load(&model, &LoadOptions::default()));
    assert_eq!(refusal, (ErrorKind::Unsupported, expected.to_owned()));
}

#[test]
fn bytes_that_are_no_model_never_panic() {
    for garbage in [b"".as_slice(), b"\0", b"PK\x03\x04", &[0xff; 64], b"{\"a\": 1}"] {
        assert_eq!(refused(Graph::load(garbage, &LoadOptions::default())).0, ErrorKind::InvalidModel);
        assert!(Graph::describe(garbage).is_err());
    }
    // tract's panics are caught, but a hook prints them.
    std::panic::set_hook(Box::new(|_| {}));
    for name in ["linear", "several", "cnn_fixed", "iris_logistic", "lstm"] {
        let whole = bytes(&format!("models/{name}.onnx"));
        for length in (0..whole.len()).step_by(7) {
            let _ = Graph::load(&whole[..length], &LoadOptions::default());
        }
        let mut state = 1u32;
        for _ in 0..300 {
            let mut spoilt = whole.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                let at = state as usize % spoilt.len();
                spoilt[at] = (state >> 24) as u8;
            }
            // Any answer will do, as long as there is one.
            let _ = Graph::load(&spoilt, &LoadOptions::default());
        }
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
