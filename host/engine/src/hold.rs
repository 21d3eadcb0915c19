//! Bounds on what is computed while a model is loaded: tract works out what has the same value in every call, and would
//! do so for a value of terabytes that a few bytes of a file ask for.
//!
//! [`register`] puts a guard around every operator: its value is worked out at load only if that is known to be small,
//! and a graph in which a constant is known to be huge is refused. [`within`] says how much all of them may take, and
//! what a rehearsal ([`Plan`](crate::plan::Plan), [`Steps`](crate::steps::Steps)) may.

mod counts;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::CumSum;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::Deconv;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_hir::internal::*;

use counts::Counts;

/// Bytes of a value up to which it is worked out at load, whatever the size of what it is made of.
const FEW_BYTES: usize = 4 << 20;

/// Bytes for each place along an axis that is resized: what it is made of, and how much of each.
const RESIZED_BYTES: usize = 64;

/// Bytes of a node's outputs beyond which a graph is refused, where every open dim is 2: a terabyte.
const MOST_BYTES: u64 = 1 << 40;

thread_local! {
    /// Bytes of values that may still be worked out at load in this thread; no bound outside of [`within`].
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Whether something was refused because it would have taken more.
    static OVER: Cell<bool> = const { Cell::new(false) };
}

/// Does `load`, in which all values together may have so many bytes.
pub(crate) fn within<T>(bytes: usize, load: impl FnOnce() -> T) -> T {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _restore = Restore(LEFT.replace(bytes));
    load()
}

/// Does `load`, whose values are let go of or count no more when it ends.
pub(crate) fn apart<T>(load: impl FnOnce() -> T) -> T {
    within(LEFT.get(), load)
}

/// Tries `run`, and says whether it failed for nothing but its size.
pub(crate) fn tried<T, E>(run: impl FnOnce() -> Result<T, E>) -> (Result<T, E>, bool) {
    OVER.set(false);
    let result = run();
    let over = result.is_err() && OVER.get();
    (result, over)
}

/// # Errors
///
/// If so many bytes are more than are left.
fn has_room(bytes: usize) -> TractResult<()> {
    let left = LEFT.get();
    if bytes > left {
        OVER.set(true);
        bail!("expected at most {left} bytes of values at load, got {bytes}");
    }
    Ok(())
}

fn take(bytes: usize) -> TractResult<()> {
    has_room(bytes)?;
    if LEFT.get() != usize::MAX {
        LEFT.set(LEFT.get() - bytes);
    }
    Ok(())
}

/// Whether a kernel may be run on `inputs` now. Always outside of [`within`].
///
/// # Errors
///
/// If what it makes of them may be too large.
pub(crate) fn ask<'t>(node: &NodeProto, inputs: impl Iterator<Item = &'t Tensor>) -> TractResult<()> {
    if LEFT.get() == usize::MAX {
        return Ok(());
    }
    // Strides, pads, shapes; what is usual does not count.
    let numbers = node.attribute.iter().flat_map(|attribute| attribute.ints.iter().chain([&attribute.i]));
    let times =
        numbers.filter(|number| number.unsigned_abs() > 16).map(|number| number.unsigned_abs() as f64);
    has_room((most(inputs) as f64 * times.product::<f64>()) as usize)
}

/// Whether a plan may be run now, by the shapes that it has where every open dim is 2.
///
/// # Errors
///
/// If its values take too much together.
pub(crate) fn ask_plan(model: &TypedModel) -> TractResult<()> {
    if LEFT.get() == usize::MAX {
        return Ok(());
    }
    let outlets = model.nodes.iter().flat_map(|node| &node.outputs);
    let open = outlets.flat_map(|outlet| outlet.fact.shape.iter()).flat_map(|dim| dim.symbols());
    let symbols = open.fold(SymbolValues::default(), |symbols, symbol| symbols.with(&symbol, 2));
    let made = model.nodes.iter().filter(|node| !node.op_is::<Const>());
    has_room(made.map(|node| output_bytes(node, &symbols)).fold(0, usize::saturating_add))
}

/// Whether a node of a plan may be run now on `inputs`.
///
/// # Errors
///
/// If its shapes depend on values and what it makes of them may be too large.
pub(crate) fn ask_node(node: &TypedNode, inputs: &[TValue]) -> TractResult<()> {
    let settled = node.outputs.iter().all(|outlet| outlet.fact.shape.as_concrete().is_some());
    if LEFT.get() == usize::MAX || settled {
        return Ok(());
    }
    has_room(most(inputs.iter().map(|value| &**value)))
}

type Builder = fn(&ParsingContext, &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// The operators' own builders. A builder is a plain function, and has no place of its own for them.
pub(crate) struct Builders(HashMap<String, Builder>);

/// They are there for as long as somebody builds operators, so that a prepared graph keeps none of them.
static BUILDERS: Mutex<Weak<Builders>> = Mutex::new(Weak::new());

/// Puts the guard around each of `operators`, which are the same in every call. The guards work while what is given lives.
pub(crate) fn register(operators: &mut OnnxOpRegister) -> Arc<Builders> {
    let mut shared = BUILDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let builders = shared.upgrade().unwrap_or_else(|| {
        let own = operators.0.iter().map(|(name, builder)| (name.clone(), *builder as Builder));
        let own = Arc::new(Builders(own.collect()));
        *shared = Arc::downgrade(&own);
        own
    });
    operators.0.values_mut().for_each(|builder| *builder = build);
    builders
}

fn build(ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let builders = BUILDERS.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    let builder = builders.as_ref().and_then(|builders| builders.0.get(&node.op_type));
    let builder = builder.with_context(|| format!("operator {} is not known", node.op_type))?;
    let counts = Counts::of(node)?;
    let (op, closures) = builder(ctx, node)?;
    Ok((Box::new(Held { op, counted: false, counts }), closures))
}

/// An operator of tract or ours, whose value is not worked out where that takes too much.
#[derive(Clone, Debug)]
struct Held {
    op: Box<dyn InferenceOp>,
    /// Whether its constant value was taken off [`LEFT`]
    counted: bool,
    counts: Counts,
}

impl PartialEq for Held {
    fn eq(&self, _other: &Self) -> bool {
        false
    }
}

impl Eq for Held {}

impl Op for Held {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    fn validation(&self) -> Validation {
        self.op.validation()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.op.info()
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        self.op.as_typed()
    }
}

impl EvalOp for Held {
    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.op.eval(ctx, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.op.eval_out_of_plan(inputs)
    }
}

impl InferenceOp for Held {
    fn infer(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.counts.check(&inputs, &outputs)?;
        let inferred = self.op.infer_facts(inputs.clone(), outputs.clone(), observed.clone());
        let inferred = inferred.context("Infering facts")?;
        if inferred.0.is_empty() {
            return Ok(inferred);
        }
        let Some(values) = inferred.0.iter().map(|fact| fact.value.concretize()).collect::<Option<TVec<_>>>()
        else {
            return Ok(inferred);
        };
        let bytes = constant(&values, &inferred.1);
        if bytes > FEW_BYTES.max(sum(&values)) {
            return Ok(inferred);
        }
        if !std::mem::replace(&mut self.counted, true) {
            take(bytes)?;
        }
        self.op.infer(inputs, outputs, observed)
    }

    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.counts.check(&inputs, &outputs)?;
        self.op.infer_facts(inputs, outputs, observed)
    }

    fn observe_outlets(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Vec<OutletId>> {
        self.op.observe_outlets(model, node)
    }

    fn incorporate(
        &self,
        model: &InferenceModel,
        node: &InferenceNode,
    ) -> TractResult<Option<InferenceModelPatch>> {
        self.op.incorporate(model, node)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.op.nboutputs()
    }

    // What asks which operator a node has means the one inside.
    fn as_op(&self) -> &dyn Op {
        self.op.as_op()
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self.op.as_op_mut()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs = node.inputs.iter().map(|outlet| mapping.get(outlet));
        let values = inputs.map(|outlet| target.outlet_fact(*outlet?).ok()?.konst.clone());
        if let Some(values) = values.collect::<Option<TVec<_>>>() {
            let facts: TVec<InferenceFact> = node.outputs.iter().map(|outlet| outlet.fact.clone()).collect();
            refuse(&node.name, constant(&values, &facts), sum(&values))?;
        }
        self.op.to_typed(source, node, target, mapping)
    }
}

fn refuse(name: &str, bytes: usize, of: usize) -> TractResult<()> {
    if LEFT.get() == usize::MAX {
        return Ok(());
    }
    let most = of.saturating_mul(2).saturating_add(4 * FEW_BYTES);
    ensure!(bytes <= most, "node {name:?}: expected a constant of at most {most} bytes, got {bytes}");
    Ok(())
}

/// Bytes of an operator's value where those of its inputs are known.
fn constant(inputs: &[Arc<Tensor>], outputs: &[InferenceFact]) -> usize {
    let size = |fact: &InferenceFact| {
        let shape = fact.shape.as_concrete_finite().ok().flatten()?;
        let element = fact.datum_type.concretize().map_or(8, |datum| datum.size_of());
        shape.iter().try_fold(element, |size, dim| size.checked_mul(*dim)).or(Some(usize::MAX))
    };
    let known: Option<Vec<usize>> = outputs.iter().map(size).collect();
    let guessed = || most(inputs.iter().map(|tensor| &**tensor));
    match known {
        // tract reads sizes as 32 bits where it infers, and as 64 where it computes.
        Some(_) if inputs.iter().any(|tensor| is_long(tensor)) => guessed(),
        Some(sizes) => sizes.into_iter().fold(0, usize::saturating_add),
        None => guessed(),
    }
}

/// Whether it may be a size beyond 32 bits.
fn is_long(tensor: &Tensor) -> bool {
    tensor.datum_type().is_integer() && tensor.volume() <= 16 && product(tensor) > f64::from(i32::MAX)
}

fn sum(values: &[Arc<Tensor>]) -> usize {
    values.iter().map(|tensor| bytes(tensor)).fold(0, usize::saturating_add)
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.volume().saturating_mul(tensor.datum_type().size_of())
}

/// Bytes of what an operator may make of its inputs, where its shapes depend on values: sixteen for each element of the
/// largest, or of all broadcast together, as often as the small ones say, which may be sizes, repeats or scales.
fn most<'t>(inputs: impl Iterator<Item = &'t Tensor>) -> usize {
    let (mut largest, mut times, mut wide) = (4usize, 1f64, TVec::<usize>::new());
    for tensor in inputs {
        largest = largest.max(tensor.volume());
        // Axes count from the last one, as they do when shapes are broadcast.
        for (at, dim) in tensor.shape().iter().rev().enumerate() {
            match wide.get_mut(at) {
                Some(widest) => *widest = (*dim).max(*widest),
                None => wide.push(*dim),
            }
        }
        if tensor.volume() <= 16 {
            times *= product(tensor);
        }
    }
    let together =
        wide.iter().try_fold(1usize, |size, dim| size.checked_mul((*dim).max(1))).unwrap_or(usize::MAX);
    // The cast saturates; of NaN it makes 0, and sizes of NaN are none.
    (largest.max(together) as f64 * 16.0 * times) as usize
}

fn product(tensor: &Tensor) -> f64 {
    let float = tensor.datum_type().is_float();
    // Of weights that lie packed for a kernel, tract can't even be asked.
    if tensor.try_as_plain_ram().is_err() {
        return 1.0;
    }
    let Ok(numbers) = tensor.cast_to::<f64>() else { return 1.0 };
    let Ok(numbers) = numbers.try_as_plain_ram().and_then(|plain| plain.as_slice::<f64>()) else {
        return 1.0;
    };
    let factor = |number: &f64| match number.abs() {
        // A step divides.
        small if float && small < 1.0 && small > 0.0 => 1.0 / small,
        // Of a slice, its end, wherever that is.
        end if end >= 9e15 => 1.0,
        number => number.max(1.0),
    };
    numbers.iter().map(factor).product()
}

/// Refuses a graph that asks for a huge constant, or for a value that no machine holds: tract plans a kernel for it
/// point by point.
///
/// # Errors
///
/// Names the node.
pub(crate) fn check(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes.iter().filter(|node| !node.op_is::<Const>()) {
        let made = output_bytes(node, &SymbolValues::default()) as u64;
        ensure!(made <= MOST_BYTES, "node {:?}: expected a value of at most {MOST_BYTES} bytes", node.name);
        let facts = model.node_input_facts(node.id)?;
        let constants = facts.iter().map(|fact| fact.konst.as_ref()).collect::<Option<TVec<_>>>();
        let Some(inputs) = constants.filter(|inputs| !inputs.is_empty()) else { continue };
        let of = inputs.iter().map(|tensor| bytes(tensor)).fold(0, usize::saturating_add);
        refuse(&node.name, output_bytes(node, &SymbolValues::default()), of)?;
    }
    Ok(())
}

/// Takes what tract makes while it optimises what is left to it: what it repeats for every element of an output, and
/// tables for resizing.
///
/// # Errors
///
/// Names the node for which there is no room.
pub(crate) fn take_repeated(model: &TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        let Some(dims) = node.outputs.first().and_then(|outlet| outlet.fact.shape.as_concrete()) else {
            continue;
        };
        let bytes = if node.op.name() == "Resize" {
            dims.iter().fold(0, |sum: usize, dim| sum.saturating_add(*dim)).saturating_mul(RESIZED_BYTES)
        } else if is_repeated(node, &model.node_input_facts(node.id)?) {
            output_bytes(node, &SymbolValues::default())
        } else {
            0
        };
        take(bytes).with_context(|| format!("node {:?}", node.name))?;
    }
    Ok(())
}

/// Whether a constant as large as a node's output is made: the bias of a transposed convolution, the mask of a dropout, what
/// a factor of zero leaves.
fn is_repeated(node: &TypedNode, inputs: &[&TypedFact]) -> bool {
    let uniform = |fact: &&TypedFact| fact.uniform.as_ref()?.cast_to_scalar::<f64>().ok();
    if let Some(absorbing) = node.op_as::<TypedBinOp>().and_then(|op| op.0.absorbing_element()) {
        return inputs.iter().filter_map(uniform).any(|value| value == absorbing as f64);
    }
    let ends = node.op_as::<CumSum>().is_some_and(|op| op.exclusive);
    let chosen = node.op_is::<Iff>() && inputs.first().and_then(uniform).is_some();
    ends || chosen || node.op_is::<Deconv>() || node.op.name() == "Dropout"
}

fn output_bytes(node: &TypedNode, symbols: &SymbolValues) -> usize {
    let size = |outlet: &Outlet<TypedFact>| {
        let element = outlet.fact.datum_type.size_of();
        outlet.fact.shape.iter().try_fold(element, |size, dim| {
            let dim = dim.eval(symbols).to_usize().unwrap_or(2);
            size.checked_mul(dim)
        })
    };
    node.outputs.iter().map(|outlet| size(outlet).unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}
