//! How long a booster takes to load: `time_load FILE [RUNS]` prints the best of some runs from the library's file and from
//! the compact form, in milliseconds.

use std::hint::black_box;
use std::time::Instant;

use ampoule_engine::{Graph, LoadOptions, compact};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("time_load FILE [RUNS]")?;
    let runs: usize = args.next().map_or(Ok(5), |runs| runs.parse())?;
    let sealed = compact(&std::fs::read(&path)?)?.ok_or("no booster")?;
    let beside = format!("{path}.compact");
    std::fs::write(&beside, &sealed)?;
    for file in [&path, &beside] {
        let mut best = f64::INFINITY;
        for _ in 0..runs {
            let start = Instant::now();
            black_box(Graph::load(&std::fs::read(file)?, &LoadOptions::default())?);
            best = best.min(start.elapsed().as_secs_f64() * 1e3);
        }
        println!("{file}: {:.1} MB, {best:.1} ms", std::fs::metadata(file)?.len() as f64 / 1e6);
    }
    std::fs::remove_file(beside)?;
    Ok(())
}
