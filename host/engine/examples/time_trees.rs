//! Times a model of tables: `cargo run --release -p ampoule-engine --example time_trees -- model rows.f32 [size ...]`,
//! or writes what it answers to all rows: `... -- model rows.f32 --answers file`, its last output's bytes. `--threads N`
//! before the model lets a call have so many threads, rather than one.
//!
//! The rows are f32, little-endian, one after the other, as wide as the model's input. For each size, 1 and all rows
//! unless said, it prints `<rows in a call> <least nanoseconds of a call> <median>`, one line each.

use std::time::{Duration, Instant};

use ampoule_engine::{Dim, Dtype, Graph, LoadOptions, Tensor};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut options = LoadOptions::default();
    if arguments.next_if(|argument| argument == "--threads").is_some() {
        options.threads = arguments.next().ok_or("expected a number of threads")?.parse()?;
    }
    let (model, rows) =
        arguments.next().zip(arguments.next()).ok_or("expected a model and a file of rows")?;
    let graph = Graph::load(&std::fs::read(model)?, &options)?;
    let input = graph.inputs().first().ok_or("the model takes no input")?.clone();
    let width = match input.shape.as_slice() {
        [_, Dim::Fixed(width)] => *width,
        _ => return Err(format!("expected one input of rows, got {input}").into()),
    };
    let rows = std::fs::read(rows)?;
    let all = rows.len() / (width * 4);
    let call = |first: usize, count: usize| -> Result<Vec<(String, Tensor)>, Failure> {
        let part = &rows[first * width * 4..][..count * width * 4];
        let tensor = match input.dtype {
            Dtype::F64 => {
                let wide = |b: &[u8]| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let wide: Vec<u8> = part.chunks_exact(4).flat_map(|b| wide(b).to_le_bytes()).collect();
                Tensor::from_le_bytes(Dtype::F64, &[count, width], &wide)?
            }
            dtype => Tensor::from_le_bytes(dtype, &[count, width], part)?,
        };
        Ok(vec![(input.name.clone(), tensor)])
    };
    let arguments: Vec<String> = arguments.collect();
    if let [flag, file] = arguments.as_slice()
        && flag == "--answers"
    {
        let answers = graph.run(call(0, all)?)?;
        let (_, last) = answers.last().ok_or("the model has no output")?;
        std::fs::write(file, last.as_bytes())?;
        return Ok(());
    }
    let mut sizes: Vec<usize> = arguments.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![1, all];
    }
    for size in sizes.into_iter().map(|size| size.clamp(1, all)) {
        let (mut times, mut first, begin) = (Vec::new(), 0, Instant::now());
        while times.len() < 7 || begin.elapsed() < Duration::from_secs(1) {
            // Other rows each time, so that a small call does not meet the same one again.
            first = (first + size) % (all - size + 1);
            let inputs = call(first, size)?;
            let start = Instant::now();
            std::hint::black_box(graph.run(inputs)?);
            times.push(start.elapsed());
        }
        times.sort();
        println!("{size} {} {}", times[0].as_nanos(), times[times.len() / 2].as_nanos());
    }
    Ok(())
}
