//! [`Graph`]: a loaded model, shared by any number of threads.

use std::time::Instant;

use crate::arguments::{fits, in_order};
use crate::booster::{self, Booster, Margin};
use crate::cache::Cache;
use crate::engine::Engine;
use crate::forest::allow;
use crate::import::{Format, Import, import};
use crate::onnxruntime::Session;
use crate::plan::Plan;
use crate::profile::{Clock, Profile};
use crate::read::{Reader, describe};
use crate::runs::{Runs, Stepwise};
use crate::signature::{Description, Dim, TensorInfo};
use crate::steps::{Rehearsal, Steps};
use crate::{Error, Tensor, hold};

/// Which shapes a graph is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Any
    #[default]
    Anything,
    /// Those of [`LoadOptions::warm`], in batches of any size; any where the pictures of a batch are not computed each by
    /// itself
    WarmInBatches,
    /// Those of [`LoadOptions::warm`]
    Warm,
}

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Model files longer than this are refused. Bytes; 2 GiB, the most that protobuf allows
    pub max_model_bytes: usize,
    /// Plans kept beside the `warm` ones, each with its own packed weights, where every shape has its own plan: 8
    pub max_plans: usize,
    /// Shapes to plan for at load and for good, each entry one shape per input in the file's order. Without effect
    /// where one plan serves every shape
    pub warm: Vec<Vec<Vec<usize>>>,
    /// What is ever asked for. Where that is `warm` alone, what plans are made of is let go of, and other shapes are
    /// refused. Without effect where one plan serves every shape, and where `warm` is empty
    pub asked: Asked,
    /// Whether boosters give their raw scores too; without effect on ONNX
    pub margin: Margin,
    /// Threads that one call may use for an ensemble of trees, the caller's among them: 1. A call of few rows
    /// uses one. The answers have the same bits whatever the number. On wasm there is one
    pub threads: usize,
    /// What runs the graph
    pub engine: Engine,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            max_model_bytes: i32::MAX as usize,
            max_plans: 8,
            warm: Vec::new(),
            asked: Asked::Anything,
            margin: Margin::Without,
            threads: 1,
            engine: Engine::Native,
        }
    }
}

/// A model ready to run. Immutable: share it between threads, each call runs in its caller's.
pub struct Graph {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    runs: Box<dyn Runs>,
    threads: usize,
}

/// Bytes of values that are worked out while a graph is loaded, beside as many as its file has.
const VALUE_BYTES: usize = 24 << 20;

impl Graph {
    /// Parses and optimises a model: ONNX, or a booster in a library's own file, whose formats the crate's documentation
    /// lists. Of ONNX: where dims are open, a graph without convolutions, recurrence and the
    /// like gets one plan for every shape; any other gets a plan per set of shapes, made when they are first seen
    /// (milliseconds to a second) or here, for [`LoadOptions::warm`]. One plan serves batches of every size where pictures,
    /// `[N, C, H, W]`, are computed each by itself.
    ///
    /// # Errors
    ///
    /// `InvalidModel` for bytes that are no model, that contradict themselves or exceed
    /// [`LoadOptions::max_model_bytes`]; `Unsupported` for what the engine lacks (operators, dtypes, objectives) and for weights outside of
    /// the file, which are never looked for; `InvalidInput` for `warm` shapes that the graph does not take.
    pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Self, Error> {
        let limit = options.max_model_bytes;
        if bytes.len() > limit {
            return Err(Error::model(format!(
                "expected a model of at most {limit} bytes, got {}",
                bytes.len()
            )));
        }
        if let Engine::OnnxRuntime(runtime) = &options.engine {
            let (session, Description { inputs, outputs, .. }) = Session::load(runtime, bytes)?;
            check_warm(&inputs, &options.warm)?;
            return Ok(Self { inputs, outputs, runs: Box::new(session), threads: 1 });
        }
        if let Some(import) = read_booster(bytes)? {
            return Self::of(import, options);
        }
        hold::within(VALUE_BYTES.saturating_add(bytes.len()), || Self::of_onnx(bytes, options))
    }

    fn of_onnx(bytes: &[u8], options: &LoadOptions) -> Result<Self, Error> {
        let reader = Reader::new(bytes)?;
        let Description { inputs, outputs, .. } = reader.description.clone();
        if reader.stepwise {
            return Self::in_steps(reader, options);
        }
        let open = inputs.iter().flat_map(|info| &info.shape).any(|dim| matches!(dim, Dim::Symbol(_)));
        let one = if !open {
            let plan = Plan::build(&reader, None).and_then(|plan| {
                if plan.is_settled() { Ok(plan) } else { plan.rehearse(&inputs).map(|()| plan) }
            });
            match plan {
                Ok(plan) => Some(plan),
                Err(error) => return Self::in_steps(reader, options).map_err(|_| error),
            }
        } else if reader.shape_bound {
            None
        } else {
            Plan::build(&reader, None).and_then(|plan| plan.rehearse(&inputs).map(|()| plan)).ok()
        };
        check_warm(&inputs, &options.warm)?;
        let runs: Box<dyn Runs> = match one {
            Some(plan) => Box::new(plan),
            None => {
                // What is wrong with the graph as such is found here rather than at the first call.
                reader.model(false)?;
                let cache = Cache::new(reader, options.max_plans);
                for shapes in &options.warm {
                    cache.keep(&shapes.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
                }
                cache.frozen(options.asked)
            }
        };
        Ok(Self { inputs, outputs, runs, threads: options.threads })
    }

    /// # Errors
    ///
    /// As `Steps::new`, and for a graph of floats alone, when it can't be run with its own dims.
    fn in_steps(reader: Reader, options: &LoadOptions) -> Result<Self, Error> {
        let steps = Steps::new(&reader)?;
        let description = reader.description;
        let (inputs, outputs) = (description.inputs.clone(), description.outputs.clone());
        let shapes: Vec<Vec<usize>> = inputs
            .iter()
            .map(|info| info.shape.iter().map(|dim| if let Dim::Fixed(n) = dim { *n } else { 2 }).collect())
            .collect();
        let open = inputs.iter().flat_map(|info| &info.shape).any(|dim| matches!(dim, Dim::Symbol(_)));
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        if let (false, Rehearsal::Failed(error)) = (open, steps.rehearse(&description, &shapes)) {
            return Err(error);
        }
        check_warm(&inputs, &options.warm)?;
        let runs = Box::new(Stepwise { steps, description });
        Ok(Self { inputs, outputs, runs, threads: options.threads })
    }

    fn of(import: Import, options: &LoadOptions) -> Result<Self, Error> {
        let Description { inputs, outputs, .. } = booster::describe(&import, options.margin);
        let runs = Box::new(Booster::new(import, options.margin));
        check_warm(&inputs, &options.warm)?;
        Ok(Self { inputs, outputs, runs, threads: options.threads })
    }

    /// Reads what a model says about itself. Decodes the file, but neither optimises nor checks an ONNX graph.
    ///
    /// # Errors
    ///
    /// `InvalidModel` for bytes that are no model, `Unsupported` for inputs or outputs that are no tensors and for
    /// boosters that are not run here.
    pub fn describe(bytes: &[u8]) -> Result<Description, Error> {
        if let Some(import) = read_booster(bytes)? {
            return Ok(booster::describe(&import, Margin::Without));
        }
        describe(bytes).map(|(_, description)| description)
    }

    /// The inputs in the file's order, without those that the file itself gives a value.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// The outputs in the file's order, with the shapes that the file claims.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// Whether a plan is built for each new set of shapes, so that the first call with them takes longer.
    pub fn plans_per_shape(&self) -> bool {
        self.runs.plans_per_shape()
    }

    /// The shapes that were planned for, for each one shape for each input; a batch counts as 1 where its pictures are
    /// computed each by itself. Empty where one plan serves every shape.
    pub fn planned(&self) -> Vec<Vec<Vec<usize>>> {
        self.runs.planned()
    }

    /// Runs the graph. `inputs` in any order, matched by name; the outputs come in the order of
    /// [`Graph::outputs`], each with its declared dtype.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is missing, unknown or given twice, for a dtype or shape other than the
    /// declared, and for values or shapes on which the graph fails; `Unsupported` for an output that is no tensor.
    pub fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, Error> {
        self.run_with(inputs, 0)
    }

    /// As [`Graph::run`], with up to `helpers` threads beside the caller's, which end with the call. They help where a graph
    /// computes the pictures of a batch each by itself, and with ensembles of trees as [`LoadOptions::threads`] says. The
    /// outputs have the same bits with any number of them.
    ///
    /// # Errors
    ///
    /// As [`Graph::run`].
    pub fn run_with(
        &self,
        inputs: Vec<(String, Tensor)>,
        helpers: usize,
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let inputs = in_order(&self.inputs, inputs)?;
        match self.threads.max(helpers + 1) {
            1 => self.runs.run(&inputs, &self.outputs, helpers),
            threads => allow(threads, || self.runs.run(&inputs, &self.outputs, helpers)),
        }
    }

    /// Runs the graph once to warm up and then `runs` times, at least once, and measures each node; a booster, and any
    /// graph in ONNX Runtime, is one node. The times hold for these inputs' shapes.
    ///
    /// # Errors
    ///
    /// As [`Graph::run`].
    pub fn profile(&self, inputs: Vec<(String, Tensor)>, runs: usize) -> Result<Profile, Error> {
        let (inputs, runs) = (in_order(&self.inputs, inputs)?, runs.max(1));
        let measure = |clock: &Clock| self.runs.measure(clock, &inputs, &self.outputs);
        measure(&Clock::default())?;
        let clock = Clock::default();
        let start = Instant::now();
        (0..runs).try_for_each(|_| measure(&clock))?;
        Ok(clock.profile(runs, start.elapsed()))
    }
}

/// # Errors
///
/// `InvalidInput` for shapes that `inputs` don't take.
fn check_warm(inputs: &[TensorInfo], warm: &[Vec<Vec<usize>>]) -> Result<(), Error> {
    for shapes in warm {
        if shapes.len() != inputs.len() {
            let (expected, got) = (inputs.len(), shapes.len());
            return Err(Error::input(format!(
                "warm: expected {expected} shapes, one for each input, got {got}"
            )));
        }
        for (info, shape) in inputs.iter().zip(shapes) {
            if !fits(info, shape) {
                return Err(Error::input(format!(
                    "warm: input {:?}: expected {info}, got {shape:?}",
                    info.name
                )));
            }
        }
    }
    Ok(())
}

/// `None` for ONNX.
pub(crate) fn read_booster(bytes: &[u8]) -> Result<Option<Import>, Error> {
    Format::of(bytes)?.map(|format| import(bytes, format)).transpose()
}
