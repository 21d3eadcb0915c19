//! [`Chain`]: elementwise nodes behind a node, gathered while they fit, then cut to what one [`Program`] can do.

use std::collections::HashMap;

use tract_onnx::prelude::*;

use super::lanes::BLOCK;
use super::map::{Arg, Code, OPERANDS, Op, Operand, Program, REGISTERS};
use super::parts::{Kernel, Unary};

/// What an operation reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// What the chain starts from
    Start,
    /// The result of the operation of this number
    Made(usize),
    Operand(usize),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    code: Code,
    args: [Option<Value>; 3],
}

/// Operations in the order of the graph.
#[derive(Default)]
pub(super) struct Chain {
    operations: Vec<Operation>,
    operands: Vec<Operand>,
    /// What the chain has made, by outlet of the graph.
    pub(super) values: HashMap<OutletId, Value>,
}

impl Chain {
    pub(super) fn new(start: OutletId) -> Self {
        Self { values: HashMap::from([(start, Value::Start)]), ..Self::default() }
    }

    /// To come back to with [`Chain::cut`].
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.operations.len(), self.operands.len())
    }

    pub(super) fn cut(&mut self, (operations, operands): (usize, usize)) {
        self.operations.truncate(operations);
        self.operands.truncate(operands);
        self.values.retain(|_, v| !matches!(v, Value::Made(at) if *at >= operations));
    }

    /// Whether there is room for any one node more.
    pub(super) fn has_room(&self) -> bool {
        self.operations.len() < 16 && self.operands.len() + 4 <= OPERANDS
    }

    pub(super) fn scalar(&mut self, x: f32) -> Value {
        self.operand(Operand::Scalar([x; BLOCK]))
    }

    pub(super) fn operand(&mut self, operand: Operand) -> Value {
        self.operands.push(operand);
        Value::Operand(self.operands.len() - 1)
    }

    pub(super) fn binary(&mut self, code: Code, a: Value, b: Value) -> Value {
        self.push(code, [Some(a), Some(b), None])
    }

    pub(super) fn unary(&mut self, unary: Unary, x: Value) -> Value {
        match unary {
            Unary::Plain(code) => self.push(code, [Some(x), None, None]),
            Unary::Leaky(slope) => {
                let slope = self.scalar(slope);
                self.binary(Code::Leaky, x, slope)
            }
            Unary::HardSwish => {
                let (sixth, half) = (self.scalar(1.0 / 6.0), self.scalar(0.5));
                let gate = self.push(Code::MulAdd, [Some(x), Some(sixth), Some(half)]);
                let (zero, one) = (self.scalar(0.0), self.scalar(1.0));
                let gate = self.push(Code::Clamp, [Some(gate), Some(zero), Some(one)]);
                self.binary(Code::Mul, x, gate)
            }
            Unary::Negative => {
                let minus = self.scalar(-1.0);
                self.binary(Code::Mul, x, minus)
            }
            Unary::Square => self.binary(Code::Mul, x, x),
        }
    }

    fn push(&mut self, code: Code, args: [Option<Value>; 3]) -> Value {
        self.operations.push(Operation { code, args });
        Value::Made(self.operations.len() - 1)
    }

    /// Moves constant factors and terms that come first into a convolution's weights and bias.
    pub(super) fn fold_into(&mut self, kernel: &mut Kernel) {
        let outputs = kernel.bias.len();
        while let Some(Operation { code, args: [Some(a), Some(b), None] }) = self.operations.first().copied()
        {
            let of = |value: Value| match value {
                Value::Operand(at) => match &self.operands[at] {
                    Operand::Scalar(x) => Some(vec![x[0]; outputs]),
                    Operand::Channels(x) => Some(x[..outputs].to_vec()),
                    _ => None,
                },
                _ => None,
            };
            let constant = match (a, b) {
                (Value::Start, b) => of(b),
                (a, Value::Start) if matches!(code, Code::Add | Code::Mul) => of(a),
                _ => None,
            };
            if self.uses(Value::Start) != 1 {
                return;
            }
            let Some(constant) = constant else { return };
            let (factor, term): (Vec<f32>, Vec<f32>) = constant
                .into_iter()
                .map(|x| match code {
                    Code::Add => Some((1.0, x)),
                    Code::Sub => Some((1.0, -x)),
                    Code::Mul => Some((x, 0.0)),
                    Code::Div => Some((1.0 / x, 0.0)),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .unwrap_or_default()
                .into_iter()
                .unzip();
            if factor.is_empty() || factor.iter().any(|f| !f.is_finite()) {
                return;
            }
            for (o, (factor, term)) in factor.into_iter().zip(term).enumerate() {
                kernel.factors[o] *= factor;
                kernel.bias[o] = kernel.bias[o] * factor + term;
            }
            self.operations.remove(0);
            for value in self.operations.iter_mut().flat_map(|o| o.args.iter_mut().flatten()) {
                *value = match *value {
                    Value::Made(0) => Value::Start,
                    Value::Made(at) => Value::Made(at - 1),
                    other => other,
                };
            }
        }
    }

    fn uses(&self, value: Value) -> usize {
        self.operations.iter().flat_map(|o| o.args).filter(|v| *v == Some(value)).count()
    }

    /// The shortest form of it; `None` if it needs more registers than there are.
    pub(super) fn program(mut self) -> Option<Program> {
        self.shorten();
        let last = |value: usize, operations: &[Operation]| {
            operations.iter().rposition(|o| o.args.contains(&Some(Value::Made(value))))
        };
        let mut free: Vec<usize> = (0..REGISTERS).rev().collect();
        let mut registers: Vec<usize> = Vec::new();
        let mut ops = Vec::new();
        for (at, operation) in self.operations.iter().enumerate() {
            let args = operation.args.map(|value| match value {
                None | Some(Value::Start) => Arg::Input,
                Some(Value::Made(made)) => Arg::Register(registers[made]),
                Some(Value::Operand(operand)) => Arg::Operand(operand),
            });
            // Each vector is read before it is written, so the result may take the place of an argument.
            let mut dying: Vec<usize> = operation
                .args
                .iter()
                .filter_map(|v| if let Some(Value::Made(made)) = v { Some(*made) } else { None })
                .filter(|made| last(*made, &self.operations) == Some(at))
                .collect();
            dying.sort_unstable();
            dying.dedup();
            free.extend(dying.into_iter().map(|made| registers[made]));
            let to = free.pop()?;
            registers.push(to);
            ops.push(Op { code: operation.code, args, to });
        }
        Some(Program { ops, operands: self.operands })
    }

    fn shorten(&mut self) {
        for at in 0..self.operations.len() {
            let Operation { code, args } = self.operations[at];
            let alone = |value: Option<Value>| match value {
                Some(Value::Made(made)) if self.uses(Value::Made(made)) == 1 => Some(self.operations[made]),
                _ => None,
            };
            let constant = |value: Option<Value>| matches!(value, Some(Value::Operand(_)));
            let [a, b, _] = args;
            match code {
                Code::Div => {
                    if let Some(Value::Operand(operand)) = b
                        && let Operand::Scalar(x) = self.operands[operand]
                        && x[0].is_normal()
                        && (1.0 / x[0]).is_normal()
                    {
                        let Value::Operand(inverse) = self.scalar(1.0 / x[0]) else { continue };
                        if inverse < OPERANDS {
                            self.operations[at] =
                                Operation { code: Code::Mul, args: [a, Some(Value::Operand(inverse)), None] };
                        } else {
                            self.operands.pop();
                        }
                    }
                }
                Code::Min if constant(b) => {
                    if let Some(Operation { code: Code::Max, args: [x, low, _] }) = alone(a)
                        && constant(low)
                    {
                        self.operations[at] = Operation { code: Code::Clamp, args: [x, low, b] };
                    }
                }
                Code::Add => {
                    let sides = [(alone(a), b), (alone(b), a)];
                    let found = sides.into_iter().find_map(|(side, other)| match side {
                        Some(Operation { code: Code::Mul, args: [x, y, _] }) => {
                            Some(Operation { code: Code::MulAdd, args: [x, y, other] })
                        }
                        _ => None,
                    });
                    if let Some(operation) = found {
                        self.operations[at] = operation;
                    }
                }
                Code::Mul => {
                    let sides = [(alone(a), b), (alone(b), a)];
                    let found = sides.into_iter().find_map(|(side, other)| match side {
                        Some(Operation { code: Code::Sigmoid, args: [x, ..] }) if x == other => {
                            Some(Operation { code: Code::Silu, args: [x, None, None] })
                        }
                        _ => None,
                    });
                    if let Some(operation) = found {
                        self.operations[at] = operation;
                    }
                }
                _ => {}
            }
        }
        // What was taken up by another has no use left, and is not the result.
        let mut at = 0;
        while at + 1 < self.operations.len() {
            if self.uses(Value::Made(at)) > 0 {
                at += 1;
                continue;
            }
            self.operations.remove(at);
            for value in self.operations.iter_mut().flat_map(|o| o.args.iter_mut().flatten()) {
                if let Value::Made(made) = value
                    && *made > at
                {
                    *made -= 1;
                }
            }
        }
    }
}
