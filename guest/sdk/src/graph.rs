//! [`Graph`]: a sealed graph, run by the host through `wasi:nn`.

mod text;

use std::cell::RefCell;
use std::rc::Rc;

use bytemuck::{cast_slice, pod_collect_to_vec};

use crate::batch::axes;
use crate::bindings::wasi::nn::errors::Error;
use crate::bindings::wasi::nn::inference::GraphExecutionContext;
use crate::bindings::wasi::nn::tensor::{Tensor as NnTensor, TensorType};
use crate::bindings::wasi::nn::{errors::ErrorCode, graph};
use crate::table::Table;
use crate::{Elements, Failure, Tensor};

/// A graph that is ready to compute.
#[derive(Clone)]
pub struct Graph(Rc<Opened>);

struct Opened {
    name: String,
    context: GraphExecutionContext,
}

thread_local! {
    /// The graphs opened so far: a sandbox that answers several calls asks for each only once.
    static OPENED: RefCell<Vec<Graph>> = const { RefCell::new(Vec::new()) };
}

impl Graph {
    /// The graph sealed under `name`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the graphs that are there.
    pub fn open(name: &str) -> Result<Self, Failure> {
        let opened = OPENED.with_borrow(|opened| opened.iter().find(|graph| graph.0.name == name).cloned());
        if let Some(graph) = opened {
            return Ok(graph);
        }
        let context = graph::load_by_name(name).and_then(|graph| graph.init_execution_context());
        let context = context.map_err(|error| failure(name, &error))?;
        let graph = Self(Rc::new(Opened { name: name.to_owned(), context }));
        OPENED.with_borrow_mut(|opened| opened.push(graph.clone()));
        Ok(graph)
    }

    /// Computes the outputs for these inputs, matched by name. The first axis of every tensor is
    /// the batch. Strings go in and come out as [`Elements::String`].
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the input, what the graph expects
    /// (dtype and shape) and what it got; a [`Fault::Caller`](crate::Fault::Caller) failure for a missing
    /// string, which no graph knows: a step before the graph has to put one in its place.
    pub fn run(&self, inputs: &Table) -> Result<Table, Failure> {
        let mut named = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs.iter() {
            match tensor.elements() {
                Elements::String(items) => {
                    let (lengths, bytes) = text::pack(name, tensor.shape(), items)?;
                    let shape = axes(tensor.shape())?;
                    let lengths = NnTensor::new(&shape, TensorType::I32, cast_slice(&lengths));
                    named.push((name.to_owned(), lengths));
                    let shape = axes(&[bytes.len()])?;
                    named.push((text::bytes_of(name), NnTensor::new(&shape, TensorType::U8, &bytes)));
                }
                _ => named.push((name.to_owned(), to_nn(name, tensor)?)),
            }
        }
        let outputs = self.0.context.compute(named).map_err(|error| failure(&self.0.name, &error))?;
        let mut table = Table::new();
        if outputs.iter().any(|(name, _)| text::strings_of(name).is_some()) {
            return with_text(&outputs, table);
        }
        for (name, tensor) in outputs {
            table.insert(name, from_nn(&tensor)?)?;
        }
        Ok(table)
    }
}

/// Outputs of which some may be of strings.
fn with_text(outputs: &[(String, NnTensor)], mut table: Table) -> Result<Table, Failure> {
    let named = |wanted: &str| outputs.iter().find(|(name, _)| name == wanted);
    for (name, tensor) in outputs {
        if text::strings_of(name).is_some_and(|strings| named(strings).is_some()) {
            continue;
        }
        let tensor = match named(&text::bytes_of(name)) {
            Some((_, bytes)) => text::unpack(name, &from_nn(tensor)?, &from_nn(bytes)?)?,
            None => from_nn(tensor)?,
        };
        table.insert(name.clone(), tensor)?;
    }
    Ok(table)
}

fn failure(graph: &str, error: &Error) -> Failure {
    match error.code() {
        ErrorCode::NotFound => Failure::model(error.data()),
        _ => Failure::model(format!("graph \"{graph}\": {}", error.data())),
    }
}

fn to_nn(name: &str, tensor: &Tensor) -> Result<NnTensor, Failure> {
    let shape = axes(tensor.shape())?;
    let make = |ty, data: &[u8]| Ok(NnTensor::new(&shape, ty, data));
    match tensor.elements() {
        Elements::U8(items) => make(TensorType::U8, items),
        Elements::Bool(items) => {
            make(TensorType::U8, &items.iter().map(|&item| u8::from(item)).collect::<Vec<_>>())
        }
        Elements::I32(items) => make(TensorType::I32, cast_slice(items)),
        Elements::I64(items) => make(TensorType::I64, cast_slice(items)),
        Elements::F16(items) => make(TensorType::Fp16, cast_slice(items)),
        Elements::F32(items) => make(TensorType::Fp32, cast_slice(items)),
        Elements::F64(items) => make(TensorType::Fp64, cast_slice(items)),
        Elements::I8(_) | Elements::I16(_) | Elements::String(_) => {
            Err(Failure::model(format!("input \"{name}\" has a dtype that graphs don't take (cast it)"))
                .expected("bool, u8, i32, i64, f16, f32, f64 or string")
                .actual(tensor.to_string()))
        }
    }
}

fn from_nn(tensor: &NnTensor) -> Result<Tensor, Failure> {
    let shape: Vec<usize> = tensor.dimensions().iter().map(|&axis| axis as usize).collect();
    let data = tensor.data();
    let elements = match tensor.ty() {
        TensorType::U8 => Elements::U8(data),
        TensorType::I32 => Elements::I32(pod_collect_to_vec(&data)),
        TensorType::I64 => Elements::I64(pod_collect_to_vec(&data)),
        TensorType::Fp16 => Elements::F16(pod_collect_to_vec(&data)),
        TensorType::Fp32 => Elements::F32(pod_collect_to_vec(&data)),
        TensorType::Fp64 => Elements::F64(pod_collect_to_vec(&data)),
        // The upper half of an f32's bits.
        TensorType::Bf16 => Elements::F32(
            pod_collect_to_vec::<u8, u16>(&data)
                .iter()
                .map(|&bits| f32::from_bits(u32::from(bits) << 16))
                .collect(),
        ),
    };
    Tensor::from_elements(&shape, elements)
}
