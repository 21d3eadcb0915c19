//! [`Plan`]: an optimised graph, for open dims or for one set of shapes, and the states that it runs in.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::{
    DatumType, Factoid, TDim, TractErrorContext as _, TypedSimplePlan, TypedSimpleState,
};

use crate::conv;
use crate::precision::{cast_between, cast_values, dtypes, restore_dtypes, widen};
use crate::profile::Clock;
use crate::read::{Reader, guard};
use crate::signature::{Dim, TensorInfo};
use crate::{Error, ErrorKind, Tensor, hold};

/// States kept for the next call: as many as threads may run one plan at once without making their own.
const IDLE_STATES: usize = 32;

pub(crate) struct Plan {
    plan: Arc<TypedSimplePlan>,
    /// What an input is cast to on its way in, where the plan computes in another dtype.
    inputs: Vec<Option<DatumType>>,
    /// `None` if a node remembers: tract carries the memory of a recurrent node from one run of a state to the
    /// next, so such states serve one call.
    idle: Option<ArrayQueue<TypedSimpleState>>,
    lone: Option<Lone>,
}

/// The one node of a graph: a state, which is what nodes hand values to each other in, takes longer than a row down small trees.
struct Lone {
    node: usize,
    /// Which of its outputs the graph's are.
    outputs: Vec<usize>,
}

impl Lone {
    /// The only input of the graph has to be the node's.
    fn of(model: &TypedModel) -> Option<Self> {
        let node = model.outputs.first()?.node;
        let alone = model.inputs.len() == 1 && model.nodes[node].inputs == model.inputs;
        let outputs = model.outputs.iter().map(|outlet| (outlet.node == node).then_some(outlet.slot));
        Some(Self { node, outputs: outputs.collect::<Option<_>>()? }).filter(|_| alone)
    }

    /// `None` for a node that can't do without a state.
    fn run(&self, model: &TypedModel, values: &TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let node = &model.nodes[self.node];
        let values =
            node.op.eval_out_of_plan(values.clone()).with_context(|| format!("Evaluating {node}"))?;
        Ok(values.map(|values| self.outputs.iter().map(|slot| values[*slot].clone()).collect()))
    }
}

impl Plan {
    /// For the dims as declared, or for `shapes`, one for each input. Tries without, then with the shapes that the
    /// file claims for what is inside of the graph.
    pub(crate) fn build(reader: &Reader, shapes: Option<&[&[usize]]>) -> Result<Self, Error> {
        let build = |trusting| hold::apart(|| Self::build_from(reader, shapes, trusting));
        build(false).or_else(|e| build(true).map_err(|_| e))
    }

    fn build_from(reader: &Reader, shapes: Option<&[&[usize]]>, trusting: bool) -> Result<Self, Error> {
        let mut model = reader.model(trusting)?;
        let plan = guard("optimising the graph", ErrorKind::InvalidModel, || {
            for (at, shape) in shapes.into_iter().flatten().enumerate() {
                let datum = model.input_fact(at)?.datum_type.concretize();
                let datum = datum.ok_or_else(|| TractError::msg("an input has no dtype"))?;
                model.set_input_fact(
                    at,
                    InferenceFact::dt_shape(datum, shape.iter().map(|&n| TDim::from(n)).collect::<TVec<_>>()),
                )?;
            }
            let mut typed = model.into_typed()?;
            hold::check(&typed)?;
            widen(&mut typed)?;
            restore_dtypes(&mut typed, &reader.description.outputs)?;
            conv::block(&mut typed)?;
            hold::take_repeated(&typed)?;
            typed.into_optimized()?.into_runnable()
        })?;
        let inputs = dtypes(plan.model(), &plan.model().inputs).zip(&reader.description.inputs);
        let inputs =
            inputs.map(|(computed, info)| cast_between("input", info, computed)).collect::<Result<_, _>>()?;
        let outputs = dtypes(plan.model(), &plan.model().outputs).zip(&reader.description.outputs);
        outputs
            .map(|(computed, info)| cast_between("output", info, computed))
            .collect::<Result<Vec<_>, _>>()?;
        let state = guard("preparing a state", ErrorKind::Internal, || plan.spawn())?;
        let idle = state.op_states.iter().all(Option::is_none).then(|| ArrayQueue::new(IDLE_STATES));
        let lone = Lone::of(plan.model()).filter(|_| idle.is_some());
        Ok(Self { plan, inputs, idle, lone })
    }

    /// Whether no dim inside depends on values: where one does, a plan may still fail to run.
    pub(crate) fn is_settled(&self) -> bool {
        let model = self.plan.model();
        let facts = model.nodes.iter().flat_map(|node| &node.outputs).map(|outlet| &outlet.fact);
        facts.into_iter().all(|fact| fact.shape.as_concrete().is_some())
    }

    /// Runs once over zeros with 2 for every open dim: what optimises with symbols may still fail to run with them. What
    /// is too large to be tried at load passes.
    pub(crate) fn rehearse(&self, infos: &[TensorInfo]) -> Result<(), Error> {
        match hold::tried(|| self.run_zeros(infos)) {
            (_, true) => Ok(()),
            (result, false) => result,
        }
    }

    fn run_zeros(&self, infos: &[TensorInfo]) -> Result<(), Error> {
        guard("rehearsing", ErrorKind::Internal, || hold::ask_plan(self.plan.model()))?;
        let zeros = infos.iter().map(|info| {
            let shape: Vec<usize> =
                info.shape.iter().map(|dim| if let Dim::Fixed(n) = dim { *n } else { 2 }).collect();
            let datum = info.dtype.to_tract().unwrap_or(DatumType::F32);
            guard("rehearsing", ErrorKind::Internal, || {
                Ok(tract_onnx::prelude::Tensor::zero_dt(datum, &shape)?.into_tvalue())
            })
        });
        let mut zeros = zeros.collect::<Result<TVec<TValue>, Error>>()?;
        guard("running the graph", ErrorKind::InvalidInput, || {
            cast_values(&mut zeros, &self.inputs)?;
            self.plan.spawn()?.run_plan_with_eval(zeros, |context, own, node: &TypedNode, inputs| {
                hold::ask_node(node, &inputs)?;
                eval(context, own, node, inputs)
            })
        })
        .map(drop)
    }

    /// `inputs` in the graph's order, checked against its signature; the outputs in its order.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        outputs: &[TensorInfo],
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let values = self.run_values(inputs.iter().map(Tensor::to_tract).collect())?;
        let named = values.into_iter().zip(outputs).map(|(value, info)| {
            let wrong =
                || Error::unsupported(format!("output {:?}: the graph computes a {:?}", info.name, value));
            Ok((info.name.clone(), Tensor::from_tract(value.clone()).ok_or_else(wrong)?))
        });
        named.collect()
    }

    /// As [`Plan::run`], with the times of its nodes on `clock`, and without the outputs.
    pub(crate) fn measure(&self, clock: &Clock, inputs: &[Tensor]) -> Result<(), Error> {
        guard("running the graph", ErrorKind::InvalidInput, || {
            let mut values: TVec<TValue> = inputs.iter().map(Tensor::to_tract).collect();
            cast_values(&mut values, &self.inputs)?;
            clock.run(&self.plan, values).map(drop)
        })
    }

    fn run_values(&self, mut values: TVec<TValue>) -> Result<TVec<TValue>, Error> {
        guard("running the graph", ErrorKind::InvalidInput, || {
            cast_values(&mut values, &self.inputs)?;
            if let Some(lone) = &self.lone
                && let Some(outputs) = lone.run(self.plan.model(), &values)?
            {
                return Ok(outputs);
            }
            let mut state = match self.idle.as_ref().and_then(ArrayQueue::pop) {
                Some(state) => state,
                None => self.plan.spawn()?,
            };
            // A failed run leaves values behind in its state, which is dropped here with the error.
            let outputs = state.run(values)?;
            if let Some(idle) = &self.idle {
                // Full: this many wait already, so this one goes.
                let _ = idle.push(state);
            }
            Ok(outputs)
        })
    }
}
