//! What the sandbox costs: one call of a model that does next to nothing, through the sandbox and
//! without it.

use std::path::PathBuf;

use ampoule_engine::{Dtype, Graph, LoadOptions, Tensor};
use ampoule_host::{Batch, Column, ColumnDtype, Host, HostConfig, Model, Numeric, Reuse, Values};
use criterion::{Criterion, criterion_group, criterion_main};

fn model(name: &str, reuse: Reuse) -> Model {
    let cache = Some(ampoule_tests::cache());
    let host = Host::new(HostConfig { reuse, cache, ..HostConfig::default() }).expect("the host starts");
    host.open(&ampoule_tests::sealed(name)).expect("the model opens")
}

/// One row for a model of four scalar inputs.
fn row() -> Batch {
    let column = |(name, value): (&str, f32)| Column {
        name: name.to_owned(),
        shape: vec![1],
        values: Values::Numeric(Numeric { dtype: ColumnDtype::F32, data: value.to_le_bytes().to_vec() }),
    };
    let values = [("sepal_length", 5.1), ("sepal_width", 3.5), ("petal_length", 1.4), ("petal_width", 0.2)];
    Batch::Columns(values.into_iter().map(column).collect())
}

/// One row for a model of one vector input.
fn vector() -> Batch {
    let data = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|value| value.to_le_bytes()).collect();
    let values = Values::Numeric(Numeric { dtype: ColumnDtype::F32, data });
    Batch::Columns(vec![Column { name: "x".to_owned(), shape: vec![1, 4], values }])
}

fn direct(criterion: &mut Criterion, name: &str, file: PathBuf) {
    let graph = Graph::load(&std::fs::read(file).expect("the graph is there"), &LoadOptions::default())
        .expect("it loads");
    let input = graph.inputs().first().expect("it has one").name.clone();
    let bytes: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|value| value.to_le_bytes()).collect();
    criterion.bench_function(&format!("{name}/engine alone"), |bencher| {
        bencher.iter(|| {
            let tensor = Tensor::from_le_bytes(Dtype::F32, &[1, 4], &bytes).expect("four floats");
            graph.run(vec![(input.clone(), tensor)]).expect("it runs")
        });
    });
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let models = ampoule_tests::root().join("models");
    let fixtures = ampoule_tests::root().join("tests/models");
    for (name, file, batch) in [
        ("identity", fixtures.join("identity/model.onnx"), vector as fn() -> Batch),
        ("iris", models.join("iris/model.onnx"), row),
    ] {
        direct(criterion, name, file);
        for (mode, reuse) in [("fresh", Reuse::Never), ("reused", Reuse::Calls(1_000_000))] {
            let model = model(name, reuse);
            criterion.bench_function(&format!("{name}/sandbox, {mode}"), |bencher| {
                bencher.iter(|| {
                    // The call is polled on this thread, so that no hand-over between threads is timed.
                    runtime.block_on(model.predict(batch(), None)).expect("it answers")
                });
            });
        }
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
