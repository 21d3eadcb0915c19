//! [`Steps`]: a region of a graph as a list of kernels to call, and the memory they work in.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

use std::ops::Range;

use crossbeam_queue::ArrayQueue;

use super::dense::Dense;
use super::lanes::{BLOCK, Isa};
use super::map::{Operand, Program};
use super::moves::{Taps, channels, enter, leave, resize};
use super::shape::{Layout, Shape};
use super::sliding::Sliding;
use super::winograd::Winograd;

/// Memories kept for the next call: as many as threads may run one plan at once without making their own.
const IDLE: usize = 32;

/// What is computed between two steps, by its place in [`Steps::values`].
pub(super) type ValueId = usize;

pub(super) enum Kind {
    /// The region's input of this number
    Enter(usize),
    Dense(Box<Dense>),
    Winograd(Box<Winograd>),
    /// Several convolutions, each of which makes every n-th row and column
    Transposed(Vec<Dense>),
    Sliding(Sliding),
    /// The program alone, over its first input
    Map,
    Concat,
    /// The input's channels from this one on
    Slice(usize),
    Resize {
        rows: Taps,
        columns: Taps,
    },
}

pub(super) struct Step {
    pub kind: Kind,
    pub inputs: Vec<ValueId>,
    pub output: ValueId,
    pub program: Program,
}

pub(super) struct Steps {
    isa: Isa,
    values: Vec<Shape>,
    steps: Vec<Step>,
    outputs: Vec<ValueId>,
    /// For each output, the step whose program is run only there: of a single channel, a block holds one element of
    /// sixteen, and an output all of them.
    late: Vec<Option<usize>>,
    /// Where each value lies.
    places: Vec<usize>,
    scratch: usize,
    floats: usize,
    idle: ArrayQueue<Memory>,
}

impl Steps {
    pub(super) fn new(isa: Isa, values: Vec<Shape>, steps: Vec<Step>, outputs: Vec<ValueId>) -> Self {
        let (places, floats) = places(&values, &steps, &outputs);
        let scratch = steps.iter().map(|s| match &s.kind {
            Kind::Dense(dense) => dense.scratch(),
            Kind::Winograd(winograd) => winograd.scratch(),
            Kind::Transposed(parts) => parts.iter().map(Dense::scratch).max().unwrap_or(0),
            _ => 0,
        });
        let scratch = scratch.max().unwrap_or(0);
        let idle = ArrayQueue::new(IDLE);
        let late = outputs.iter().map(|value| late(&values, &steps, &outputs, *value)).collect();
        Self { isa, values, steps, outputs, late, places, scratch: floats, floats: floats + scratch, idle }
    }

    /// The shape of each output.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Shape> {
        self.outputs.iter().map(|v| &self.values[*v])
    }

    /// One line for each step: what it is and the shape of what it makes.
    pub(super) fn describe(&self) -> Vec<String> {
        let line = |step: &Step| {
            let kind = match &step.kind {
                Kind::Enter(_) => "Enter",
                Kind::Dense(_) => "Conv",
                Kind::Winograd(_) => "Winograd",
                Kind::Transposed(_) => "ConvTranspose",
                Kind::Sliding(_) => "Sliding",
                Kind::Map => "Map",
                Kind::Concat => "Concat",
                Kind::Slice(_) => "Slice",
                Kind::Resize { .. } => "Resize",
            };
            let Shape { n, c, h, w, .. } = self.values[step.output];
            format!("{kind} [{n}, {c}, {h}, {w}] {} elementwise", step.program.ops.len())
        };
        self.steps.iter().map(line).collect()
    }

    /// `inputs` and `outputs` are `[N, C, H, W]`. Calls `watch` behind each step, with its number.
    pub(super) fn run(&self, inputs: &[&[f32]], outputs: &mut [&mut [f32]], mut watch: impl FnMut(usize)) {
        let mut memory = self.idle.pop().unwrap_or_else(|| Memory::new(self.floats));
        let base = memory.start();
        let at = |value: ValueId| base.wrapping_add(self.places[value]);
        for (number, step) in self.steps.iter().enumerate() {
            let tensors: Vec<*const f32> = step.inputs.iter().map(|v| at(*v).cast_const()).collect();
            let (output, shape) = (at(step.output), &self.values[step.output]);
            let operands = step.program.operands(&tensors, shape.blocks(), shape.plane());
            let program = if self.late.contains(&Some(number)) { &NOTHING } else { &step.program };
            // SAFETY: `places` gives every value room for its shape, apart from what is needed at the same time;
            // the shapes of a step fit each other, as `lower` has seen to.
            unsafe {
                match &step.kind {
                    Kind::Enter(input) => {
                        let floats = shape.n * shape.c * shape.h * shape.w;
                        assert_eq!(inputs[*input].len(), floats, "the plan is for other shapes");
                        enter(inputs[*input].as_ptr(), output, shape);
                    }
                    Kind::Dense(dense) => {
                        let scratch = base.wrapping_add(self.scratch);
                        dense.run(tensors[0], output, scratch, program, &operands);
                    }
                    Kind::Winograd(winograd) => {
                        let scratch = base.wrapping_add(self.scratch);
                        winograd.run(&tensors, output, scratch, program, &operands);
                    }
                    Kind::Transposed(parts) => {
                        let scratch = base.wrapping_add(self.scratch);
                        for part in parts {
                            part.run(tensors[0], output, scratch, &Program::default(), &operands);
                        }
                        self.map(step, output, output, &operands);
                    }
                    Kind::Sliding(sliding) => sliding.run(tensors[0], output, &step.program, &operands),
                    Kind::Map => self.map(step, tensors[0], output, &operands),
                    Kind::Concat => {
                        let mut place = 0;
                        for (value, tensor) in step.inputs.iter().zip(&tensors) {
                            let from = &self.values[*value];
                            // Those made in their place are there already.
                            let there = output.wrapping_add(place / BLOCK * shape.plane());
                            if !place.is_multiple_of(BLOCK) || tensor.cast_mut() != there {
                                channels(*tensor, (from, 0), output, (shape, place), from.c);
                            }
                            place += from.c;
                        }
                    }
                    Kind::Slice(first) => {
                        let from = &self.values[step.inputs[0]];
                        if !first.is_multiple_of(BLOCK)
                            || tensors[0].wrapping_add(first / BLOCK * shape.plane()) != output
                        {
                            channels(tensors[0], (from, *first), output, (shape, 0), shape.c);
                        }
                    }
                    Kind::Resize { rows, columns } => {
                        resize(
                            self.isa,
                            tensors[0],
                            &self.values[step.inputs[0]],
                            output,
                            shape,
                            rows,
                            columns,
                        );
                        self.map(step, output, output, &operands);
                    }
                }
            }
            watch(number);
        }
        for ((value, late), output) in self.outputs.iter().zip(&self.late).zip(outputs) {
            let shape = &self.values[*value];
            assert_eq!(output.len(), shape.n * shape.c * shape.h * shape.w, "the plan is for other shapes");
            // SAFETY: the lengths fit.
            unsafe { leave(at(*value), output.as_mut_ptr(), shape) };
            if let Some(step) = late {
                self.everywhere(&self.steps[*step].program, output);
            }
        }
        // Full: this many wait already, so this one goes.
        let _ = self.idle.push(memory);
    }

    /// A program without operands of its own for each channel or pixel, over all elements.
    fn everywhere(&self, program: &Program, elements: &mut [f32]) {
        let operands = program.operands(&[], 0, 0).at(0, 0, 0);
        let (blocks, rest) = elements.as_chunks_mut::<BLOCK>();
        let start = blocks.as_mut_ptr().cast::<f32>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: there are as many vectors, and the operands are scalars.
        unsafe {
            program.run(self.isa, start, start, blocks.len(), operands);
            program.run(self.isa, last.as_ptr(), last.as_mut_ptr(), 1, operands);
        }
        rest.copy_from_slice(&last[..rest.len()]);
    }

    unsafe fn map(&self, step: &Step, input: *const f32, output: *mut f32, operands: &super::map::Operands) {
        if step.program.is_empty() {
            return;
        }
        let shape = &self.values[step.output];
        let plane = shape.plane();
        for at in 0..shape.n * shape.blocks() {
            let operands = operands.at(at / shape.blocks(), at % shape.blocks(), 0);
            // SAFETY: within the shapes, which are the same.
            unsafe {
                let (input, output) = (input.add(at * plane), output.add(at * plane));
                step.program.run(self.isa, input, output, plane / BLOCK, operands);
            }
        }
    }
}

static NOTHING: Program = Program { ops: Vec::new(), operands: Vec::new() };

/// The step that makes an output of one channel, if its program may be run over the output instead: nothing else reads
/// what it makes, and its operands are scalars.
fn late(values: &[Shape], steps: &[Step], outputs: &[ValueId], output: ValueId) -> Option<usize> {
    let at = steps.iter().position(|step| step.output == output)?;
    let step = &steps[at];
    let alone = outputs.iter().filter(|value| **value == output).count() == 1
        && !steps.iter().any(|step| step.inputs.contains(&output));
    let scalar = |operand: &Operand| matches!(operand, Operand::Scalar(_));
    let fits = matches!(step.kind, Kind::Dense(_) | Kind::Winograd(_))
        && !step.program.is_empty()
        && step.program.operands.iter().all(scalar);
    (values[output].c == 1 && alone && fits).then_some(at)
}

/// Which values lie within another, and how many floats from its start: what is concatenated is made where it is to be,
/// and a slice is read where it is.
fn homes(values: &[Shape], steps: &[Step], outputs: &[ValueId]) -> Vec<Option<(ValueId, usize)>> {
    let mut homes: Vec<Option<(ValueId, usize)>> = vec![None; values.len()];
    let free = |homes: &[Option<(ValueId, usize)>], value: ValueId| {
        homes[value].is_none() && values[value].layout == Layout::Blocked && values[value].n == 1
    };
    for step in steps {
        match &step.kind {
            Kind::Slice(first) if first.is_multiple_of(BLOCK) && free(&homes, step.output) => {
                homes[step.output] = Some((step.inputs[0], first / BLOCK * values[step.output].plane()));
            }
            Kind::Concat => {
                let mut place: usize = 0;
                for (at, value) in step.inputs.iter().enumerate() {
                    let channels = values[*value].c;
                    // Its last block is its own, or the last of all.
                    let apart = channels.is_multiple_of(BLOCK) || at + 1 == step.inputs.len();
                    let once = !outputs.contains(value) && !step.inputs[..at].contains(value);
                    if place.is_multiple_of(BLOCK) && apart && once && free(&homes, *value) {
                        homes[*value] = Some((step.output, place / BLOCK * values[*value].plane()));
                    }
                    place += channels;
                }
            }
            _ => {}
        }
    }
    homes
}

/// Gives each value a place that no other has at the same time: in the smallest gap that is big enough.
fn places(values: &[Shape], steps: &[Step], outputs: &[ValueId]) -> (Vec<usize>, usize) {
    let homes = homes(values, steps, outputs);
    // The value that another lies in at last, and where.
    let root = |mut value: ValueId| {
        let mut offset = 0;
        while let Some((home, at)) = homes[value] {
            (value, offset) = (home, offset + at);
        }
        (value, offset)
    };
    let (mut first, mut last) = (vec![usize::MAX; values.len()], vec![0; values.len()]);
    let mut shared = vec![false; values.len()];
    for (at, step) in steps.iter().enumerate() {
        for value in step.inputs.iter().chain([&step.output]) {
            let (home, _) = root(*value);
            first[home] = first[home].min(at);
            last[home] = last[home].max(at);
            shared[home] |= home != *value;
        }
    }
    outputs.iter().for_each(|v| last[root(*v).0] = steps.len());
    let mut places = vec![0; values.len()];
    let mut taken: Vec<(Range<usize>, ValueId)> = Vec::new();
    let mut end = 0;
    for (at, step) in steps.iter().enumerate() {
        let (value, _) = root(step.output);
        if first[value] != at {
            continue;
        }
        // What isn't read any more, now or later, is free; what is read now may be overwritten in place by a map.
        taken.retain(|(_, v)| last[*v] >= at);
        if matches!(step.kind, Kind::Map)
            && !shared[value]
            && let Some(entry) = taken.iter_mut().find(|(_, v)| *v == step.inputs[0])
            && last[entry.1] == at
            && !shared[entry.1]
            && !step.inputs[1..].contains(&step.inputs[0])
        {
            entry.1 = value;
            places[value] = entry.0.start;
            continue;
        }
        let floats = values[value].floats().next_multiple_of(BLOCK);
        taken.sort_by_key(|(range, _)| range.start);
        let mut from = 0;
        let mut best: Option<Range<usize>> = None;
        for (range, _) in &taken {
            let gap = from..range.start;
            if gap.len() >= floats && best.as_ref().is_none_or(|b| gap.len() < b.len()) {
                best = Some(gap);
            }
            from = range.end;
        }
        let start = best.map_or(from, |gap| gap.start);
        places[value] = start;
        taken.push((start..start + floats, value));
        end = end.max(start + floats);
    }
    for value in 0..values.len() {
        let (home, offset) = root(value);
        places[value] = places[home] + offset;
    }
    (places, end)
}

/// Floats, the first at the start of a cache line.
struct Memory(Vec<f32>);

impl Memory {
    fn new(floats: usize) -> Self {
        Self(vec![0.0; floats + BLOCK])
    }

    fn start(&mut self) -> *mut f32 {
        let offset = self.0.as_ptr().align_offset(64).min(BLOCK);
        self.0[offset..].as_mut_ptr()
    }
}
