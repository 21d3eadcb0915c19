//! From a region's nodes to [`Steps`]: one step for each node that moves or mixes pixels, the elementwise ones behind it
//! in its program, those left over in steps of their own.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::prelude::*;

use super::dense::{Dense, Place, Weights};
use super::fuse::{Chain, Value};
use super::join::join;
use super::lanes::{BLOCK, Isa};
use super::map::{Code, Operand, Program};
use super::parts::{Kernel, Part, picture};
use super::shape::{Axis, Layout, Shape, Window};
use super::sliding::{Kind as SlidingKind, Sliding};
use super::steps::{Kind, Step, Steps, ValueId};
use super::winograd::Winograd;

/// The nodes of a region in the order they are computed, and what goes in and out.
pub(super) struct Region {
    pub nodes: Vec<usize>,
    pub inputs: Vec<OutletId>,
    pub outputs: Vec<OutletId>,
}

pub(super) struct Lowering<'a> {
    isa: Isa,
    model: &'a TypedModel,
    parts: &'a HashMap<usize, Part>,
    region: &'a Region,
    /// Where in the region's order a node stands.
    order: HashMap<usize, usize>,
    /// Nodes whose result a step already makes.
    done: HashSet<usize>,
    values: Vec<Shape>,
    steps: Vec<Step>,
    of: HashMap<OutletId, ValueId>,
    /// Bytes that transformed weights may take.
    transformed: &'a mut usize,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        isa: Isa,
        model: &'a TypedModel,
        parts: &'a HashMap<usize, Part>,
        region: &'a Region,
        transformed: &'a mut usize,
    ) -> Self {
        let order = region.nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        Self {
            isa,
            model,
            parts,
            region,
            order,
            done: HashSet::new(),
            values: Vec::new(),
            steps: Vec::new(),
            of: HashMap::new(),
            transformed,
        }
    }

    /// `None` if the region's shapes are not what they were taken for.
    pub(super) fn steps(mut self) -> Option<Steps> {
        for (at, outlet) in self.region.inputs.iter().enumerate() {
            let mut shape = picture(self.model.outlet_fact(*outlet).ok()?)?;
            if shape.c < BLOCK && self.read_by_dense_only(*outlet) {
                shape.layout = Layout::Pixels;
            }
            let output = self.value(*outlet, shape);
            self.steps.push(Step {
                kind: Kind::Enter(at),
                inputs: vec![],
                output,
                program: Program::default(),
            });
        }
        for id in self.region.nodes.clone() {
            if !self.done.contains(&id) {
                self.node(id)?;
            }
        }
        let outputs = self.region.outputs.iter().map(|o| self.of.get(o).copied());
        let outputs: Vec<ValueId> = outputs.collect::<Option<_>>()?;
        join(&self.values, &mut self.steps, &outputs);
        Some(Steps::new(self.isa, self.values, self.steps, outputs))
    }

    fn value(&mut self, outlet: OutletId, shape: Shape) -> ValueId {
        self.values.push(shape);
        self.of.insert(outlet, self.values.len() - 1);
        self.values.len() - 1
    }

    fn read_by_dense_only(&self, outlet: OutletId) -> bool {
        self.readers(outlet).iter().all(|id| match self.parts.get(id) {
            Some(Part::Conv { kernel, .. }) => kernel.groups == 1,
            Some(Part::Pad { .. }) => self.read_by_dense_only((*id).into()),
            _ => false,
        })
    }

    /// The region's nodes that read it.
    fn readers(&self, outlet: OutletId) -> Vec<usize> {
        let successors = &self.model.node(outlet.node).outputs[outlet.slot].successors;
        let inside = successors.iter().map(|s| s.node).filter(|id| self.order.contains_key(id));
        inside.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn node(&mut self, id: usize) -> Option<()> {
        let node = self.model.node(id);
        let shape = picture(&node.outputs[0].fact)?;
        let part = self.parts.get(&id)?;
        if let Part::Unary(_) | Part::Binary(_) = part {
            return self.alone(id, shape);
        }
        if let Part::Pad { .. } = part {
            return Some(());
        }
        let mut source = node.inputs[0];
        let (mut top, mut left) = (0, 0);
        if let Some(Part::Pad { top: t, left: l }) = self.parts.get(&source.node)
            && self.order.contains_key(&source.node)
        {
            (top, left) = (*t as isize, *l as isize);
            source = self.model.node(source.node).inputs[0];
        }
        let input = *self.of.get(&source)?;
        let from = self.values[input];
        let moved = |window: &Window| {
            let axis = |axis: Axis, pad: isize, input| Axis { pad: axis.pad + pad, input, ..axis };
            Window { y: axis(window.y, top, from.h), x: axis(window.x, left, from.w) }
        };
        let (mut chain, end) = self.chain(id, &shape, matches!(part, Part::Concat | Part::Slice(_)));
        let isa = self.isa;
        let sliding = |kind, window: &Window| {
            Kind::Sliding(Sliding { isa, kind, input: from, output: shape, window: *window })
        };
        let (kind, mut inputs) = match part {
            Part::Conv { kernel, window } => {
                let mut kernel = kernel.clone();
                chain.0.fold_into(&mut kernel);
                let window = moved(window);
                let kind = if kernel.groups > 1 && kernel.groups == from.c {
                    sliding(SlidingKind::depthwise(&weights(&kernel)?), &window)
                } else if let Some(bytes) = Winograd::pays(&from, &shape, &window, kernel.groups)
                    && bytes <= *self.transformed
                {
                    *self.transformed -= bytes;
                    Kind::Winograd(Box::new(Winograd::new(isa, from, shape, &window, &weights(&kernel)?)))
                } else {
                    Kind::Dense(Box::new(Dense::new(
                        isa,
                        from,
                        shape,
                        window,
                        Place::WHOLE,
                        &weights(&kernel)?,
                    )))
                };
                (kind, vec![input])
            }
            Part::Transposed { kernel, window } => {
                let mut kernel = kernel.clone();
                chain.0.fold_into(&mut kernel);
                (Kind::Transposed(phases(isa, from, shape, window, &weights(&kernel)?)), vec![input])
            }
            Part::Greatest(window) => (sliding(SlidingKind::Greatest, window), vec![input]),
            Part::Mean { window, whole } => {
                (sliding(SlidingKind::Mean { whole: *whole }, window), vec![input])
            }
            Part::Sum(window) => (sliding(SlidingKind::Sum, window), vec![input]),
            Part::Resize { rows, columns } => {
                let (rows, columns) = (rows.clone(), columns.clone());
                (Kind::Resize { rows, columns }, vec![input])
            }
            Part::Slice(start) => (Kind::Slice(*start), vec![input]),
            Part::Concat => {
                let all = node.inputs.iter().map(|i| self.of.get(i).copied());
                (Kind::Concat, all.collect::<Option<Vec<_>>>()?)
            }
            Part::Unary(_) | Part::Binary(_) | Part::Pad { .. } => return None,
        };
        inputs.extend(&chain.1);
        let program = chain.0.program()?;
        let output = self.value(end, shape);
        self.steps.push(Step { kind, inputs, output, program });
        Some(())
    }

    /// An elementwise node that nothing before it could take up, and those behind it.
    fn alone(&mut self, id: usize, shape: Shape) -> Option<()> {
        let node = self.model.node(id);
        let whole = |outlet: &&OutletId| {
            self.model.outlet_fact(**outlet).is_ok_and(|f| f.konst.is_none() && picture(f) == Some(shape))
        };
        let start = *node.inputs.iter().find(whole)?;
        let input = *self.of.get(&start)?;
        let mut chain = (Chain::new(start), vec![]);
        let made = self.extend(&mut chain, id, &shape, 1)?;
        chain.0.values.remove(&start);
        chain.0.values.insert(id.into(), made);
        let end = self.grow(&mut chain, id, &shape, 1);
        let (chain, tensors) = chain;
        let inputs = std::iter::once(input).chain(tensors).collect();
        let program = chain.program()?;
        let output = self.value(end, shape);
        self.steps.push(Step { kind: Kind::Map, inputs, output, program });
        self.done.insert(id);
        Some(())
    }

    /// The elementwise nodes behind `id`, and the outlet that they end with.
    #[allow(clippy::type_complexity, reason = "named where it is taken apart")]
    fn chain(&mut self, id: usize, shape: &Shape, bare: bool) -> ((Chain, Vec<ValueId>), OutletId) {
        let mut chain = (Chain::new(id.into()), vec![]);
        // Where channels are only copied, or not even that, operations are done where they are read: its readers' operations are done where they are read.
        let end = if bare { id.into() } else { self.grow(&mut chain, id, shape, 1) };
        (chain, end)
    }

    /// Takes up nodes as long as they fit, and then lets go of those behind the last point where one value alone is
    /// read by others. `before`: the step's inputs that come before the chain's.
    fn grow(
        &mut self,
        chain: &mut (Chain, Vec<ValueId>),
        id: usize,
        shape: &Shape,
        before: usize,
    ) -> OutletId {
        let mut end = OutletId::from(id);
        let mut kept = (chain.0.mark(), chain.1.len(), end);
        let mut taken: Vec<usize> = Vec::new();
        let mut kept_nodes = 0;
        let mut members: HashSet<usize> = HashSet::from([id]);
        let place = |id: &usize| self.order[id];
        let mut waiting: BTreeSet<usize> = self.readers(end).iter().map(place).collect();
        while let Some(at) = waiting.pop_first() {
            let next = self.region.nodes[at];
            if self.done.contains(&next) || !chain.0.has_room() {
                continue;
            }
            let mark = (chain.0.mark(), chain.1.len());
            let Some(made) = self.extend(chain, next, shape, before) else {
                chain.0.cut(mark.0);
                chain.1.truncate(mark.1);
                continue;
            };
            end = next.into();
            chain.0.values.insert(end, made);
            members.insert(next);
            taken.push(next);
            waiting.extend(self.readers(end).iter().map(|id| self.order[id]));
            let escapes = |outlet: &OutletId| {
                let successors = &self.model.node(outlet.node).outputs[outlet.slot].successors;
                self.region.outputs.contains(outlet) || successors.iter().any(|s| !members.contains(&s.node))
            };
            if !chain.0.values.keys().any(|outlet| *outlet != end && escapes(outlet)) {
                kept = (chain.0.mark(), chain.1.len(), end);
                kept_nodes = taken.len();
            }
        }
        chain.0.cut(kept.0);
        chain.1.truncate(kept.1);
        self.done.extend(&taken[..kept_nodes]);
        kept.2
    }

    /// Adds one elementwise node to the chain; `None` if it doesn't fit.
    fn extend(
        &self,
        chain: &mut (Chain, Vec<ValueId>),
        id: usize,
        shape: &Shape,
        before: usize,
    ) -> Option<Value> {
        let node = self.model.node(id);
        if picture(&node.outputs[0].fact).as_ref() != Some(shape) {
            return None;
        }
        match self.parts.get(&id)? {
            Part::Unary(unary) => {
                let x = *chain.0.values.get(&node.inputs[0])?;
                Some(chain.0.unary(*unary, x))
            }
            Part::Binary(code) => {
                let mut args = [Value::Start; 2];
                for (arg, outlet) in args.iter_mut().zip(&node.inputs) {
                    *arg = match chain.0.values.get(outlet) {
                        Some(value) => *value,
                        None => self.operand(chain, *outlet, shape, before)?,
                    };
                }
                let constant = |value| matches!(value, Value::Operand(_));
                if matches!(code, Code::Max | Code::Min | Code::Add | Code::Mul) && constant(args[0]) {
                    args.swap(0, 1);
                }
                Some(chain.0.binary(*code, args[0], args[1]))
            }
            _ => None,
        }
    }

    fn operand(
        &self,
        chain: &mut (Chain, Vec<ValueId>),
        outlet: OutletId,
        shape: &Shape,
        before: usize,
    ) -> Option<Value> {
        let fact = self.model.outlet_fact(outlet).ok()?;
        if let Some(konst) = &fact.konst {
            let values = konst.as_plain_ram()?.as_slice::<f32>().ok()?;
            if let [x] = values {
                return Some(chain.0.scalar(*x));
            }
            let mut values = values.to_vec();
            values.resize(shape.blocks() * BLOCK, 0.0);
            return Some(chain.0.operand(Operand::Channels(values)));
        }
        let value = *self.of.get(&outlet)?;
        if self.values[value].layout != Layout::Blocked {
            return None;
        }
        let at = before + chain.1.len();
        chain.1.push(value);
        let whole = self.values[value] == *shape;
        Some(chain.0.operand(if whole { Operand::Tensor(at) } else { Operand::Pixel(at) }))
    }
}

fn weights(kernel: &Kernel) -> Option<Weights<'_>> {
    let Kernel { factors, bias, groups, .. } = kernel;
    Some(Weights { values: kernel.values()?, factors, bias, groups: *groups })
}

/// A transposed convolution as one for each place of an output within a stride: those outputs see the same elements of
/// the kernel, and a fixed neighbourhood of the input.
fn phases(isa: Isa, input: Shape, output: Shape, window: &Window, kernel: &Weights) -> Vec<Dense> {
    let Window { y, x } = window;
    let mut parts = Vec::new();
    for place_y in 0..y.stride.min(output.h) {
        for place_x in 0..x.stride.min(output.w) {
            let (rows, axis_y) = phase(y, place_y);
            let (columns, axis_x) = phase(x, place_x);
            let taps = y.kernel * x.kernel;
            let values: Vec<f32> = kernel
                .values
                .chunks_exact(taps)
                .flat_map(|values| {
                    let row =
                        |r: &usize| columns.iter().map(|c| values[r * x.kernel + c]).collect::<Vec<_>>();
                    rows.iter().flat_map(row).collect::<Vec<_>>()
                })
                .collect();
            let place = Place { y: place_y, x: place_x, step_y: y.stride, step_x: x.stride };
            let weights = Weights { values: &values, ..*kernel };
            let window = Window { y: axis_y, x: axis_x };
            parts.push(Dense::new(isa, input, output, window, place, &weights));
        }
    }
    parts
}

/// The kernel's elements that outputs at `place` see, in the order of the input, and the axis that they slide along.
fn phase(axis: &Axis, place: usize) -> (Vec<usize>, Axis) {
    let shifted = place as isize + axis.pad;
    let rest = shifted.rem_euclid(axis.stride as isize) as usize;
    let mut taps: Vec<usize> = (rest..axis.kernel).step_by(axis.stride).collect();
    taps.reverse();
    let pad = taps.len() as isize - 1 - shifted.div_euclid(axis.stride as isize);
    let output = (axis.output - place).div_ceil(axis.stride);
    let slid = Axis { kernel: taps.len(), stride: 1, dilation: 1, pad, input: axis.input, output };
    (taps, slid)
}
