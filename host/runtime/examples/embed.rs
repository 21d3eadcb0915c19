//! A model as a dependency: opens an ampoule and predicts instances of JSON, with no service beside.
//!
//!     cargo run --release -p ampoule-host --features seal --example embed -- iris.wasm '[[5.1, 3.5, 1.4, 0.2]]'
//!
//! Prints a line for each prediction. A folder of precompiled code behind the instances, as `ampoule serve` fills one,
//! makes it open sooner, and run in a program without the feature `seal`, which has no compiler in it.

use std::error::Error;
use std::process::ExitCode;

use ampoule_host::{Decoder, Host, HostConfig, Model, encode};

fn main() -> ExitCode {
    match predict() {
        Ok(lines) => {
            println!("{lines}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let causes = std::iter::successors(Some(&*failure as &dyn Error), |&cause| cause.source());
            eprintln!("error: {}", causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn predict() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = match arguments.as_slice() {
        [file, _] => Model::open(file)?,
        [file, _, cache] => Host::with_model(
            HostConfig { cache: Some(cache.into()), ..HostConfig::default() },
            file.as_ref(),
        )?,
        _ => return Err("expected AMPOULE INSTANCES [CACHE]".into()),
    };
    let body = format!("{{\"instances\": {}}}", arguments[1]);
    let limit = model.host().limits().max_instances;
    let request = Decoder::new(model.manifest(), limit).request(body.as_bytes())?;
    let answer = model.predict_blocking(request.instances, request.parameters)?;
    let mut lines = Vec::new();
    encode::predictions(&answer.predictions, &model.manifest().outputs, b"\n", &mut lines)?;
    Ok(String::from_utf8(lines)?)
}
