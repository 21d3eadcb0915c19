//! Times a model: `cargo run --release -p ampoule-engine --example time_graph -- model.onnx 1,4,256,256 [more shapes]`.
//! One shape per input, comma-separated; the inputs are filled with a fixed pattern.

use std::time::{Duration, Instant};

use ampoule_engine::{Graph, LoadOptions};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected a model and a shape for each of its inputs")?;
    let shapes: Vec<Vec<usize>> =
        arguments.map(|a| a.split(',').map(str::parse).collect()).collect::<Result<_, _>>()?;
    let bytes = std::fs::read(&path)?;

    let start = Instant::now();
    let description = Graph::describe(&bytes)?;
    println!("describe    {:>12.1?}", start.elapsed());
    let start = Instant::now();
    let graph = Graph::load(&bytes, &LoadOptions::default())?;
    println!(
        "load        {:>12.1?}  {}",
        start.elapsed(),
        if graph.plans_per_shape() { "a plan per shape" } else { "one plan" }
    );

    if shapes.len() != description.inputs.len() {
        return Err(format!("expected {} shapes, got {}", description.inputs.len(), shapes.len()).into());
    }
    let names = description.inputs.iter().map(|info| info.name.clone());
    let inputs = graph.sample(&names.zip(shapes).collect())?;
    let start = Instant::now();
    graph.run(inputs.clone())?;
    println!("first run   {:>12.1?}", start.elapsed());
    let mut times: Vec<Duration> = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        std::hint::black_box(graph.run(inputs.clone())?);
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "run         {:>12.2?}  median of {}, least {:.2?}",
        times[times.len() / 2],
        times.len(),
        times[0]
    );
    Ok(())
}
