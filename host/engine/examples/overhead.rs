//! What a call costs on top of tract: `cargo run --release -p ampoule-engine --example overhead -- linear.onnx 1,4`.
//! For a model with one f32 input and operators that tract itself has. Alternates, so that both see the same machine.

use std::hint::black_box;
use std::time::Instant;

use ampoule_engine::{Dtype, Graph, LoadOptions, Tensor};
use tract_onnx::prelude::*;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (path, shape) = arguments.next().zip(arguments.next()).ok_or("expected a model and a shape")?;
    let shape: Vec<usize> = shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let bytes = std::fs::read(path)?;

    let graph = Graph::load(&bytes, &LoadOptions::default())?;
    let name = &graph.inputs()[0].name;
    let input = Tensor::from_le_bytes(Dtype::F32, &shape, &vec![0; shape.iter().product::<usize>() * 4])?;
    let plan = onnx().model_for_read(&mut bytes.as_slice())?.into_optimized()?.into_runnable()?;
    let value = tract_onnx::prelude::Tensor::zero_dt(DatumType::F32, &shape)?.into_tvalue();
    let mut state = plan.spawn()?;

    let mut nanoseconds = [const { Vec::new() }; 3];
    for _ in 0..200 {
        let ways: [&mut dyn FnMut() -> Result<usize, Failure>; 3] = [
            &mut || Ok(black_box(graph.run(vec![(name.clone(), input.clone())])?).len()),
            &mut || Ok(black_box(plan.run(tvec!(value.clone()))?).len()),
            &mut || Ok(black_box(state.run(tvec!(value.clone()))?).len()),
        ];
        for (way, nanoseconds) in ways.into_iter().zip(&mut nanoseconds) {
            let start = Instant::now();
            for _ in 0..500 {
                way()?;
            }
            nanoseconds.push(start.elapsed().as_nanos() / 500);
        }
    }
    for (name, mut nanoseconds) in
        ["Graph::run", "tract, plan.run", "tract, one state"].iter().zip(nanoseconds)
    {
        nanoseconds.sort();
        println!("{name:<18} {:>6} ns, least {}", nanoseconds[nanoseconds.len() / 2], nanoseconds[0]);
    }
    Ok(())
}
