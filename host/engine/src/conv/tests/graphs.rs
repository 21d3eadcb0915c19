//! Regions of random nodes against tract's own answer.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{
    CoordTransformer, DataFormat, Interpolator, Nearest, NearestUpsample, Reduce, Reducer, Resize,
    hard_swish, leaky_relu, sigmoid, silu::silu,
};

use super::super::lanes::Isa;
use super::super::{Blocked, block_for};
use super::{Random, assert_close};

/// A graph under construction, of pictures only.
struct Graph {
    model: TypedModel,
    random: Random,
    names: usize,
    made: Vec<OutletId>,
}

impl Graph {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("node {}", self.names)
    }

    fn wire(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
        let name = self.name();
        let outlet = self.model.wire_node(name, op, inputs).unwrap()[0];
        self.made.push(outlet);
        outlet
    }

    fn weight(&mut self, shape: &[usize], spread: f32) -> OutletId {
        let values: Vec<f32> =
            self.random.floats(shape.iter().product()).iter().map(|x| x * spread).collect();
        let name = self.name();
        self.model.add_const(name, Tensor::from_shape(shape, &values).unwrap()).unwrap()
    }

    fn dims(&self, outlet: OutletId) -> Vec<usize> {
        self.model.outlet_fact(outlet).unwrap().shape.as_concrete().unwrap().to_vec()
    }

    fn spec(&mut self, c: usize, o: usize, kernel: [usize; 2], stride: usize) -> PoolSpec {
        let pads = |k: usize| if k == 2 { 0 } else { k / 2 };
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: TVec::from_slice(&kernel),
            padding: PaddingSpec::Explicit(
                TVec::from_slice(&kernel.map(pads)),
                TVec::from_slice(&kernel.map(pads)),
            ),
            dilations: None,
            strides: Some(tvec![stride, stride]),
            input_channels: c,
            output_channels: o,
        }
    }

    fn conv(&mut self, x: OutletId, o: usize, kernel: usize, stride: usize, group: usize) -> OutletId {
        let c = self.dims(x)[1];
        let spread = 1.5 / ((c / group * kernel * kernel) as f32).sqrt();
        let weights = self.weight(&[o, c / group, kernel, kernel], spread);
        let bias = self.weight(&[o], 0.5);
        let pool_spec = self.spec(c, o, [kernel, kernel], stride);
        let conv = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group, q_params: None };
        self.wire(conv, &[x, weights, bias])
    }

    /// One node, or a few that belong together, of what there is so far.
    fn step(&mut self) {
        let x = *self.made.last().unwrap();
        let [n, c, h, w] = self.dims(x)[..] else { panic!("a picture has four dims") };
        match self.random.within(0, 15) {
            0 | 1 => {
                let (o, kernel) = (self.random.one_of(&[8, 16, 24, 33]), self.random.one_of(&[1, 3]));
                self.conv(x, o, kernel, 1, 1);
            }
            2 => {
                self.conv(x, c, 3, 1, c);
                // Groups of a few channels, and every second pixel of one without neighbours.
                if c % 4 == 0 {
                    let x = *self.made.last().unwrap();
                    let o = self.random.one_of(&[4, 8, 12]);
                    self.conv(x, o, 3, 1, 4);
                    let x = *self.made.last().unwrap();
                    self.conv(x, 16, 1, 2, 1);
                }
            }
            3 if h > 4 && w > 4 => {
                let padded = Pad::new(
                    vec![(0, 0), (0, 0), (0, 1), (1, 0)],
                    PadMode::Constant(tensor0(0f32).into_arc_tensor()),
                );
                let padded = self.wire(padded, &[x]);
                self.conv(padded, 20, 3, 2, 1);
            }
            4 => {
                let spec = self.spec(c, c, [3, 3], 1);
                self.wire(MaxPool { pool_spec: spec, with_index_outputs: None }, &[x]);
            }
            5 => {
                let pool_spec = self.spec(c, c, [3, 3], 1);
                let count_include_pad = self.random.within(0, 1) == 1;
                self.wire(SumPool { pool_spec, count_include_pad, normalize: true }, &[x]);
            }
            6 if c > 20 => {
                let (start, end) = self.random.one_of(&[(0, 16), (16, c), (3, 19)]);
                self.wire(Slice::new(1, start, end), &[x]);
            }
            6 => {
                let unary = [sigmoid(), silu(), hard_swish(), leaky_relu(0.1)];
                let unary = unary[self.random.within(0, 3)].clone();
                self.wire(unary, &[x]);
            }
            7 => {
                // x * gate(mean of x), as squeeze-and-excitation has it.
                let mean = self.wire(Reduce { axes: tvec![2, 3], reducer: Reducer::Sum }, &[x]);
                let part = self.weight(&[1, 1, 1, 1], 0.02);
                let mean = self.wire(math::mul(), &[mean, part]);
                let gate = self.conv(mean, c, 1, 1, 1);
                let gate = self.wire(sigmoid(), &[gate]);
                self.wire(math::mul(), &[x, gate]);
            }
            8 => {
                // A hard swish in the pieces that exporters make of it.
                let scalar = |graph: &mut Self, value: f32| {
                    let name = graph.name();
                    graph.model.add_const(name, Tensor::from_shape(&[1, 1, 1, 1], &[value]).unwrap()).unwrap()
                };
                let [three, zero, six] = [3.0, 0.0, 6.0].map(|v| scalar(self, v));
                let y = self.wire(math::add(), &[x, three]);
                let y = self.wire(math::max(), &[y, zero]);
                let y = self.wire(math::min(), &[y, six]);
                let y = self.wire(math::mul(), &[x, y]);
                self.wire(math::div(), &[y, six]);
            }
            9 => {
                let scale = self.weight(&[1, c, 1, 1], 1.0);
                let shift = self.weight(&[1, c, 1, 1], 1.0);
                let y = self.wire(math::mul(), &[x, scale]);
                self.wire(math::add(), &[shift, y]);
            }
            10 => {
                // With anything of the same shape made before.
                let made = self.made.clone();
                let same = made.iter().find(|o| self.dims(**o) == [n, c, h, w]).copied().unwrap();
                let op =
                    [math::add(), math::sub(), math::max(), math::mul()][self.random.within(0, 3)].clone();
                self.wire(op, &[same, x]);
            }
            11 if c < 60 => {
                let made = self.made.clone();
                let same = made.iter().find(|o| {
                    let dims = self.dims(**o);
                    [dims[0], dims[2], dims[3]] == [n, h, w]
                });
                self.wire(TypedConcat { axis: 1 }, &[x, *same.unwrap()]);
            }
            12 if h * w < 200 => {
                self.wire(NearestUpsample { scales: tvec![1, 1, 2, 2] }, &[x]);
            }
            13 if h * w < 200 => {
                let name = self.name();
                let scales = self.model.add_const(name, tensor1(&[1f32, 1.0, 1.5, 2.0])).unwrap();
                let resize = Resize {
                    coord_transformer: CoordTransformer::HalfPixel,
                    interpolator: [Interpolator::Linear, Interpolator::Cubic][self.random.within(0, 1)]
                        .clone(),
                    nearest: Nearest::Floor,
                    optional_scales_input: Some(1),
                    optional_sizes_input: None,
                };
                self.wire(resize, &[x, scales]);
            }
            14 if h * w < 200 => {
                let (o, kernel, stride) = self.random.one_of(&[(10, 2, 2), (16, 3, 2), (7, 4, 2), (3, 2, 3)]);
                let pool_spec = PoolSpec {
                    padding: PaddingSpec::Explicit(tvec![kernel / 3, 0], tvec![0, kernel / 3]),
                    ..self.spec(c, o, [kernel, kernel], stride)
                };
                let weights = self.weight(&[o, c, kernel, kernel], 1.0 / (c as f32).sqrt());
                let bias = self.weight(&[o], 0.5);
                let deconv = Deconv {
                    pool_spec,
                    kernel_format: KernelFormat::OIHW,
                    adjustments: tvec![0, 0],
                    group: 1,
                };
                self.wire(deconv, &[x, weights, bias]);
            }
            _ => {
                // No kernel of this crate computes it, so that the region ends.
                self.wire(math::cos(), &[x]);
            }
        }
    }
}

fn graph(seed: u64) -> TypedModel {
    let mut random = Random::new(seed);
    let dims = [random.within(1, 2), random.one_of(&[3, 16, 21]), random.within(3, 12), random.within(3, 14)];
    let mut model = TypedModel::default();
    let source = model.add_source("picture", f32::fact(dims)).unwrap();
    let mut graph = Graph { model, random, names: 0, made: vec![source] };
    let wide = graph.random.one_of(&[16, 24, 48]);
    graph.conv(source, wide, 3, 1, 1);
    let steps = graph.random.within(2, 14);
    (0..steps).for_each(|_| graph.step());
    let last = *graph.made.last().unwrap();
    let other = graph.made[graph.made.len() / 2];
    graph.model.select_output_outlets(&[last, other]).unwrap();
    graph.model
}

fn run(model: TypedModel, input: &Tensor) -> Vec<Tensor> {
    let outputs = model.into_optimized().unwrap().into_runnable().unwrap().run(tvec![input.clone().into()]);
    outputs.unwrap().into_iter().map(|o| o.into_tensor()).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
}

#[test]
#[cfg_attr(miri, ignore = "tract's own kernels are assembly")]
fn regions_answer_as_tract_does() {
    let mut regions = 0;
    for seed in 0..200 {
        let model = graph(seed);
        let dims = model.outlet_fact(model.inputs[0]).unwrap().shape.as_concrete().unwrap().to_vec();
        let values = Random::new(seed + 1).floats(dims.iter().product());
        let input = Tensor::from_shape(&dims, &values).unwrap();
        let expected = run(model.clone(), &input);
        for isa in Isa::all() {
            let mut blocked = model.clone();
            block_for(isa, &mut blocked).unwrap();
            regions += blocked.nodes.iter().filter(|n| n.op_is::<Blocked>()).count();
            let got = run(blocked.clone(), &input);
            for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
                assert_eq!(got.shape(), expected.shape(), "seed {seed}, {isa:?}, output {at}");
                let expected = floats(expected);
                let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
                assert_close(&format!("seed {seed}, {isa:?}, output {at}"), &floats(got), &expected, scale);
            }
            // The same each time, whatever lay in the memory before.
            let again = run(blocked, &input);
            assert!(got.iter().zip(&again).all(|(a, b)| floats(a) == floats(b)), "seed {seed}, {isa:?}");
        }
    }
    assert!(regions >= 200 * Isa::all().len(), "only {regions} regions in 200 graphs");
}

/// A picture goes down and up again, and meets itself, as in a U-Net.
fn down_and_up() -> TypedModel {
    let mut model = TypedModel::default();
    let source = model.add_source("picture", f32::fact([1, 3, 34, 40])).unwrap();
    let mut graph = Graph { model, random: Random::new(7), names: 0, made: vec![source] };
    let high = graph.conv(source, 16, 3, 1, 1);
    let pool_spec = PoolSpec { strides: Some(tvec![2, 2]), ..graph.spec(16, 16, [2, 2], 2) };
    let low = graph.wire(MaxPool { pool_spec, with_index_outputs: None }, &[high]);
    let low = graph.conv(low, 32, 3, 1, 1);
    let doubled = graph.wire(NearestUpsample { scales: tvec![1, 1, 2, 2] }, &[low]);
    let both = graph.wire(TypedConcat { axis: 1 }, &[doubled, high]);
    let mixed = graph.conv(both, 16, 3, 1, 1);
    let one = graph.conv(mixed, 1, 1, 1, 1);
    let end = graph.wire(sigmoid(), &[one]);
    graph.model.select_output_outlets(&[end]).unwrap();
    graph.model
}

#[test]
#[cfg_attr(miri, ignore = "tract's own kernels are assembly")]
fn what_is_doubled_and_joined_is_read_where_it_lies() {
    let model = down_and_up();
    let input = Tensor::from_shape(&[1, 3, 34, 40], &Random::new(8).floats(3 * 34 * 40)).unwrap();
    let expected = run(model.clone(), &input);
    for isa in Isa::all() {
        let mut blocked = model.clone();
        block_for(isa, &mut blocked).unwrap();
        let lines: Vec<String> = blocked
            .nodes
            .iter()
            .filter_map(|node| node.op_as::<Blocked>())
            .flat_map(|region| region.describe())
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(lines, ["Enter", "Conv", "Sliding", "Winograd", "Winograd", "Conv"], "{isa:?}");
        let got = run(blocked, &input);
        assert_close(&format!("{isa:?}"), &floats(&got[0]), &floats(&expected[0]), 1.0);
    }
}
