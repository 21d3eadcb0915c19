//! [`Planned`]: operators that tract runs, together if it can plan for them together, else each alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto};
use tract_onnx::pb::{tensor_shape_proto::Dimension, tensor_shape_proto::dimension::Value as DimValue};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DatumType, TypedSimplePlan};

use super::{Scope, Shared, Unit, in_node, reads};
use crate::precision::{dtypes, widen};
use crate::profile::Clock;
use crate::read::guard;
use crate::{Dtype, Error, ErrorKind, Tensor, conv, hold, kernels};

/// Plans kept, each for one set of shapes and of those values that shapes depend on.
const PLANS: usize = 8;
/// Integers that may be planned for by value before everything is.
const SMALL: usize = 256;

pub(super) struct Planned {
    nodes: Vec<NodeProto>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    constants: Vec<(String, Tensor)>,
    plans: Mutex<Vec<Arc<Built>>>,
    /// How much has to be known before there is a plan: an index of [`BINDINGS`]
    binding: AtomicUsize,
    /// Each node alone, once it is clear that there is no plan for all
    singles: OnceLock<Vec<Unit>>,
}

/// Which inputs are constants to a plan, from none to all.
const BINDINGS: [fn(&Tensor) -> bool; 3] =
    [|_| false, |tensor| !tensor.dtype().is_float() && tensor.len() <= SMALL, |_| true];

struct Built {
    key: Vec<(Dtype, Vec<usize>, Option<Tensor>)>,
    plan: Arc<TypedSimplePlan>,
    /// What the sources take, and what the outputs are before the plan computes in wider ones
    sources: Vec<DatumType>,
    declared: Vec<DatumType>,
}

impl Planned {
    /// Of nodes that follow one another, `after` which come others; `None` if there are none.
    pub(super) fn new(
        nodes: Vec<NodeProto>,
        constants: &HashMap<String, Tensor>,
        after: &[NodeProto],
        outputs: &[String],
    ) -> Option<Self> {
        let needed: HashSet<&str> =
            after.iter().flat_map(reads).chain(outputs.iter().map(String::as_str)).collect();
        let made = nodes.iter().flat_map(|node| &node.output);
        let outputs = made.filter(|name| needed.contains(name.as_str())).cloned().collect();
        (!nodes.is_empty()).then(|| Self::of(nodes, outputs, constants))
    }

    pub(super) fn alone(node: &NodeProto, constants: &HashMap<String, Tensor>) -> Self {
        let outputs = node.output.iter().filter(|name| !name.is_empty()).cloned().collect();
        Self::of(vec![node.clone()], outputs, constants)
    }

    fn of(nodes: Vec<NodeProto>, outputs: Vec<String>, constants: &HashMap<String, Tensor>) -> Self {
        let made: HashSet<&String> = nodes.iter().flat_map(|node| &node.output).collect();
        let mut names: Vec<String> = Vec::new();
        for name in nodes.iter().flat_map(reads).map(str::to_owned) {
            if !made.contains(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        let plain = |name: &String| constants.get(name).filter(|tensor| tensor.dtype().to_tract().is_some());
        let (fixed, inputs): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| plain(n).is_some());
        let constants =
            fixed.into_iter().filter_map(|name| plain(&name).cloned().map(|tensor| (name, tensor)));
        Self {
            inputs,
            outputs,
            constants: constants.collect(),
            nodes,
            plans: Mutex::default(),
            binding: AtomicUsize::new(0),
            singles: OnceLock::new(),
        }
    }

    pub(super) fn reads(&self) -> Vec<&str> {
        self.inputs.iter().chain(self.constants.iter().map(|(name, _)| name)).map(String::as_str).collect()
    }

    pub(super) fn writes(&self) -> &[String] {
        &self.outputs
    }

    pub(super) fn run(&self, shared: &Shared, scope: &mut Scope) -> Result<(), Error> {
        if let Some(singles) = self.singles.get() {
            return singles.iter().try_for_each(|unit| unit.run(shared, scope));
        }
        let missing = || Error::model("a value is read before it is made");
        let inputs: Vec<Tensor> = self
            .inputs
            .iter()
            .map(|name| scope.get(name).cloned().ok_or_else(missing))
            .collect::<Result<_, _>>()?;
        match (self.compute(shared, scope.outside.clock, &inputs), self.nodes.as_slice()) {
            (Ok(outputs), _) => {
                scope.put(&self.outputs, outputs);
                Ok(())
            }
            (Err(error), [node]) if kernels::find(node).is_none() => {
                in_node(node, || Err(TractError::msg(chain(&error))))
            }
            (Err(_), nodes) => {
                let constants = self.constants.iter().cloned().collect();
                let single = |node| Unit::single(node, shared, &constants, &HashSet::new());
                let units = nodes.iter().map(single).collect::<Result<_, _>>()?;
                self.singles.get_or_init(|| units).iter().try_for_each(|unit| unit.run(shared, scope))
            }
        }
    }

    /// Whether it is one operator, which only tract has.
    fn is_alone(&self) -> bool {
        matches!(self.nodes.as_slice(), [node] if kernels::find(node).is_none())
    }

    /// Values that tract has no dtype for are computed with in f32, one operator at a time; f16 is rounded after each.
    fn compute(
        &self,
        shared: &Shared,
        clock: Option<&Clock>,
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, Error> {
        let constants = self.constants.iter().map(|(_, tensor)| tensor);
        if self.nodes.len() > 1 && inputs.iter().chain(constants).any(|tensor| tensor.dtype() == Dtype::F16) {
            return Err(Error::unsupported("f16 is rounded after each operator"));
        }
        let Some(dtype) = inputs.iter().map(Tensor::dtype).find(|dtype| dtype.to_tract().is_none()) else {
            return self.plan_and_run(shared, clock, inputs);
        };
        if dtype != Dtype::Bf16 || !self.is_alone() {
            return Err(Error::unsupported(format!("{dtype} is not planned for")));
        }
        let wide = |tensor: &Tensor| match tensor.dtype() {
            Dtype::Bf16 => guard("widening", ErrorKind::Internal, || {
                Tensor::of_f64s(Dtype::F32, tensor.shape(), tensor.f64s()?)
            }),
            _ => Ok(tensor.clone()),
        };
        let inputs: Vec<Tensor> = inputs.iter().map(wide).collect::<Result<_, _>>()?;
        let narrow = |tensor: Tensor| match tensor.dtype() {
            Dtype::F32 => guard("rounding", ErrorKind::Internal, || {
                Tensor::of_f64s(Dtype::Bf16, tensor.shape(), tensor.f64s()?)
            }),
            _ => Ok(tensor),
        };
        self.plan_and_run(shared, clock, &inputs)?.into_iter().map(narrow).collect()
    }

    fn plan_and_run(
        &self,
        shared: &Shared,
        clock: Option<&Clock>,
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, Error> {
        let mut first = None;
        // A plan of many for values that hardly come again is not worth its making.
        let bindings = if self.is_alone() { &BINDINGS[..] } else { &BINDINGS[..2] };
        for (at, &bound) in bindings.iter().enumerate().skip(self.binding.load(Ordering::Relaxed)) {
            let answer = self.built(shared, inputs, bound).and_then(|built| built.run(clock, inputs, bound));
            match answer {
                Ok(outputs) => {
                    self.binding.fetch_max(at, Ordering::Relaxed);
                    return Ok(outputs);
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::unsupported("there is no plan")))
    }

    fn built(
        &self,
        shared: &Shared,
        inputs: &[Tensor],
        bound: fn(&Tensor) -> bool,
    ) -> Result<Arc<Built>, Error> {
        let fits = |built: &Built| {
            built.key.iter().zip(inputs).all(|((dtype, shape, value), tensor)| {
                let same =
                    *dtype == tensor.dtype() && shape == tensor.shape() && value.is_some() == bound(tensor);
                same && value.as_ref().is_none_or(|value| value.same(tensor))
            })
        };
        let plans = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = plans().iter().find(|built| fits(built)) {
            return Ok(built.clone());
        }
        let built =
            Arc::new(guard("planning", ErrorKind::Unsupported, || self.build(shared, inputs, bound))?);
        let mut plans = plans();
        if plans.len() >= PLANS {
            plans.remove(0);
        }
        plans.push(built.clone());
        Ok(built)
    }

    fn build(&self, shared: &Shared, inputs: &[Tensor], bound: fn(&Tensor) -> bool) -> TractResult<Built> {
        // What is bound is worked out while the plan is made.
        for node in &self.nodes {
            let known = inputs.iter().filter(|tensor| bound(tensor)).map(Tensor::as_tract);
            hold::ask(node, known.chain(self.constants.iter().map(|(_, tensor)| tensor.as_tract())))?;
        }
        let mut graph =
            GraphProto { node: self.nodes.clone(), name: "step".to_owned(), ..GraphProto::default() };
        for (name, tensor) in &self.constants {
            graph.initializer.push(tensor.to_proto(name)?);
        }
        for (name, tensor) in self.inputs.iter().zip(inputs) {
            if bound(tensor) {
                graph.initializer.push(tensor.to_proto(name)?);
            } else {
                graph.input.push(typed(name, tensor));
            }
        }
        let output = |name: &String| ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() };
        graph.output = self.outputs.iter().map(output).collect();
        let proto = ModelProto {
            ir_version: shared.ir_version,
            opset_import: shared.opsets.clone(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        let onnx = shared.onnx.clone().with_ignore_value_info(true);
        let mut model = onnx.model_for_proto_model(&proto)?.into_typed()?;
        hold::check(&model)?;
        let declared = dtypes(&model, &model.outputs).collect();
        widen(&mut model)?;
        conv::block(&mut model)?;
        hold::take_repeated(&model)?;
        let plan = model.into_optimized()?.into_runnable()?;
        let sources = dtypes(plan.model(), &plan.model().inputs).collect();
        let key = inputs.iter().map(|t| (t.dtype(), t.shape().to_vec(), bound(t).then(|| t.clone())));
        Ok(Built { key: key.collect(), sources, declared, plan })
    }
}

impl Built {
    fn run(
        &self,
        clock: Option<&Clock>,
        inputs: &[Tensor],
        bound: fn(&Tensor) -> bool,
    ) -> Result<Vec<Tensor>, Error> {
        let outputs = guard("running", ErrorKind::InvalidInput, || {
            hold::ask_plan(self.plan.model())?;
            let free = inputs.iter().filter(|tensor| !bound(tensor)).map(Tensor::to_tract);
            let values = free.zip(&self.sources).map(|(value, to)| cast(value, *to));
            let values = values.collect::<TractResult<TVec<TValue>>>()?;
            let outputs = match clock {
                Some(clock) => clock.run(&self.plan, values)?,
                None => self.plan.run(values)?,
            };
            outputs
                .into_iter()
                .zip(&self.declared)
                .map(|(value, to)| cast(value, *to))
                .collect::<TractResult<Vec<_>>>()
        })?;
        let tensor = |value: TValue| {
            Tensor::from_tract(value).ok_or_else(|| Error::unsupported("what is computed is no tensor"))
        };
        outputs.into_iter().map(tensor).collect()
    }
}

fn cast(value: TValue, to: DatumType) -> TractResult<TValue> {
    let to = if to == DatumType::TDim { DatumType::I64 } else { to };
    Ok(if value.datum_type() == to { value } else { value.cast_to_dt(to)?.into_owned().into_tvalue() })
}

fn typed(name: &str, tensor: &Tensor) -> ValueInfoProto {
    let dim = |&dim: &usize| Dimension {
        value: Some(DimValue::DimValue(i64::try_from(dim).unwrap_or(i64::MAX))),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: tensor.shape().iter().map(dim).collect() };
    let value = TypeValue::TensorType(TensorType { elem_type: tensor.dtype().to_onnx(), shape: Some(shape) });
    let r#type = Some(TypeProto { value: Some(value), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

fn chain(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
