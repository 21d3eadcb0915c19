//! One graph, many threads and shapes; and what a model says about itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod golden;

use ampoule_engine::{Dim, Graph, LoadOptions, Tensor};
use golden::{bytes, f32s, json, load, tensors};

#[test]
fn threads_with_different_shapes_share_a_graph() {
    let model = bytes("models/cnn.onnx");
    // Room for fewer plans than there are shapes, so that plans are given up while others run.
    let options = LoadOptions { max_plans: 2, warm: vec![vec![vec![1, 3, 8, 8]]], ..LoadOptions::default() };
    let graph = Graph::load(&model, &options).unwrap();
    assert!(graph.plans_per_shape());
    let cases = json("cnn");
    let runs: Vec<_> = cases["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (tensors(&r["inputs"]), tensors(&r["outputs"])))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (graph, runs) = (&graph, &runs);
            scope.spawn(move || {
                for turn in 0..40 {
                    let (inputs, expected) = &runs[(thread + turn) % runs.len()];
                    let got = graph.run(inputs.clone()).unwrap();
                    let pairs = f32s(&got[0].1).into_iter().zip(f32s(&expected[0].1));
                    assert!(pairs.into_iter().all(|(a, e)| (a - e).abs() <= 1e-5 + 1e-5 * e.abs()));
                }
            });
        }
    });
}

#[test]
fn classical_graphs_need_one_plan() {
    for name in ["linear", "mlp", "several", "iris_trees", "iris_logistic", "cancer_logistic", "cnn_fixed"] {
        assert!(!load(name).plans_per_shape(), "{name}");
    }
}

#[test]
fn a_clone_of_a_tensor_shares_its_bytes() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Graph>();
    shareable::<Tensor>();
    let (_, tensor) = tensors(&json("linear")["runs"][0]["inputs"]).remove(0);
    assert_eq!(tensor.clone().as_bytes().as_ptr(), tensor.as_bytes().as_ptr());
}

#[test]
fn models_describe_themselves() {
    let linear = Graph::describe(&bytes("models/linear.onnx")).unwrap();
    assert_eq!(linear.metadata, [("labels".to_owned(), "a,b,c".to_owned())]);
    assert_eq!(linear.producer, "make_models");
    assert_eq!(linear.inputs[0].shape, [Dim::Symbol("N".to_owned()), Dim::Fixed(4)]);

    let iris = Graph::describe(&bytes("models/iris_trees.onnx")).unwrap();
    assert_eq!(iris.inputs[0].to_string(), "f32[?, 4]");
    assert_eq!(iris.labels, ["0", "1", "2"]);
    let names: Vec<&str> = iris.outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["label", "probabilities"]);

    let cancer = Graph::describe(&bytes("models/cancer_logistic.onnx")).unwrap();
    assert_eq!(cancer.labels, ["benign", "malignant"]);
}
