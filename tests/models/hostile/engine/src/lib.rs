//! An engine of a portable ampoule that misbehaves on demand: the graph's name is the deed.
//!
//! What is no deed is a graph that gives its first input back as `y`.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use bindings::exports::wasi::nn::{errors, graph, inference, tensor};
use errors::ErrorCode;
use tensor::{GuestTensor as _, TensorType};

mod bindings {
    wit_bindgen::generate!({ path: "../../../../guest/wit", world: "ampoule:model/engine", generate_all });
}

struct Hostile;

/// Computes that this engine has answered.
static COMPUTES: AtomicU32 = AtomicU32::new(0);

/// What the handles stand for.
struct Graph(String);

struct Failed(String);

struct Tensor {
    dimensions: Vec<u32>,
    ty: TensorType,
    data: Vec<u8>,
    deed: String,
}

impl bindings::Guest for Hostile {
    fn prepare(_: String, _: Vec<u8>, _: Vec<Vec<Vec<u32>>>, _: bool) -> Result<(), String> {
        Ok(())
    }
}

impl graph::Guest for Hostile {
    type Graph = Graph;

    fn load(
        _: Vec<graph::GraphBuilder>,
        _: graph::GraphEncoding,
        _: graph::ExecutionTarget,
    ) -> Result<graph::Graph, errors::Error> {
        Err(errors::Error::new(Failed("load".to_owned())))
    }

    fn load_by_name(name: String) -> Result<graph::Graph, errors::Error> {
        match name.as_str() {
            "load-spin" => loop {
                black_box(0);
            },
            // SAFETY: no such handle was given; that is for the host to refuse.
            "graph-forged" => Ok(unsafe { graph::Graph::from_handle(123_456) }),
            // SAFETY: the same.
            "error-forged" => Err(unsafe { errors::Error::from_handle(123_456) }),
            "error-utf8" | "error-long" | "error-lies" => Err(errors::Error::new(Failed(name))),
            _ => Ok(graph::Graph::new(Graph(name))),
        }
    }
}

impl errors::GuestError for Failed {
    fn code(&self) -> ErrorCode {
        ErrorCode::Unknown
    }

    fn data(&self) -> String {
        match self.0.as_str() {
            // SAFETY: it is no UTF-8; that is for the host to refuse.
            "error-utf8" => unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) },
            "error-long" => "x".repeat(8 << 20),
            // SAFETY: the memory has no such length; that is for the host to refuse.
            "error-lies" => unsafe {
                String::from_raw_parts(std::ptr::without_provenance_mut(64), 1 << 30, 1 << 30)
            },
            told => told.to_owned(),
        }
    }
}

impl graph::GuestGraph for Graph {
    fn init_execution_context(&self) -> Result<inference::GraphExecutionContext, errors::Error> {
        if self.0 == "context-forged" {
            // SAFETY: no such handle was given; that is for the host to refuse.
            return Ok(unsafe { inference::GraphExecutionContext::from_handle(123_456) });
        }
        Ok(inference::GraphExecutionContext::new(Graph(self.0.clone())))
    }
}

impl inference::GuestGraphExecutionContext for Graph {
    fn compute(
        &self,
        inputs: Vec<inference::NamedTensor>,
    ) -> Result<Vec<inference::NamedTensor>, errors::Error> {
        let computes = COMPUTES.fetch_add(1, Ordering::Relaxed) + 1;
        let mut given = inputs.into_iter().map(|(_, tensor)| tensor);
        let first = given.next().expect("a tensor comes in").into_inner::<Tensor>();
        let one = |tensor: Tensor| vec![("y".to_owned(), tensor::Tensor::new(tensor))];
        let with = |dimensions: Vec<u32>, data: Vec<u8>| {
            one(Tensor { dimensions, ty: TensorType::Fp32, data, deed: String::new() })
        };
        Ok(match self.0.as_str() {
            "spin" => loop {
                black_box(0);
            },
            "recurse" => {
                black_box(recurse(0));
                unreachable!("the stack has an end")
            }
            "trap" => core::arch::wasm32::unreachable(),
            "panic" => panic!("canary-7f3a"),
            "grow-on" => {
                let mut held = Vec::new();
                loop {
                    held.push(black_box(vec![1u8; 1 << 20]));
                }
            }
            "grow-politely" => {
                while core::arch::wasm32::memory_grow::<0>(16) != usize::MAX {}
                one(first)
            }
            "grow-whole" => {
                // All that 32 bits can count, at once.
                assert_eq!(core::arch::wasm32::memory_grow::<0>(65_536), usize::MAX, "it is refused");
                one(first)
            }
            "handles" => {
                for _ in 0..1_000_000 {
                    std::mem::forget(tensor::Tensor::new(Tensor::zero()));
                }
                one(first)
            }
            "none" => Vec::new(),
            "many" => (0..10_000).flat_map(|_| one(Tensor::zero())).collect(),
            "twice" => {
                let tensor = tensor::Tensor::new(first);
                // SAFETY: the handle is given twice; that is for the host to refuse.
                let again = unsafe { tensor::Tensor::from_handle(tensor.handle()) };
                vec![("y".to_owned(), tensor), ("z".to_owned(), again)]
            }
            "forged" => {
                // SAFETY: no such handle was given; that is for the host to refuse.
                vec![("y".to_owned(), unsafe { tensor::Tensor::from_handle(123_456) })]
            }
            "name-utf8" => {
                // SAFETY: it is no UTF-8; that is for the host to refuse.
                let name = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) };
                vec![(name, tensor::Tensor::new(first))]
            }
            "shape" => with(vec![u32::MAX, u32::MAX, 4], vec![0; 16]),
            "shape-empty" => with(vec![1, u32::MAX, 0], Vec::new()),
            "shape-deep" => with(vec![1; 100_000], vec![0; 4]),
            "rows" => with(vec![4096, 4], vec![0; 4096 * 16]),
            "short" => with(vec![1, 4], vec![0; 15]),
            "long" => with(vec![1, 4], vec![0; 17]),
            "nan" => with(vec![1], f32::NAN.to_le_bytes().to_vec()),
            "large" => with(vec![1, 2 << 20], vec![0; 8 << 20]),
            "computes" => with(vec![1], (computes as f32).to_le_bytes().to_vec()),
            deed => one(Tensor { deed: deed.to_owned(), ..first }),
        })
    }
}

impl Tensor {
    /// One number.
    fn zero() -> Self {
        Self::new(vec![1], TensorType::Fp32, vec![0; 4])
    }
}

#[expect(unconditional_recursion, reason = "the stack's end is what is looked for")]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    room[1] + recurse(depth + 1)
}

impl tensor::GuestTensor for Tensor {
    fn new(dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> Self {
        Self { dimensions, ty, data, deed: String::new() }
    }

    fn dimensions(&self) -> Vec<u32> {
        if self.deed == "dimensions-lie" {
            // SAFETY: the memory has no such length; that is for the host to refuse.
            return unsafe { Vec::from_raw_parts(std::ptr::without_provenance_mut(64), 1 << 28, 1 << 28) };
        }
        self.dimensions.clone()
    }

    fn ty(&self) -> TensorType {
        if self.deed == "type" {
            // SAFETY: there is no such type; that is for the host to refuse.
            return unsafe { std::mem::transmute::<u8, TensorType>(black_box(99)) };
        }
        self.ty
    }

    fn data(&self) -> Vec<u8> {
        match self.deed.as_str() {
            "data-spin" => loop {
                black_box(0);
            },
            // SAFETY: the memory has no such length; that is for the host to refuse.
            "data-lies" => unsafe {
                Vec::from_raw_parts(std::ptr::without_provenance_mut(64), 1 << 30, 1 << 30)
            },
            // SAFETY: it lies beyond the memory; that is for the host to refuse.
            "data-beyond" => unsafe {
                Vec::from_raw_parts(std::ptr::without_provenance_mut(0xffff_fff0), 64, 64)
            },
            _ => self.data.clone(),
        }
    }
}

impl tensor::Guest for Hostile {
    type Tensor = Tensor;
}

impl errors::Guest for Hostile {
    type Error = Failed;
}

impl inference::Guest for Hostile {
    type GraphExecutionContext = Graph;
}

bindings::export!(Hostile with_types_in bindings);
