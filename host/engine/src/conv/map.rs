//! [`Program`]: what is done to each element by itself, all in one pass over memory, right behind what made it.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

use super::lanes::{BLOCK, Isa, Lanes, exp, on};

/// Vectors that go through all operations before the next: few enough to stay in the first cache.
const RUN: usize = 16;
pub(super) const REGISTERS: usize = 8;
pub(super) const OPERANDS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Code {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    /// `a * b + c`
    MulAdd,
    /// `a`, at least `b` and at most `c`
    Clamp,
    Sigmoid,
    /// `a` times its sigmoid
    Silu,
    Exp,
    /// `a` times `b` where negative
    Leaky,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arg {
    /// The element that the program starts from
    Input,
    Register(usize),
    Operand(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub code: Code,
    pub args: [Arg; 3],
    /// Not looked at in the last operation, which makes the program's result.
    pub to: usize,
}

#[derive(Debug)]
pub(super) enum Operand {
    Scalar([f32; BLOCK]),
    /// One for each channel, up to the end of the last block
    Channels(Vec<f32>),
    /// The step's input of this number, of the output's shape
    Tensor(usize),
    /// The step's input of this number, with one pixel
    Pixel(usize),
}

#[derive(Debug, Default)]
pub(super) struct Program {
    pub ops: Vec<Op>,
    pub operands: Vec<Operand>,
}

/// Where an operand lies while a step runs.
#[derive(Clone, Copy)]
struct Source {
    base: *const f32,
    /// Floats from a picture, and from a block of channels, to the next.
    picture: usize,
    block: usize,
    /// Whether it differs from pixel to pixel.
    moves: bool,
}

pub(super) struct Operands {
    sources: [Source; OPERANDS],
}

impl Program {
    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// `tensors` are the step's inputs; `blocks` and `plane` of the output's shape.
    pub(super) fn operands(&self, tensors: &[*const f32], blocks: usize, plane: usize) -> Operands {
        let none = Source { base: std::ptr::null(), picture: 0, block: 0, moves: false };
        let mut sources = [none; OPERANDS];
        for (source, operand) in sources.iter_mut().zip(&self.operands) {
            *source = match operand {
                Operand::Scalar(x) => Source { base: x.as_ptr(), ..none },
                Operand::Channels(x) => Source { base: x.as_ptr(), block: BLOCK, ..none },
                Operand::Tensor(at) => {
                    Source { base: tensors[*at], picture: blocks * plane, block: plane, moves: true }
                }
                Operand::Pixel(at) => {
                    Source { base: tensors[*at], picture: blocks * BLOCK, block: BLOCK, moves: false }
                }
            };
        }
        Operands { sources }
    }

    /// Over `length` vectors; `input` and `output` may be the same.
    ///
    /// # Safety
    ///
    /// Both have as many vectors, and so have the operands that move.
    pub(super) unsafe fn run(
        &self,
        isa: Isa,
        input: *const f32,
        output: *mut f32,
        length: usize,
        operands: [(*const f32, usize); OPERANDS],
    ) {
        let ops = self.ops.as_slice();
        // SAFETY: as the caller's.
        unsafe {
            on!(isa, run(ops: &[Op], input: *const f32, output: *mut f32, length: usize, operands: [(*const f32, usize); OPERANDS]));
        }
    }
}

impl Operands {
    /// Pointers and steps for what begins at float `at` of a block's plane.
    pub(super) fn at(&self, n: usize, block: usize, at: usize) -> [(*const f32, usize); OPERANDS] {
        self.sources.map(|s| {
            let offset = n * s.picture + block * s.block + if s.moves { at } else { 0 };
            (s.base.wrapping_add(offset), if s.moves { BLOCK } else { 0 })
        })
    }
}

#[inline(always)]
unsafe fn run<V: Lanes>(
    ops: &[Op],
    input: *const f32,
    output: *mut f32,
    length: usize,
    operands: [(*const f32, usize); OPERANDS],
) {
    let mut registers = [std::mem::MaybeUninit::<[f32; RUN * BLOCK]>::uninit(); REGISTERS];
    for from in (0..length).step_by(RUN) {
        let count = RUN.min(length - from);
        for (at, op) in ops.iter().enumerate() {
            let [a, b, c] = op.args.map(|arg| match arg {
                Arg::Input => (input.wrapping_add(from * BLOCK), BLOCK),
                Arg::Register(r) => (registers[r].as_ptr().cast(), BLOCK),
                Arg::Operand(o) => {
                    let (base, step) = operands[o];
                    (base.wrapping_add(from * step), step)
                }
            });
            let to = if at + 1 == ops.len() {
                output.wrapping_add(from * BLOCK)
            } else {
                registers[op.to].as_mut_ptr().cast()
            };
            macro_rules! each {
                (|$($name:ident = $arg:ident),+| $result:expr) => {
                    for i in 0..count {
                        $(let $name = V::load($arg.0.add(i * $arg.1));)+
                        $result.store(to.add(i * BLOCK));
                    }
                };
            }
            // SAFETY: as the caller says; a register is written before it is read.
            unsafe {
                match op.code {
                    Code::Add => each!(|x = a, y = b| x.add(y)),
                    Code::Sub => each!(|x = a, y = b| x.sub(y)),
                    Code::Mul => each!(|x = a, y = b| x.mul(y)),
                    Code::Div => each!(|x = a, y = b| x.div(y)),
                    // NaN stays, as it is the right one of the two; so it does below.
                    Code::Max => each!(|x = a, y = b| y.max(x)),
                    Code::Min => each!(|x = a, y = b| y.min(x)),
                    Code::MulAdd => each!(|x = a, y = b, z = c| x.mul_add(y, z)),
                    Code::Clamp => each!(|x = a, low = b, high = c| high.min(low.max(x))),
                    Code::Sigmoid => each!(|x = a| sigmoid(x)),
                    Code::Silu => each!(|x = a| x.mul(sigmoid(x))),
                    Code::Exp => each!(|x = a| exp(x)),
                    Code::Leaky => {
                        let zero = V::splat(0.0);
                        each!(|x = a, slope = b| zero.min(x).mul_add(slope, zero.max(x)))
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn sigmoid<V: Lanes>(x: V) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let one = V::splat(1.0);
        one.div(one.add(exp(V::splat(0.0).sub(x))))
    }
}
