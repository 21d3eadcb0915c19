//! The smallest program that serves: opens an ampoule and asks it once, without a compiler in it.
//!
//!     cargo run --release -p ampoule-host --example open -- iris.wasm '[5.1, 3.5, 1.4, 0.2]' CACHE
//!
//! CACHE is a folder of precompiled code, as `ampoule serve` fills it.

use ampoule_host::{Batch, Column, ColumnDtype, Host, HostConfig, Numeric, Values};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, row, cache] = arguments.as_slice() else { return Err("expected AMPOULE ROW CACHE".into()) };
    let host = Host::new(HostConfig { cache: Some(cache.into()), ..HostConfig::default() })?;
    let model = host.open(file.as_ref())?;
    let row: Vec<f32> = serde_json::from_str(row)?;
    let column = |(field, value): (&ampoule_host::Field, &f32)| Column {
        name: field.name.clone(),
        shape: vec![1],
        values: Values::Numeric(Numeric { dtype: ColumnDtype::F32, data: value.to_le_bytes().to_vec() }),
    };
    let columns = model.manifest().inputs.iter().zip(&row).map(column).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let answer = runtime.block_on(model.predict(Batch::Columns(columns), None))?;
    println!("{:?}", answer.predictions);
    Ok(())
}
