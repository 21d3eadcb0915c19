//! Times a model in rounds that another program calls for, so that it can time a peer between them:
//! `time_rounds MODEL SHAPE INPUT OUTPUT [LIBRARY]`, with SHAPE as `1,3,224,224` and the input's little-endian floats in
//! a file; LIBRARY is ONNX Runtime's, which then runs the model.
//! Writes the first output's bytes and a line with the milliseconds of the load; then, for each line on stdin, runs for
//! that many milliseconds and writes the least time of a run, in milliseconds, and at its end the peak of memory.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use ampoule_engine::{Dtype, Engine, Graph, LoadOptions, OnnxRuntime, Tensor};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, shape, input, output, library @ ..] = arguments.as_slice() else {
        return Err("expected a model, a shape, a file with the input and one for the output".into());
    };
    let shape: Vec<usize> = shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = match library.first() {
        Some(library) => Engine::OnnxRuntime(OnnxRuntime::open(library.as_ref())?),
        None => Engine::Native,
    };
    let bytes = std::fs::read(model)?;
    let start = Instant::now();
    let warm = vec![vec![shape.clone()]];
    let graph = Graph::load(&bytes, &LoadOptions { warm, engine, ..LoadOptions::default() })?;
    drop(bytes);
    let load = start.elapsed();
    let tensor = Tensor::from_le_bytes(Dtype::F32, &shape, &std::fs::read(input)?)?;
    let inputs = vec![(graph.inputs()[0].name.clone(), tensor)];
    let answer = graph.run(inputs.clone())?;
    std::fs::write(output, answer[0].1.as_bytes())?;
    println!("{:.1}", load.as_secs_f64() * 1e3);
    std::io::stdout().flush()?;
    for line in std::io::stdin().lock().lines() {
        let budget = Duration::from_millis(line?.trim().parse()?);
        let begin = Instant::now();
        let mut least = Duration::MAX;
        while begin.elapsed() < budget || least == Duration::MAX {
            let start = Instant::now();
            std::hint::black_box(graph.run(inputs.clone())?);
            least = least.min(start.elapsed());
        }
        println!("{:.3}", least.as_secs_f64() * 1e3);
        std::io::stdout().flush()?;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown"));
    Ok(())
}
