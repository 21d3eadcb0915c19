//! Convolutional parts of a graph, computed by kernels of this crate instead of tract's.
//!
//! [`block`] finds the nodes that the kernels can compute (`parts`) and gathers neighbours into regions. Each region
//! becomes one node of tract's graph, which runs a list of steps (`steps`, made by `lower`) over tensors whose channels
//! lie in blocks of sixteen, so that a processor's vector is sixteen channels of one pixel: `dense`, `winograd` and `sliding`
//! are the convolutions and pools, `moves` what only moves pixels, and `map` the elementwise operations, which `fuse`
//! attaches to the step before them. Only at a region's borders tensors change their layout.
//!
//! On processors without AVX2 or AVX-512 the graph is left as it is.

mod dense;
mod fuse;
mod join;
mod lanes;
mod lower;
mod map;
mod moves;
mod parts;
mod shape;
mod sliding;
mod steps;
mod winograd;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::konst::Const;

use lanes::Isa;
use lower::{Lowering, Region};
use parts::{Part, picture};
use steps::Steps;

/// Bytes of memory for a graph's weights beyond their own, so that no file can ask for sixteen times its size.
const ROUNDING_BYTES: usize = 16 << 20;

/// Bytes of a graph's weights that are kept transformed, four times their own size, for the same reason.
const TRANSFORMED_BYTES: usize = 32 << 20;

/// Replaces what the kernels compute faster. For a graph that tract has typed, but not yet optimised: the layouts that
/// tract chooses are its own.
pub(crate) fn block(model: &mut TypedModel) -> TractResult<()> {
    match Isa::detect() {
        Some(isa) => block_for(isa, model),
        None => Ok(()),
    }
}

fn block_for(isa: Isa, model: &mut TypedModel) -> TractResult<()> {
    if !model.nodes.iter().any(|n| n.op_is::<tract_onnx::tract_core::ops::cnn::Conv>()) {
        return Ok(());
    }
    model.prop_consts()?;
    settle(model)?;
    let order = model.eval_order()?;
    let mut parts: HashMap<usize, Part> = HashMap::new();
    let mut rounding = ROUNDING_BYTES;
    for id in &order {
        if let Some(part) = Part::read(model, model.node(*id))
            && part.rounding_bytes() <= rounding
        {
            rounding -= part.rounding_bytes();
            parts.insert(*id, part);
        }
    }
    // Zeros around a picture are only known to convolutions.
    let pads: Vec<usize> =
        parts.iter().filter(|(_, p)| matches!(p, Part::Pad { .. })).map(|(id, _)| *id).collect();
    for id in pads {
        let read_only = model.node(id).outputs[0].successors.iter();
        let read_only = read_only.clone().len() > 0
            && read_only.clone().all(|s| matches!(parts.get(&s.node), Some(Part::Conv { .. })));
        if !read_only || model.output_outlets()?.contains(&id.into()) {
            parts.remove(&id);
        }
    }
    let mut transformed = transformed_bytes(model);
    for region in regions(model, &order, &parts)? {
        let lowering = Lowering::new(isa, model, &parts, &region, &mut transformed);
        let Some(steps) = lowering.steps() else { continue };
        let name = model.node(region.outputs[0].node).name.clone();
        let mut patch = TypedModelPatch::default();
        let taps = patch.taps(model, &region.inputs)?;
        let made = patch.wire_node(format!("{name}.blocked"), Blocked { steps: Arc::new(steps) }, &taps)?;
        for (old, new) in region.outputs.iter().zip(made) {
            patch.shunt_outside(model, *old, new)?;
        }
        patch.apply(model)?;
    }
    Ok(())
}

/// Bytes that transformed weights may take. Where a plan is kept in a file, as WebAssembly's memory is, it grows by three
/// quarters of them, and is to grow by no more than a third of the weights.
fn transformed_bytes(model: &TypedModel) -> usize {
    if !cfg!(target_family = "wasm") {
        return TRANSFORMED_BYTES;
    }
    let weights = model.nodes.iter().filter_map(|node| node.op_as::<Const>());
    let weights: usize = weights.map(|op| op.val().len() * op.val().datum_type().size_of()).sum();
    TRANSFORMED_BYTES.min((2 << 20) + weights * 2 / 5)
}

/// Lets tract simplify what is read in its simple form only, until it no more can.
fn settle(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes.len() {
        loop {
            let node = model.node(id);
            let unchanged = node.op_is::<Cast>()
                && model.outlet_fact(node.inputs[0])?.datum_type == node.outputs[0].fact.datum_type;
            let patch = if unchanged {
                TypedModelPatch::shunt_one_op(model, node)?
            } else if node.op.name() == "Resize" {
                node.op.declutter(model, node)?
            } else {
                None
            };
            let Some(patch) = patch else { break };
            patch.apply(model)?;
            if unchanged {
                break;
            }
        }
    }
    Ok(())
}

/// Neighbouring nodes that are computed here, with at least one convolution among them. A region never reads what
/// depends on itself: a node's level counts the changes between nodes that are and that are not computed here, on the
/// way to it, and a region is of one level.
fn regions(model: &TypedModel, order: &[usize], parts: &HashMap<usize, Part>) -> TractResult<Vec<Region>> {
    let known = |outlet: &OutletId| model.outlet_fact(*outlet).is_ok_and(|f| f.konst.is_some());
    let mut level: HashMap<usize, usize> = HashMap::new();
    let mut member: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for id in order {
        let inputs: Vec<usize> =
            model.node(*id).inputs.iter().filter(|i| !known(i)).map(|i| i.node).collect();
        let here = parts.contains_key(id);
        let of = |input: &usize| {
            level.get(input).copied().unwrap_or(0) + usize::from(parts.contains_key(input) != here)
        };
        let mine = inputs.iter().map(of).max().unwrap_or(0);
        level.insert(*id, mine);
        if !here {
            continue;
        }
        let mut joined: Vec<usize> = inputs
            .iter()
            .filter(|i| parts.contains_key(i) && level.get(i) == Some(&mine))
            .filter_map(|i| member.get(i).copied())
            .collect();
        joined.sort_unstable();
        joined.dedup();
        let Some((first, others)) = joined.split_first() else {
            member.insert(*id, groups.len());
            groups.push(vec![*id]);
            continue;
        };
        for other in others {
            for moved in std::mem::take(&mut groups[*other]) {
                member.insert(moved, *first);
                groups[*first].push(moved);
            }
        }
        member.insert(*id, *first);
        groups[*first].push(*id);
    }
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let ends = model.output_outlets()?;
    let mut found = Vec::new();
    for mut nodes in groups.into_iter().filter(|nodes| nodes.iter().any(|id| parts[id].heavy())) {
        nodes.sort_by_key(|id| place[id]);
        let group = member[&nodes[0]];
        let inside = |id: usize| member.get(&id) == Some(&group);
        let mut inputs: Vec<OutletId> = Vec::new();
        let mut outputs: Vec<OutletId> = Vec::new();
        for id in &nodes {
            let node = model.node(*id);
            for input in node.inputs.iter().filter(|i| !known(i) && !inside(i.node)) {
                if !inputs.contains(input) {
                    inputs.push(*input);
                }
            }
            let outlet = OutletId::from(*id);
            if ends.contains(&outlet) || node.outputs[0].successors.iter().any(|s| !inside(s.node)) {
                outputs.push(outlet);
            }
        }
        let pictures = inputs.iter().all(|i| model.outlet_fact(*i).is_ok_and(|f| picture(f).is_some()));
        if pictures && !outputs.is_empty() {
            found.push(Region { nodes, inputs, outputs });
        }
    }
    Ok(found)
}

/// A region as one node.
#[derive(Clone)]
pub(crate) struct Blocked {
    steps: Arc<Steps>,
}

impl std::fmt::Debug for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.describe()).finish()
    }
}

impl PartialEq for Blocked {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.steps, &other.steps)
    }
}

impl Eq for Blocked {}

impl Op for Blocked {
    fn name(&self) -> StaticName {
        "Blocked".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.steps.describe())
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Blocked {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.compute(&inputs, |_| ())
    }
}

/// The region that an operator computes.
pub(crate) fn region(op: &dyn TypedOp) -> Option<&Blocked> {
    op.downcast_ref()
}

impl Blocked {
    /// One line for each step: what it is, and the shape of what it makes.
    pub(crate) fn describe(&self) -> Vec<String> {
        self.steps.describe()
    }

    /// Calls `watch` behind each step, with its number.
    pub(crate) fn compute(&self, inputs: &[TValue], watch: impl FnMut(usize)) -> TractResult<TVec<TValue>> {
        let given: Vec<&[f32]> =
            inputs.iter().map(|i| i.try_as_plain_ram()?.as_slice()).collect::<TractResult<_>>()?;
        let mut made: TVec<Tensor> = self
            .steps
            .outputs()
            .map(|s| Tensor::zero::<f32>(&[s.n, s.c, s.h, s.w]))
            .collect::<TractResult<_>>()?;
        let mut views: Vec<_> =
            made.iter_mut().map(Tensor::try_as_plain_ram_mut).collect::<TractResult<_>>()?;
        let mut outputs: Vec<&mut [f32]> =
            views.iter_mut().map(|v| v.as_slice_mut()).collect::<TractResult<_>>()?;
        self.steps.run(&given, &mut outputs, watch);
        Ok(made.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Blocked {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.steps.outputs().map(|s| f32::fact([s.n, s.c, s.h, s.w])).collect())
    }

    as_op!();
}
