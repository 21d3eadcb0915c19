//! [`join`]: convolutions that read the parts of their input where those lie, instead of a copy that another step makes.

use super::lanes::BLOCK;
use super::map::Operand;
use super::moves::Taps;
use super::shape::{Layout, Shape};
use super::steps::{Kind, Step, ValueId};
use super::winograd::{Pixels, Source};

/// Leaves out the steps that double a picture's rows and columns, and the concatenation behind them, where a convolution
/// reads all that they make and nothing else does.
pub(super) fn join(values: &[Shape], steps: &mut Vec<Step>, outputs: &[ValueId]) {
    let mut gone = vec![false; steps.len()];
    for at in 0..steps.len() {
        let Some((parts, sources, unused)) = parts(values, steps, outputs, at) else { continue };
        let step = &mut steps[at];
        let Kind::Winograd(winograd) = &mut step.kind else { continue };
        winograd.read_from(sources);
        let more = parts.len() - 1;
        step.inputs.splice(..1, parts);
        for operand in &mut step.program.operands {
            if let Operand::Tensor(input) | Operand::Pixel(input) = operand {
                *input += more;
            }
        }
        unused.into_iter().for_each(|step| gone[step] = true);
    }
    let mut gone = gone.into_iter();
    steps.retain(|_| !gone.next().unwrap_or(false));
}

/// The values that a convolution may read instead of its input, what they are of it, and the steps that are of no use then.
#[allow(clippy::type_complexity, reason = "taken apart where it is called")]
fn parts(
    values: &[Shape],
    steps: &[Step],
    outputs: &[ValueId],
    at: usize,
) -> Option<(Vec<ValueId>, Vec<Source>, Vec<usize>)> {
    let Kind::Winograd(_) = &steps[at].kind else { return None };
    let maker = |value: ValueId| {
        let reads = steps.iter().flat_map(|step| &step.inputs).filter(|input| **input == value).count();
        let made = steps.iter().position(|step| step.output == value && step.program.is_empty());
        made.filter(|_| reads == 1 && !outputs.contains(&value))
    };
    let mut unused = Vec::new();
    let mut parts = vec![steps[at].inputs[0]];
    if let Some(concat) = maker(parts[0])
        && matches!(steps[concat].kind, Kind::Concat)
    {
        parts.clone_from(&steps[concat].inputs);
        unused.push(concat);
    }
    let mut sources = Vec::new();
    for part in &mut parts {
        let shape = values[*part];
        let doubling = maker(*part).filter(|step| match &steps[*step].kind {
            Kind::Resize { rows, columns } => {
                let from = &values[steps[*step].inputs[0]];
                doubles(rows, from.h) && doubles(columns, from.w)
            }
            _ => false,
        });
        match doubling {
            Some(step) => {
                *part = steps[step].inputs[0];
                sources.push(Source { shape: values[*part], pixels: Pixels::Doubled });
                unused.push(step);
            }
            None => sources.push(Source { shape, pixels: Pixels::Same }),
        }
    }
    let begins = sources.iter().take(sources.len() - 1).all(|source| source.shape.c.is_multiple_of(BLOCK));
    let blocked = sources.iter().all(|source| source.shape.layout == Layout::Blocked);
    let gains = sources.iter().any(|source| source.pixels == Pixels::Doubled);
    (begins && blocked && gains).then_some((parts, sources, unused))
}

/// Whether every element becomes two, one after the other.
fn doubles(taps: &Taps, length: usize) -> bool {
    taps.0.len() == 2 * length && taps.0.iter().enumerate().all(|(at, taps)| taps[..] == [(at / 2, 1.0)])
}
