//! A predictor that misbehaves on demand: the first instance names the deed.
//!
//! It speaks the contract directly, without the SDK's checks between: `DEED` or `DEED:ARGUMENT`, as
//! a JSON string. What is no deed is given back.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ampoule_guest::bindings::ampoule::model::types::{Column, Dtype, Fault, Media, Numeric, Values};
use ampoule_guest::bindings::exports::ampoule::model::predictor::{Batch, Failure, Guest};
use ampoule_guest::bindings::wasi::nn::errors::Error;
use ampoule_guest::bindings::wasi::nn::graph::{self, ExecutionTarget, GraphEncoding};
use ampoule_guest::bindings::wasi::nn::tensor::{Tensor, TensorType};

struct Hostile;

/// What one call leaves for the next, if anything does.
static KEPT: Mutex<String> = Mutex::new(String::new());

impl Guest for Hostile {
    fn load(_: String) -> Result<(), Failure> {
        Ok(())
    }

    fn predict(instances: Batch, _: Option<String>) -> Result<Batch, Failure> {
        let Batch::Json(instances) = instances else { return Err(failure(Fault::Model, "expected JSON")) };
        let first = instances.first().cloned().unwrap_or_default();
        let deed = first.trim_matches('"');
        let (deed, argument) = deed.split_once(':').unwrap_or((deed, ""));
        let number = argument.parse::<usize>().unwrap_or(0);
        match deed {
            "spin" | "spin-host" | "recurse" | "panic" | "unreachable" | "out-of-bounds" | "exit"
            | "abort" => stop(deed, argument),
            "grow" | "grow-on" | "allocate" | "grow-politely" => Ok(memory(deed, number)),
            "compute" | "unknown-graph" | "own-graph" | "wrong-name" | "wrong-dtype" | "wrong-shape"
            | "no-inputs" | "input-twice" | "empty-tensor" => compute(deed),
            "engine" => engine(argument),
            "tensor-short" | "tensor-long" | "tensor-overflow" | "tensor-deep" | "tensors" | "handles"
            | "handle-twice" | "handle-forged" => Ok(handles(deed)),
            "read-file" | "write-file" | "connect" | "sleep" | "random" | "environment" | "arguments"
            | "stdin" => Ok(outside(deed, number)),
            "text-echo" | "text-alone" | "text-bytes-alone" | "text-few" | "text-long"
            | "text-negative" | "text-broken" | "text-cut" | "text-floats" | "text-square" | "text-shape"
            | "text-number" | "text-empty" => strings(deed, number),
            "log" | "log-lines" => {
                let piece = if deed == "log" { vec![b'x'; 1 << 20] } else { b"\x1b[31m\n".repeat(1 << 17) };
                for _ in 0..number {
                    std::io::stdout().write_all(&piece).expect("the log takes all");
                }
                answer("true")
            }
            "remember" => {
                argument.clone_into(&mut KEPT.lock().expect("one thread"));
                answer("true")
            }
            "recall" => answer(&format!("{:?}", KEPT.lock().expect("one thread"))),
            "fault-caller" => Err(Failure {
                instance: Some(0),
                expected: Some("a deed".to_owned()),
                actual: Some(argument.to_owned()),
                ..failure(Fault::Caller, "not today")
            }),
            "fault-model" => Err(failure(Fault::Model, argument)),
            "fault-control" => Err(failure(Fault::Caller, "a\r\nset-cookie: b\u{1b}[31m\u{2028}\"}")),
            "fault-long" => Err(failure(Fault::Caller, &"x".repeat(number << 10))),
            _ => predictions(deed, number, instances),
        }
    }
}

fn answer(json: &str) -> Result<Batch, Failure> {
    Ok(Batch::Json(vec![json.to_owned()]))
}

fn failure(fault: Fault, message: &str) -> Failure {
    Failure { fault, instance: None, message: message.to_owned(), expected: None, actual: None }
}

/// What never answers.
fn stop(deed: &str, argument: &str) -> ! {
    match deed {
        "spin" => loop {
            black_box(0);
        },
        "spin-host" => loop {
            black_box(Instant::now());
        },
        "recurse" => {
            black_box(recurse(0));
            unreachable!("the stack has an end")
        }
        "panic" => panic!("it was given {argument}"),
        "out-of-bounds" => {
            // SAFETY: it is not: the address lies beyond the memory, which is the point.
            black_box(unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<u64>(0xffff_fff0)) });
            unreachable!("nothing is there")
        }
        "exit" => std::process::exit(argument.parse().unwrap_or(0)),
        "abort" => std::process::abort(),
        _ => core::arch::wasm32::unreachable(),
    }
}

#[expect(unconditional_recursion, reason = "the stack's end is what is looked for")]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    room[1] + recurse(depth + 1)
}

fn memory(deed: &str, mebibytes: usize) -> Batch {
    match deed {
        "grow" => {
            black_box(vec![1u8; mebibytes << 20]);
        }
        "allocate" => {
            black_box(Vec::<u8>::with_capacity(mebibytes << 20));
        }
        "grow-on" => {
            let mut held = Vec::new();
            loop {
                held.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        // One that looks at what it gets, and goes on without.
        _ => while core::arch::wasm32::memory_grow::<0>(16) != usize::MAX {},
    }
    Batch::Json(vec!["true".to_owned()])
}

fn ones(rows: u32) -> Tensor {
    Tensor::new(&[rows, 4], TensorType::Fp32, &1f32.to_le_bytes().repeat(rows as usize * 4))
}

fn compute(deed: &str) -> Result<Batch, Failure> {
    let told = |error: Error| failure(Fault::Model, &error.data());
    let graph = match deed {
        "unknown-graph" => graph::load_by_name("../identity"),
        "own-graph" => graph::load(&[vec![0; 64]], GraphEncoding::Onnx, ExecutionTarget::Cpu),
        _ => graph::load_by_name("identity"),
    };
    let context = graph.and_then(|graph| graph.init_execution_context()).map_err(told)?;
    let name = "x".to_owned();
    let inputs = match deed {
        "wrong-name" => vec![("z".to_owned(), ones(1))],
        "wrong-dtype" => vec![(name, Tensor::new(&[1, 4], TensorType::I64, &[0; 32]))],
        "wrong-shape" => vec![(name, Tensor::new(&[1, 5], TensorType::Fp32, &[0; 20]))],
        "no-inputs" => Vec::new(),
        "input-twice" => vec![(name.clone(), ones(1)), (name, ones(1))],
        "empty-tensor" => vec![(name, ones(0))],
        _ => vec![(name, ones(1))],
    };
    context.compute(inputs).map(columns).map_err(told)
}

/// Hands a row to a graph of any name, and gives back what comes.
fn engine(name: &str) -> Result<Batch, Failure> {
    let context = graph::load_by_name(name).and_then(|graph| graph.init_execution_context());
    let outputs = context.and_then(|context| context.compute(vec![("x".to_owned(), ones(1))]));
    outputs.map(columns).map_err(|error| failure(Fault::Model, &error.data()))
}

fn columns(outputs: Vec<(String, Tensor)>) -> Batch {
    let column = |(name, tensor): (String, Tensor)| {
        black_box(tensor.ty());
        let numeric = Numeric { dtype: Dtype::F32, data: tensor.data() };
        Column { name, shape: tensor.dimensions(), values: Values::Numeric(numeric) }
    };
    Batch::Columns(outputs.into_iter().map(column).collect())
}

/// Hands strings to a graph that gives them back.
fn strings(deed: &str, number: usize) -> Result<Batch, Failure> {
    let told = |error: Error| failure(Fault::Model, &error.data());
    let context =
        graph::load_by_name("echo").and_then(|graph| graph.init_execution_context()).map_err(told)?;
    let (mut lengths, mut utf8) = (vec![2, 0, 1], b"\xc3\xbc\0".to_vec());
    match deed {
        "text-few" => lengths[2] = 2,
        "text-long" => lengths[2] = 0,
        "text-negative" => lengths = vec![i32::MAX, -i32::MAX, 3],
        "text-broken" => utf8[0] = 0xff,
        "text-cut" => lengths = vec![1, 1, 1],
        "text-empty" => (lengths, utf8) = (vec![0; number], Vec::new()),
        _ => {}
    }
    let shape = if deed == "text-shape" { vec![lengths.len() as u32, 1] } else { vec![lengths.len() as u32] };
    let ty = if deed == "text-floats" { TensorType::Fp32 } else { TensorType::I32 };
    let data: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
    let first = ("x".to_owned(), Tensor::new(&shape, ty, &data));
    let shape = if deed == "text-square" { vec![utf8.len() as u32, 1] } else { vec![utf8.len() as u32] };
    let second = ("x.utf8".to_owned(), Tensor::new(&shape, TensorType::U8, &utf8));
    let inputs = match deed {
        "text-alone" => vec![first],
        "text-bytes-alone" => vec![second],
        "text-number" => vec![("x".to_owned(), Tensor::new(&[3], TensorType::I64, &[0; 24])), second],
        _ => vec![second, first],
    };
    let outputs = context.compute(inputs).map_err(told)?;
    let shown: Vec<String> = outputs
        .iter()
        .map(|(name, tensor)| {
            format!("{name} {:?}{:?} {}", tensor.ty(), tensor.dimensions(), tensor.data().len())
        })
        .collect();
    answer(&format!("{:?}", shown.join(", ")))
}

fn handles(deed: &str) -> Batch {
    let mut held = Vec::new();
    match deed {
        "tensor-short" => held.push(Tensor::new(&[1, 4], TensorType::Fp32, &[0; 15])),
        "tensor-long" => held.push(Tensor::new(&[1, 4], TensorType::Fp32, &[0; 17])),
        "tensor-overflow" => held.push(Tensor::new(&[1 << 31, 1 << 31, 4], TensorType::Fp32, &[])),
        "tensor-deep" => held.push(Tensor::new(&vec![1; 100_000], TensorType::Fp32, &[0; 4])),
        "tensors" => loop {
            held.push(Tensor::new(&[1 << 18], TensorType::U8, &vec![1; 1 << 18]));
        },
        "handles" => {
            for _ in 0..1_000_000 {
                held.push(Tensor::new(&[1], TensorType::U8, &[1]));
            }
        }
        "handle-twice" => {
            let first = ManuallyDrop::new(ones(1));
            // SAFETY: the handle is used twice; that is for the host to refuse.
            let (one, two) =
                unsafe { (Tensor::from_handle(first.handle()), Tensor::from_handle(first.handle())) };
            let context = graph::load_by_name("identity").and_then(|graph| graph.init_execution_context());
            let context = context.unwrap_or_else(|error| panic!("{}", error.data()));
            let _ = context.compute(vec![("x".to_owned(), one), ("y".to_owned(), two)]);
        }
        _ => {
            // SAFETY: no such handle was given; that is for the host to refuse.
            black_box(unsafe { Tensor::from_handle(123_456) }.data());
        }
    }
    black_box(held);
    Batch::Json(vec!["true".to_owned()])
}

/// Reaches for what lies outside the sandbox.
fn outside(deed: &str, number: usize) -> Batch {
    let found = match deed {
        "read-file" => std::fs::read("/etc/passwd").map_or(0, |bytes| bytes.len()),
        "write-file" => std::fs::write("/tmp/hostile", b"was here").map_or(0, |()| 1),
        "connect" => std::net::TcpStream::connect("127.0.0.1:22").map_or(0, |_| 1),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3600));
            1
        }
        "random" => wasip2::random::random::get_random_bytes(number as u64).len(),
        "environment" => std::env::vars_os().count(),
        "arguments" => std::env::args_os().count(),
        _ => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_or(0, |read| read)
        }
    };
    Batch::Json(vec![found.to_string()])
}

fn floats(name: &str, shape: &[u32], items: &[f32]) -> Column {
    let data = items.iter().flat_map(|item| item.to_le_bytes()).collect();
    let values = Values::Numeric(Numeric { dtype: Dtype::F32, data });
    Column { name: name.to_owned(), shape: shape.to_vec(), values }
}

fn text(name: &str, shape: &[u32], items: usize) -> Column {
    Column { name: name.to_owned(), shape: shape.to_vec(), values: Values::Text(vec![None; items]) }
}

fn media(content_type: &str, metadata: Option<&str>) -> Media {
    Media {
        content_type: content_type.to_owned(),
        bytes: b"<p>".to_vec(),
        metadata: metadata.map(str::to_owned),
    }
}

/// Predictions that are none.
fn predictions(deed: &str, number: usize, instances: Vec<String>) -> Result<Batch, Failure> {
    let json = |items: &[&str]| Batch::Json(items.iter().map(|&item| item.to_owned()).collect());
    Ok(match deed {
        "none" => json(&[]),
        "more" => json(&["1", "2"]),
        "not-json" => json(&["{\"a\": "]),
        "two-values" => json(&["1 2"]),
        "breaks-out" => json(&["1],\"forged\":[2"]),
        "empty-json" => json(&[""]),
        "nan-json" => json(&["NaN"]),
        "deep-json" => Batch::Json(vec!["[".repeat(number) + &"]".repeat(number)]),
        "no-utf8" => {
            // SAFETY: it is no UTF-8; that is for the host to refuse.
            Batch::Json(vec![unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }])
        }
        "columns-none" => Batch::Columns(Vec::new()),
        "columns-twice" => Batch::Columns(vec![floats("y", &[1], &[1.0]), floats("y", &[1], &[2.0])]),
        "columns-short" => Batch::Columns(vec![floats("y", &[1, 3], &[1.0, 2.0])]),
        "columns-long" => Batch::Columns(vec![floats("y", &[1, 3], &[1.0; 4])]),
        "columns-overflow" => Batch::Columns(vec![floats("y", &[1, 1 << 31, 1 << 31, 8], &[])]),
        "columns-flat" => Batch::Columns(vec![floats("y", &[], &[1.0])]),
        "columns-rows" => Batch::Columns(vec![floats("y", &[2], &[1.0, 2.0])]),
        "columns-uneven" => Batch::Columns(vec![floats("y", &[1], &[1.0]), floats("z", &[2], &[1.0, 2.0])]),
        "columns-wide" => Batch::Columns(vec![floats("y", &[1, u32::MAX, 0], &[])]),
        "columns-deep" => Batch::Columns(vec![floats("y", &vec![1; 200_000], &[1.0])]),
        "text-short" => Batch::Columns(vec![text("y", &[1, 3], 2)]),
        "text-wide" => Batch::Columns(vec![text("y", &[1, u32::MAX, 0], 0)]),
        "nan" => Batch::Columns(vec![floats("y", &[1, 2], &[1.0, f32::NAN])]),
        "infinity" => Batch::Columns(vec![floats("y", &[1], &[f32::NEG_INFINITY])]),
        "media-list" => Batch::Media(vec![media("image/png", Some("[1]"))]),
        "media-half" => Batch::Media(vec![media("image/png", Some("{\"a\":"))]),
        "media-twice" => Batch::Media(vec![media("image/png", Some("{\"b64\":\"AAAA\"}"))]),
        "media-type" => Batch::Media(vec![media("a/b\r\nset-cookie: c=d", None)]),
        "media-lies" => {
            // SAFETY: the memory has no such length; that is for the host to refuse.
            let bytes =
                unsafe { Vec::from_raw_parts(std::ptr::without_provenance_mut(64), 1 << 30, 1 << 30) };
            Batch::Media(vec![Media { content_type: "image/png".to_owned(), bytes, metadata: None }])
        }
        "output" => Batch::Media(vec![Media {
            content_type: "image/png".to_owned(),
            bytes: vec![0; number << 10],
            metadata: None,
        }]),
        "output-many" => Batch::Json(vec![String::new(); number]),
        _ => Batch::Json(instances),
    })
}

ampoule_guest::bindings::export_component!(Hostile with_types_in ampoule_guest::bindings);
