//! Each kernel against loops that say the same in the plainest way.

use super::super::dense::{Dense, Place, Weights};
use super::super::lanes::{BLOCK, Isa};
use super::super::map::{Arg, Code, Op, Operand, Program};
use super::super::shape::{Axis, Layout, Shape, Window};
use super::super::sliding::{Kind as SlidingKind, Sliding};
use super::super::steps::{Kind, Step, Steps};
use super::super::winograd::Winograd;
use super::{Random, assert_close};

fn rounds() -> u64 {
    // Miri takes some thousand times longer.
    if cfg!(miri) { 6 } else { 300 }
}

fn axis(random: &mut Random, longest: usize) -> Axis {
    loop {
        let (kernel, stride) = (random.one_of(&[1, 1, 2, 3, 3, 4, 5, 7]), random.one_of(&[1, 1, 2, 3]));
        let (dilation, input) = (random.one_of(&[1, 1, 1, 2, 3]), random.within(1, longest));
        let pads = [random.within(0, kernel), random.within(0, kernel)];
        let covered = (kernel - 1) * dilation + 1;
        let padded = pads[0] + input + pads[1];
        if covered <= padded {
            let output = (padded - covered) / stride + 1;
            return Axis { kernel, stride, dilation, pad: pads[0] as isize, input, output };
        }
    }
}

/// What a step makes of `[N, C, H, W]` tensors, as such a tensor.
fn through(isa: Isa, kind: Kind, program: Program, inputs: &[(&[f32], Shape)], output: Shape) -> Vec<f32> {
    let enter = |at| Step { kind: Kind::Enter(at), inputs: vec![], output: at, program: Program::default() };
    let mut steps: Vec<Step> = (0..inputs.len()).map(enter).collect();
    let made = inputs.len();
    steps.push(Step { kind, inputs: (0..made).collect(), output: made, program });
    let shapes = inputs.iter().map(|(_, shape)| *shape).chain([output]).collect();
    let steps = Steps::new(isa, shapes, steps, vec![made]);
    let mut answer = vec![f32::NAN; output.n * output.c * output.h * output.w];
    let inputs: Vec<&[f32]> = inputs.iter().map(|(values, _)| *values).collect();
    steps.run(&inputs, &mut [&mut answer], |_| ());
    answer
}

/// Calls `each` with the input's index under every element of the window that lies on the input.
fn taps(window: &Window, y: usize, x: usize, mut each: impl FnMut(usize, usize)) {
    for ky in 0..window.y.kernel {
        for kx in 0..window.x.kernel {
            let iy = window.y.first(y) + (ky * window.y.dilation) as isize;
            let ix = window.x.first(x) + (kx * window.x.dilation) as isize;
            if (0..window.y.input as isize).contains(&iy) && (0..window.x.input as isize).contains(&ix) {
                each(iy as usize * window.x.input + ix as usize, ky * window.x.kernel + kx);
            }
        }
    }
}

#[test]
fn dense_convolutions_are_the_sums_of_their_products() {
    for seed in 0..rounds() {
        let mut random = Random::new(seed);
        let window = Window { y: axis(&mut random, 12), x: axis(&mut random, 40) };
        let groups = random.one_of(&[1, 1, 1, 2, 3]);
        let (c, o) = match groups {
            1 => (random.within(1, 70), random.within(1, 150)),
            _ => (random.one_of(&[2, 5, 16, 32]) * groups, random.one_of(&[3, 8, 16, 48]) * groups),
        };
        let n = random.within(1, 2);
        let (h, w) = (window.y.input, window.x.input);
        let layout = if c < BLOCK && groups == 1 {
            random.one_of(&[Layout::Pixels, Layout::Blocked])
        } else {
            Layout::Blocked
        };
        let input = Shape { n, c, h, w, layout };
        let output = Shape::blocked(n, o, window.y.output, window.x.output);
        let (kernel, bias) = (window.y.kernel * window.x.kernel, random.floats(o));
        let (weights, factors) = (random.floats(o * c / groups * kernel), random.floats(o));
        let values = random.floats(n * c * h * w);
        let mut expected = Vec::new();
        for n in 0..n {
            for oc in 0..o {
                let first = oc / (o / groups) * (c / groups);
                for (y, x) in (0..output.h).flat_map(|y| (0..output.w).map(move |x| (y, x))) {
                    let mut sum = f64::from(bias[oc]);
                    for i in 0..c / groups {
                        let plane = (n * c + first + i) * h * w;
                        taps(&window, y, x, |at, tap| {
                            let weight = weights[(oc * (c / groups) + i) * kernel + tap] * factors[oc];
                            sum += f64::from(values[plane + at]) * f64::from(weight);
                        });
                    }
                    // The sum, and a program behind it: at least 0.
                    expected.push(sum.max(0.0) as f32);
                }
            }
        }
        for isa in Isa::all() {
            let weights = Weights { values: &weights, factors: &factors, bias: &bias, groups };
            let dense = Dense::new(isa, input, output, window, Place::WHOLE, &weights);
            let max = Op { code: Code::Max, args: [Arg::Input, Arg::Operand(0), Arg::Input], to: 0 };
            let program = Program { ops: vec![max], operands: vec![Operand::Scalar([0.0; BLOCK])] };
            let got = through(isa, Kind::Dense(Box::new(dense)), program, &[(&values, input)], output);
            let title = format!("seed {seed}, {isa:?}, {input:?} to {output:?}, {groups} groups, {window:?}");
            assert_close(&title, &got, &expected, (c * kernel) as f32 / 8.0);
        }
    }
}

#[test]
fn transformed_convolutions_are_the_sums_of_their_products() {
    let rounds = if cfg!(miri) { 2 } else { 60 };
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let mut axis = || {
            let (input, pads) = (random.within(3, 50), [random.within(0, 2), random.within(0, 2)]);
            let output = pads[0] + input + pads[1] - 2;
            Axis { kernel: 3, stride: 1, dilation: 1, pad: pads[0] as isize, input, output }
        };
        let window = Window { y: axis(), x: axis() };
        let (n, c, o) = (random.within(1, 2), random.within(1, 70), random.within(1, 90));
        let (h, w) = (window.y.input, window.x.input);
        let (input, output) =
            (Shape::blocked(n, c, h, w), Shape::blocked(n, o, window.y.output, window.x.output));
        let (weights, factors, bias) = (random.floats(o * c * 9), random.floats(o), random.floats(o));
        let values = random.floats(n * c * h * w);
        let mut expected = Vec::new();
        for n in 0..n {
            for oc in 0..o {
                for (y, x) in (0..output.h).flat_map(|y| (0..output.w).map(move |x| (y, x))) {
                    let mut sum = f64::from(bias[oc]);
                    for i in 0..c {
                        let plane = (n * c + i) * h * w;
                        taps(&window, y, x, |at, tap| {
                            let weight = weights[(oc * c + i) * 9 + tap] * factors[oc];
                            sum += f64::from(values[plane + at]) * f64::from(weight);
                        });
                    }
                    expected.push(sum.max(0.0) as f32);
                }
            }
        }
        for isa in Isa::all() {
            let weights = Weights { values: &weights, factors: &factors, bias: &bias, groups: 1 };
            let winograd = Winograd::new(isa, input, output, &window, &weights);
            let max = Op { code: Code::Max, args: [Arg::Input, Arg::Operand(0), Arg::Input], to: 0 };
            let program = Program { ops: vec![max], operands: vec![Operand::Scalar([0.0; BLOCK])] };
            let got = through(isa, Kind::Winograd(Box::new(winograd)), program, &[(&values, input)], output);
            let title = format!("seed {seed}, {isa:?}, {input:?} to {output:?}, {window:?}");
            assert_close(&title, &got, &expected, (c * 9) as f32 / 8.0);
        }
    }
}

#[test]
fn windows_slide_over_each_channel_by_itself() {
    for seed in 0..rounds() {
        let mut random = Random::new(seed);
        let window = Window { y: axis(&mut random, 12), x: axis(&mut random, 30) };
        let (n, c) = (random.within(1, 2), random.within(1, 40));
        let (h, w) = (window.y.input, window.x.input);
        let (input, output) =
            (Shape::blocked(n, c, h, w), Shape::blocked(n, c, window.y.output, window.x.output));
        let kernel = window.y.kernel * window.x.kernel;
        let (weights, factors, bias) = (random.floats(c * kernel), random.floats(c), random.floats(c));
        let values = random.floats(n * c * h * w);
        let of = |kind: usize| {
            let mut expected = Vec::new();
            for plane in 0..n * c {
                for (y, x) in (0..output.h).flat_map(|y| (0..output.w).map(move |x| (y, x))) {
                    let (mut sum, mut product, mut greatest, mut count) =
                        (0.0f64, f64::from(bias[plane % c]), f64::NEG_INFINITY, 0);
                    taps(&window, y, x, |at, tap| {
                        let value = f64::from(values[plane * h * w + at]);
                        sum += value;
                        product += value * f64::from(weights[plane % c * kernel + tap] * factors[plane % c]);
                        greatest = greatest.max(value);
                        count += 1;
                    });
                    let all = [product, greatest, sum / f64::from(count.max(1)), sum / kernel as f64, sum];
                    expected.push(all[kind] as f32);
                }
            }
            expected
        };
        for isa in Isa::all() {
            let kinds = [
                SlidingKind::depthwise(&Weights {
                    values: &weights,
                    factors: &factors,
                    bias: &bias,
                    groups: c,
                }),
                SlidingKind::Greatest,
                SlidingKind::Mean { whole: false },
                SlidingKind::Mean { whole: true },
                SlidingKind::Sum,
            ];
            for (at, kind) in kinds.into_iter().enumerate() {
                let sliding = Sliding { isa, kind, input, output, window };
                let kind = Kind::Sliding(sliding);
                let got = through(isa, kind, Program::default(), &[(&values, input)], output);
                let title = format!("seed {seed}, {isa:?}, kind {at}, {input:?} to {output:?}, {window:?}");
                assert_close(&title, &got, &of(at), kernel as f32 / 8.0);
            }
        }
    }
}

#[test]
fn programs_compute_as_f64_does() {
    #[allow(clippy::type_complexity, reason = "a table")]
    let cases: [(Code, fn(f64, f64, f64) -> f64); 12] = [
        (Code::Add, |a, b, _| a + b),
        (Code::Sub, |a, b, _| a - b),
        (Code::Mul, |a, b, _| a * b),
        (Code::Div, |a, b, _| a / b),
        (Code::Max, |a, b, _| a.max(b)),
        (Code::Min, |a, b, _| a.min(b)),
        (Code::MulAdd, |a, b, c| a * b + c),
        (Code::Clamp, |a, b, c| a.max(b).min(c)),
        (Code::Sigmoid, |a, _, _| 1.0 / (1.0 + (-a).exp())),
        (Code::Silu, |a, _, _| a / (1.0 + (-a).exp())),
        (Code::Exp, |a, _, _| a.exp()),
        (Code::Leaky, |a, b, _| if a < 0.0 { a * b } else { a }),
    ];
    let pixels = 37;
    let shape = Shape::blocked(1, BLOCK, 1, pixels);
    let values: Vec<f32> = Random::new(1).floats(pixels * BLOCK).iter().map(|x| x * x * x * 80.0).collect();
    let other: Vec<f32> = values.iter().rev().copied().collect();
    for isa in Isa::all() {
        for (code, exact) in cases {
            let args = [Arg::Input, Arg::Operand(0), Arg::Operand(1)];
            let program = Program {
                ops: vec![Op { code, args, to: 0 }],
                operands: vec![Operand::Tensor(1), Operand::Scalar([0.75; BLOCK])],
            };
            let made = through(isa, Kind::Map, program, &[(&values, shape), (&other, shape)], shape);
            for (at, got) in made.iter().enumerate() {
                let expected = exact(f64::from(values[at]), f64::from(other[at]), 0.75);
                let near = (f64::from(*got) - expected).abs() <= 1e-6 * expected.abs() + 1e-37
                    || matches!(code, Code::MulAdd) && (f64::from(*got) - expected).abs() < 1e-3;
                assert!(
                    near,
                    "{isa:?}, {code:?} of {}, {}: expected {expected}, got {got}",
                    values[at], other[at]
                );
            }
        }
    }
}

#[test]
fn what_is_no_number_and_what_has_no_end_pass_through_programs() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for isa in Isa::all() {
        for (code, given, expected) in [
            (Code::Max, nan, nan),
            (Code::Min, nan, nan),
            (Code::Clamp, nan, nan),
            (Code::Clamp, -inf, -1.0),
            (Code::Sigmoid, nan, nan),
            (Code::Sigmoid, inf, 1.0),
            (Code::Exp, nan, nan),
        ] {
            let program = Program {
                ops: vec![Op { code, args: [Arg::Input, Arg::Operand(0), Arg::Operand(1)], to: 0 }],
                operands: vec![Operand::Scalar([-1.0; BLOCK]), Operand::Scalar([1.0; BLOCK])],
            };
            let shape = Shape::blocked(1, BLOCK, 1, 1);
            let made = through(isa, Kind::Map, program, &[(&[given; BLOCK], shape)], shape);
            let same = made
                .iter()
                .all(|got| got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan());
            assert!(same, "{isa:?}, {code:?} of {given}: expected {expected}, got {made:?}");
        }
    }
}

#[test]
fn channels_are_appended_at_any_place() {
    let mut random = Random::new(3);
    for channels in [[1, 5], [16, 20], [5, 3], [7, 40], [31, 1]] {
        let shapes = channels.map(|c| Shape::blocked(2, c, 3, 4));
        let values = channels.map(|c| random.floats(2 * c * 12));
        let whole = Shape::blocked(2, channels[0] + channels[1], 3, 4);
        let inputs = [(values[0].as_slice(), shapes[0]), (values[1].as_slice(), shapes[1])];
        let mut expected = Vec::new();
        for n in 0..2 {
            for (values, c) in values.iter().zip(channels) {
                expected.extend_from_slice(&values[n * c * 12..(n + 1) * c * 12]);
            }
        }
        let got = through(Isa::Plain, Kind::Concat, Program::default(), &inputs, whole);
        assert_eq!(got, expected, "{channels:?}");
    }
}
