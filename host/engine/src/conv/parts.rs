//! [`Part`]: a node of tract's graph that the blocked kernels can compute, read into their terms.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::DimLike;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{
    DataFormat, HardSwish, LeakyRelu, NearestUpsample, Reduce, Reducer, Resize, Sigmoid, Silu,
};

use super::dense::joined;
use super::lanes::BLOCK;
use super::map::Code;
use super::moves::Taps;
use super::shape::{Axis, Shape, Window};

pub(super) enum Part {
    Conv {
        kernel: Kernel,
        window: Window,
    },
    Transposed {
        kernel: Kernel,
        window: Window,
    },
    Greatest(Window),
    Mean {
        window: Window,
        whole: bool,
    },
    /// Over height and width
    Sum(Window),
    Unary(Unary),
    Binary(Code),
    Concat,
    /// Channels from this one on
    Slice(usize),
    Resize {
        rows: Taps,
        columns: Taps,
    },
    /// Zeros around the picture: top and left. What follows knows its output's size
    Pad {
        top: usize,
        left: usize,
    },
}

#[derive(Clone, Copy)]
pub(super) enum Unary {
    Plain(Code),
    Leaky(f32),
    HardSwish,
    Negative,
    Square,
}

/// Weights as `[outputs, inputs / groups, kernel y, kernel x]`, and per output what they are multiplied by and a bias.
#[derive(Clone)]
pub(super) struct Kernel {
    values: Arc<Tensor>,
    pub factors: Vec<f32>,
    pub bias: Vec<f32>,
    pub groups: usize,
}

impl Kernel {
    pub(super) fn values(&self) -> Option<&[f32]> {
        slice(&self.values)
    }
}

impl Part {
    /// `None` for what is left to tract.
    pub(super) fn read(model: &TypedModel, node: &TypedNode) -> Option<Self> {
        let output = picture(&node.outputs.first()?.fact)?;
        if node.outputs.len() != 1 || node.outputs[0].fact.konst.is_some() {
            return None;
        }
        let facts: Vec<&TypedFact> =
            node.inputs.iter().map(|i| model.outlet_fact(*i).ok()).collect::<Option<_>>()?;
        let input = picture(facts.first()?);
        if let Some(op) = node.op_as::<TypedBinOp>() {
            return binary(op, &facts, &output);
        }
        let input = input.filter(|_| facts[0].konst.is_none())?;
        if let Some(op) = node.op_as::<Conv>() {
            let window = window(&op.pool_spec, &input, &output)?;
            let inputs = input.c / op.group;
            let kernel = kernel(&facts, op.kernel_fmt, op.group, [output.c, inputs], &window)?;
            let depthwise = op.group == input.c && op.group == output.c;
            let kept = depthwise || joined(op.group, inputs, output.c / op.group) <= BLOCK;
            return (kept && op.q_params.is_none()).then_some(Self::Conv { kernel, window });
        }
        if let Some(op) = node.op_as::<Deconv>() {
            let spec = &op.pool_spec;
            if op.group != 1 || spec.data_format != DataFormat::NCHW || spec.rank() != 2 {
                return None;
            }
            let dims = [input.h, input.w];
            let pads = spec.padding.compute_for_deconv(
                &dims,
                &spec.kernel_shape,
                &spec.dilations(),
                &spec.strides(),
                &op.adjustments,
            );
            let pads = pads.ok()?;
            let axis = |at: usize, input, output| Axis {
                kernel: spec.kernel_shape[at],
                stride: spec.stride(at),
                dilation: spec.dilation(at),
                pad: pads[at].pad_before as isize,
                input,
                output,
            };
            let window = Window { y: axis(0, input.h, output.h), x: axis(1, input.w, output.w) };
            let kernel = kernel(&facts, op.kernel_format, 1, [output.c, input.c], &window)?;
            return (window.y.dilation == 1 && window.x.dilation == 1)
                .then_some(Self::Transposed { kernel, window });
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            let window = window(&op.pool_spec, &input, &output)?;
            return op.with_index_outputs.is_none().then_some(Self::Greatest(window));
        }
        if let Some(op) = node.op_as::<SumPool>() {
            let window = window(&op.pool_spec, &input, &output)?;
            // Here the last window's overhang is counted or not, by a rule of its own.
            let ceil = matches!(op.pool_spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
            let kept = op.normalize && !(op.count_include_pad && ceil);
            return kept.then_some(Self::Mean { window, whole: op.count_include_pad });
        }
        if let Some(op) = node.op_as::<Reduce>() {
            let whole =
                |length| Axis { kernel: length, stride: 1, dilation: 1, pad: 0, input: length, output: 1 };
            return (op.reducer == Reducer::Sum && op.axes.as_slice() == [2, 3])
                .then(|| Self::Sum(Window { y: whole(input.h), x: whole(input.w) }));
        }
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            return unary(op).map(Self::Unary);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            let all = facts.iter().all(|f| f.konst.is_none() && picture(f).is_some());
            return (op.axis == 1 && all).then_some(Self::Concat);
        }
        if let Some(op) = node.op_as::<Slice>() {
            let (start, end) = (op.start.to_usize().ok()?, op.end.to_usize().ok()?);
            let kept = op.axis == 1 && start < end && end <= input.c && end - start == output.c;
            return kept.then_some(Self::Slice(start));
        }
        if let Some(op) = node.op_as::<NearestUpsample>() {
            let taps = |axis: usize, length: usize| {
                Taps((0..length * op.scales[axis]).map(|i| vec![(i / op.scales[axis], 1.0)]).collect())
            };
            return (op.scales[..2] == [1, 1] && output.h.max(output.w) <= MAX_RESIZED)
                .then(|| Self::Resize { rows: taps(2, input.h), columns: taps(3, input.w) });
        }
        if let Some(op) = node.op_as::<Resize>() {
            return resize(op, &facts, &input, &output);
        }
        if let Some(op) = node.op_as::<Pad>() {
            let PadMode::Constant(value) = &op.mode else { return None };
            let zero = value.cast_to_scalar::<f32>().ok()? == 0.0;
            let kept = zero && op.pads[..2] == [(0, 0), (0, 0)];
            return kept.then(|| Self::Pad { top: op.pads[2].0, left: op.pads[3].0 });
        }
        None
    }

    /// Bytes that its weights take more than in the file, since channels are rounded up to blocks.
    pub(super) fn rounding_bytes(&self) -> usize {
        match self {
            Self::Conv { kernel, .. } | Self::Transposed { kernel, .. } => {
                let (floats, outputs, groups) = (kernel.values.len(), kernel.bias.len(), kernel.groups);
                let together = match kernel.values.shape()[1] {
                    1 if outputs == groups => 1,
                    inputs => joined(groups, inputs, outputs / groups),
                };
                let lanes = outputs.next_multiple_of(BLOCK);
                4 * (floats / outputs).saturating_mul(lanes).saturating_mul(together) - 4 * floats
            }
            _ => 0,
        }
    }

    /// Whether it is worth the change of layout.
    pub(super) fn heavy(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Transposed { .. })
    }
}

/// More is not taken for a picture, nor for one side of a resized one: what is kept per row and column of a plan grows
/// with it.
const MAX_BYTES: usize = 1 << 30;
const MAX_RESIZED: usize = 1 << 16;

/// The shape of an f32 tensor `[N, C, H, W]` whose dims are known, none of them 0.
pub(super) fn picture(fact: &TypedFact) -> Option<Shape> {
    let [n, c, h, w] = *fact.shape.as_concrete()? else { return None };
    let bytes =
        [n, c.checked_next_multiple_of(BLOCK)?, h, w].iter().try_fold(4usize, |a, b| a.checked_mul(*b))?;
    (fact.datum_type == DatumType::F32 && (1..=MAX_BYTES).contains(&bytes))
        .then(|| Shape::blocked(n, c, h, w))
}

fn floats(fact: &TypedFact) -> Option<Arc<Tensor>> {
    fact.konst.clone().filter(|k| k.datum_type() == DatumType::F32 && k.is_plain_ram())
}

/// `channels`: outputs, and inputs of a group.
fn kernel(
    facts: &[&TypedFact],
    format: KernelFormat,
    groups: usize,
    channels: [usize; 2],
    window: &Window,
) -> Option<Kernel> {
    let values = floats(facts.get(1)?)?;
    let bias = floats(facts.get(2)?)?;
    let [outputs, inputs] = channels;
    let bias = match slice(&bias)? {
        [x] => vec![*x; outputs],
        bias => bias.to_vec(),
    };
    let fits = format == KernelFormat::OIHW
        && values.shape() == [outputs, inputs, window.y.kernel, window.x.kernel]
        && bias.len() == outputs;
    fits.then(|| Kernel { values, factors: vec![1.0; outputs], bias, groups })
}

fn slice(tensor: &Tensor) -> Option<&[f32]> {
    tensor.as_plain_ram()?.as_slice().ok()
}

fn window(spec: &PoolSpec, input: &Shape, output: &Shape) -> Option<Window> {
    if spec.data_format != DataFormat::NCHW || spec.rank() != 2 {
        return None;
    }
    let pads = spec.computed_padding(&[input.h, input.w]);
    let axis = |at: usize, input, output| {
        (pads[at].convoluted == output && spec.kernel_shape[at] > 0 && spec.stride(at) > 0).then(|| Axis {
            kernel: spec.kernel_shape[at],
            stride: spec.stride(at),
            dilation: spec.dilation(at).max(1),
            pad: pads[at].pad_before as isize,
            input,
            output,
        })
    };
    Some(Window { y: axis(0, input.h, output.h)?, x: axis(1, input.w, output.w)? })
}

fn unary(op: &ElementWiseOp) -> Option<Unary> {
    if op.1.is_some() {
        return None;
    }
    if op.0.is::<Sigmoid>() {
        return Some(Unary::Plain(Code::Sigmoid));
    }
    if op.0.is::<Silu>() {
        return Some(Unary::Plain(Code::Silu));
    }
    if op.0.is::<math::Exp>() {
        return Some(Unary::Plain(Code::Exp));
    }
    if op.0.is::<HardSwish>() {
        return Some(Unary::HardSwish);
    }
    if op.0.is::<math::Neg>() {
        return Some(Unary::Negative);
    }
    if op.0.is::<math::Square>() {
        return Some(Unary::Square);
    }
    op.0.downcast_ref::<LeakyRelu>().map(|leaky| Unary::Leaky(leaky.alpha))
}

/// Two tensors of which one has the output's shape and the other that, or one pixel, or is constant per channel.
fn binary(op: &TypedBinOp, facts: &[&TypedFact], output: &Shape) -> Option<Part> {
    let codes: [(bool, Code); 6] = [
        (op.0.is::<math::Add>(), Code::Add),
        (op.0.is::<math::Sub>(), Code::Sub),
        (op.0.is::<math::Mul>(), Code::Mul),
        (op.0.is::<math::Div>(), Code::Div),
        (op.0.is::<math::Max>(), Code::Max),
        (op.0.is::<math::Min>(), Code::Min),
    ];
    let code = codes.into_iter().find(|(is, _)| *is)?.1;
    let fits = |fact: &TypedFact| match &fact.konst {
        Some(konst) => {
            let shape = konst.shape();
            let channels = shape.len() == 4 && [shape[0], shape[2], shape[3]] == [1, 1, 1];
            floats(fact).is_some() && (konst.len() == 1 || channels && konst.len() == output.c)
        }
        None => picture(fact).is_some_and(|s| s == *output || s == Shape { h: 1, w: 1, ..*output }),
    };
    let whole = facts.iter().any(|f| f.konst.is_none() && picture(f) == Some(*output));
    (op.1.is_none() && whole && facts.iter().all(|f| fits(f))).then_some(Part::Binary(code))
}

fn resize(op: &Resize, facts: &[&TypedFact], input: &Shape, output: &Shape) -> Option<Part> {
    let (from, to) = ([input.n, input.c, input.h, input.w], [output.n, output.c, output.h, output.w]);
    let given = op.optional_scales_input.and_then(|at| facts.get(at)).and_then(|f| f.konst.clone());
    if op.optional_scales_input.is_some_and(|at| facts.get(at).is_some_and(|f| f.konst.is_none())) {
        return None;
    }
    let given = given.filter(|scales| scales.len() == 4);
    let scales: Vec<f32> = match &given {
        Some(scales) => floats_of(scales)?,
        None => from.iter().zip(to).map(|(i, o)| o as f32 / *i as f32).collect(),
    };
    if scales[..2] != [1.0, 1.0] || from[..2] != to[..2] || output.h.max(output.w) > MAX_RESIZED {
        return None;
    }
    let taps = |axis: usize| {
        if from[axis] == to[axis] && scales[axis] == 1.0 {
            return Some(Taps((0..to[axis]).map(|i| vec![(i, 1.0)]).collect()));
        }
        let plan = op.plan_axis(scales[axis], from[axis], to[axis]);
        let taps = (0..to[axis]).map(|at| {
            let range = at * plan.window..(at + 1) * plan.window;
            let pairs = plan.indices[range.clone()].iter().copied().zip(plan.weights[range].iter().copied());
            pairs.filter(|(_, weight)| *weight != 0.0).collect::<Vec<_>>()
        });
        let taps = Taps(taps.collect());
        (!plan.extrapolated.contains(&true)).then_some(taps)
    };
    Some(Part::Resize { rows: taps(2)?, columns: taps(3)? })
}

fn floats_of(tensor: &Tensor) -> Option<Vec<f32>> {
    Some(tensor.cast_to::<f32>().ok()?.as_plain_ram()?.as_slice::<f32>().ok()?.to_vec())
}
