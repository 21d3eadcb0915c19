//! [`Runs`]: the ways in which a graph is run.

use std::time::Instant;

use crate::booster::Booster;
use crate::onnxruntime::Session;
use crate::plan::Plan;
use crate::profile::{Clock, Implementation};
use crate::signature::{Description, TensorInfo};
use crate::steps::Steps;
use crate::{Error, Tensor};

/// The outputs by name.
pub(crate) type Answer = Result<Vec<(String, Tensor)>, Error>;

/// A way to run a graph.
///
/// That it is behind a pointer matters where a graph is prepared once and stored with the engine: code that makes plans is
/// reached from a graph that still makes some alone, and left out of the file otherwise.
pub(crate) trait Runs: Send + Sync {
    /// `inputs` in the graph's order, checked against its signature; `outputs` as it declares them. Up to `helpers` threads
    /// help where pictures are computed one by one.
    fn run(&self, inputs: &[Tensor], outputs: &[TensorInfo], helpers: usize) -> Answer;

    /// Runs with the times of its nodes on `clock`, and without the outputs.
    fn measure(&self, clock: &Clock, inputs: &[Tensor], outputs: &[TensorInfo]) -> Result<(), Error>;

    /// As [`Graph::plans_per_shape`](crate::Graph::plans_per_shape).
    fn plans_per_shape(&self) -> bool {
        false
    }

    /// As [`Graph::planned`](crate::Graph::planned).
    fn planned(&self) -> Vec<Vec<Vec<usize>>> {
        Vec::new()
    }
}

/// Every dim is fixed, or the plan holds for any.
impl Runs for Plan {
    fn run(&self, inputs: &[Tensor], outputs: &[TensorInfo], _helpers: usize) -> Answer {
        Plan::run(self, inputs, outputs)
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], _outputs: &[TensorInfo]) -> Result<(), Error> {
        Plan::measure(self, clock, inputs)
    }
}

/// There is no plan of the whole.
pub(crate) struct Stepwise {
    pub(crate) steps: Steps,
    pub(crate) description: Description,
}

impl Runs for Stepwise {
    fn run(&self, inputs: &[Tensor], _outputs: &[TensorInfo], _helpers: usize) -> Answer {
        self.steps.run(&self.description, inputs)
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], _outputs: &[TensorInfo]) -> Result<(), Error> {
        self.steps.measure(clock, &self.description, inputs)
    }
}

/// No ONNX: trees or weights of a booster, one node.
impl Runs for Booster {
    fn run(&self, inputs: &[Tensor], outputs: &[TensorInfo], _helpers: usize) -> Answer {
        let answers = Booster::run(self, &inputs[0])?;
        Ok(outputs.iter().map(|info| info.name.clone()).zip(answers).collect())
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], _outputs: &[TensorInfo]) -> Result<(), Error> {
        let start = Instant::now();
        Booster::run(self, &inputs[0])?;
        clock.add("booster", "Booster", Implementation::Ours, start.elapsed());
        Ok(())
    }
}

/// ONNX Runtime plans by itself, and is one node.
impl Runs for Session {
    fn run(&self, inputs: &[Tensor], outputs: &[TensorInfo], _helpers: usize) -> Answer {
        Session::run(self, inputs, outputs)
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], outputs: &[TensorInfo]) -> Result<(), Error> {
        let start = Instant::now();
        Session::run(self, inputs, outputs)?;
        clock.add("graph", "Graph", Implementation::OnnxRuntime, start.elapsed());
        Ok(())
    }
}
