//! `bare MODEL.onnx --port PORT`: the engine behind axum and nothing between them, on one thread.
//!
//! What it answers in a second is the limit for a server with a sandbox. It takes models with one input
//! f32[N, 4] and with outputs of one i64, or one row of f32, for each instance.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ampoule_engine::{Dtype, Graph, LoadOptions, Tensor};
use anyhow::{Context as _, bail, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, flag, port] = arguments.as_slice() else { bail!("usage: bare MODEL.onnx --port PORT") };
    ensure!(flag == "--port", "expected --port, got {flag:?}");
    let port: u16 = port.parse().with_context(|| format!("--port: expected a number, got {port:?}"))?;
    let bytes = std::fs::read(model).with_context(|| format!("can't read {model}"))?;
    let graph = Arc::new(Graph::load(&bytes, &LoadOptions::default())?);
    ensure!(graph.inputs().len() == 1, "expected a model with one input, got {}", graph.inputs().len());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(graph, port))
}

async fn serve(graph: Arc<Graph>, port: u16) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/health", get(async || r#"{"status":"ok"}"#))
        .route("/predictions", post(predictions))
        .with_state(graph);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // An answer is one small packet: it does not wait for another to fill it up.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Request {
    instances: Vec<[f32; 4]>,
}

#[derive(Serialize)]
struct Answer {
    predictions: Vec<Prediction>,
}

/// Bare where the model gives nothing else, as `ampoule serve` answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Prediction {
    Labelled { label: i64, probabilities: Vec<f32> },
    Label(i64),
    Probabilities(Vec<f32>),
}

async fn predictions(
    State(graph): State<Arc<Graph>>,
    Json(request): Json<Request>,
) -> Result<Json<Answer>, (StatusCode, String)> {
    let answer = predict(&graph, &request.instances);
    answer.map(Json).map_err(|cause| (StatusCode::INTERNAL_SERVER_ERROR, format!("{cause:#}")))
}

fn predict(graph: &Graph, instances: &[[f32; 4]]) -> anyhow::Result<Answer> {
    let bytes: Vec<u8> = instances.as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect();
    let rows = Tensor::from_le_bytes(Dtype::F32, &[instances.len(), 4], &bytes)?;
    let (mut labels, mut scores) = (None, None);
    for (name, tensor) in graph.run(vec![(graph.inputs()[0].name.clone(), rows)])? {
        match (tensor.dtype(), tensor.shape()) {
            (Dtype::I64, &[rows]) if rows == instances.len() => labels = Some(tensor),
            (Dtype::F32, &[rows, _]) if rows == instances.len() => scores = Some(tensor),
            (dtype, shape) => bail!("output {name:?}: expected i64[N] or f32[N, K], got {dtype}{shape:?}"),
        }
    }
    let label = |row: usize| {
        labels.as_ref().map(|tensor| tensor.as_bytes().as_chunks().0[row]).map(i64::from_le_bytes)
    };
    let probabilities = |row: usize| {
        let tensor = scores.as_ref()?;
        let classes = tensor.shape()[1];
        let all = tensor.as_bytes().as_chunks().0;
        Some(all[row * classes..][..classes].iter().map(|value| f32::from_le_bytes(*value)).collect())
    };
    let prediction = |row| {
        Ok(match (label(row), probabilities(row)) {
            (Some(label), Some(probabilities)) => Prediction::Labelled { label, probabilities },
            (Some(label), None) => Prediction::Label(label),
            (None, Some(probabilities)) => Prediction::Probabilities(probabilities),
            (None, None) => bail!("the graph gives neither labels nor probabilities"),
        })
    };
    Ok(Answer { predictions: (0..instances.len()).map(prediction).collect::<Result<_, _>>()? })
}
