//! A [`Forest`] in the compact form: columns of nodes and weights.

use super::{Reader, Writer, wrong};
use crate::Error;
use crate::forest::{Aggregate, Arithmetic, Base, Branch, Compare, Forest, Node, Rounding, Set, Test, Way};

/// The low bits of a node's tag: a leaf, or the test.
const LEAF: u8 = 7;
const KIND: u8 = 7;
/// In a branch's tag: NaN goes where the test holds.
const NAN_YES: u8 = 1 << 3;
/// In a branch's tag: zeros go where NaN goes.
const ZERO_MISSING: u8 = 1 << 4;

pub(super) fn write(out: &mut Writer, forest: &Forest) {
    out.count(forest.features);
    out.count(forest.outputs);
    let (aggregate, divisor) = match forest.aggregate {
        Aggregate::Sum => (0, 0.0),
        Aggregate::Average(divisor) => (1, divisor),
        Aggregate::Min => (2, 0.0),
        Aggregate::Max => (3, 0.0),
    };
    out.byte(aggregate);
    out.bytes(&f64::to_le_bytes(divisor));
    out.list(&forest.base, |out, base| out.bytes(&base.to_le_bytes()));
    out.byte(u8::from(forest.base_order == Base::Last));
    out.bytes(&forest.scale.to_le_bytes());
    out.byte(u8::from(forest.arithmetic == Arithmetic::F64));
    out.byte(u8::from(forest.compare == Compare::F64));
    out.link(forest.link);
    out.list(&forest.roots, |out, root| out.bytes(&root.to_le_bytes()));
    out.list(&forest.sets, |out, set| match set {
        Set::Categories { bits, rounding } => {
            out.byte(u8::from(*rounding == Rounding::TowardsZero));
            out.list(bits, |out, word| out.bytes(&word.to_le_bytes()));
        }
        Set::Values(values) => {
            out.byte(2);
            out.list(values, |out, value| out.bytes(&value.to_le_bytes()));
        }
    });

    let nodes = &forest.nodes;
    out.count(nodes.len());
    nodes.iter().for_each(|node| out.byte(tag(node)));
    let column = |out: &mut Writer, of: &dyn Fn(&Node) -> u32| {
        nodes.iter().for_each(|node| out.bytes(&of(node).to_le_bytes()));
    };
    column(out, &|node| match node {
        Node::Branch(branch) => branch.feature,
        Node::Leaf { first, .. } => *first,
    });
    column(out, &|node| match node {
        Node::Branch(branch) => branch.yes,
        Node::Leaf { count, .. } => *count,
    });
    column(out, &|node| if let Node::Branch(branch) = node { branch.no } else { 0 });
    numbers(
        out,
        nodes.iter().map(|node| if let Node::Branch(branch) = node { value(branch.test) } else { 0.0 }),
    );

    let weights = &forest.weights;
    out.count(weights.len());
    weights.iter().for_each(|(output, _)| out.bytes(&output.to_le_bytes()));
    numbers(out, weights.iter().map(|(_, weight)| *weight));
}

pub(super) fn read(input: &mut Reader) -> Result<Forest, Error> {
    let (features, outputs) = (input.count()?, input.count()?);
    let (aggregate, divisor) = (input.byte()?, input.number()?);
    let aggregate = match aggregate {
        0 => Aggregate::Sum,
        1 => Aggregate::Average(divisor),
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(wrong(&format!("expected an aggregate below 4, got {other}"))),
    };
    let base = input.list(8, Reader::number)?;
    let base_order = input.one_of(&[Base::First, Base::Last])?;
    let scale = input.number()?;
    let arithmetic = input.one_of(&[Arithmetic::F32, Arithmetic::F64])?;
    let compare = input.one_of(&[Compare::F32, Compare::F64])?;
    let link = input.link()?;
    let roots = input.list(4, |input| input.take().map(u32::from_le_bytes))?;
    let sets = input.list(5, |input| {
        let rounding = match input.byte()? {
            0 => Rounding::Floor,
            1 => Rounding::TowardsZero,
            2 => return input.list(8, Reader::number).map(Set::Values),
            other => return Err(wrong(&format!("expected a set below 3, got {other}"))),
        };
        let bits = input.list(8, |input| input.take().map(u64::from_le_bytes))?;
        Ok(Set::Categories { bits, rounding })
    })?;

    let count = input.length(17)?;
    let tags = input.slice(count)?;
    let (first, second, third) = (input.slice(count * 4)?, input.slice(count * 4)?, input.slice(count * 4)?);
    let values = Numbers::read(input, count)?;
    let mut nodes = Vec::with_capacity(count);
    let columns = columns(first).zip(columns(second)).zip(columns(third));
    for (at, (tag, ((first, second), third))) in tags.iter().zip(columns).enumerate() {
        nodes.push(match tag & KIND {
            LEAF => Node::Leaf { first, count: second },
            kind => Node::Branch(Branch {
                feature: first,
                test: test(kind, values.get(at))?,
                nan: if tag & NAN_YES != 0 { Way::Yes } else { Way::No },
                zero_is_missing: tag & ZERO_MISSING != 0,
                yes: second,
                no: third,
            }),
        });
    }
    let count = input.length(8)?;
    let of = columns_of(input, count)?;
    let values = Numbers::read(input, count)?;
    let weights = of.enumerate().map(|(at, output)| (output, values.get(at))).collect();
    Ok(Forest {
        features,
        outputs,
        nodes,
        roots,
        weights,
        sets,
        aggregate,
        base,
        base_order,
        scale,
        arithmetic,
        compare,
        link,
    })
}

fn tag(node: &Node) -> u8 {
    let Node::Branch(branch) = node else { return LEAF };
    let kind = match branch.test {
        Test::Less(_) => 0,
        Test::LessEqual(_) => 1,
        Test::Greater(_) => 2,
        Test::GreaterEqual(_) => 3,
        Test::Equal(_) => 4,
        Test::NotEqual(_) => 5,
        Test::Member(_) => 6,
    };
    let nan = if branch.nan == Way::Yes { NAN_YES } else { 0 };
    kind | nan | if branch.zero_is_missing { ZERO_MISSING } else { 0 }
}

/// What a test compares with; a set's position is exact.
fn value(test: Test) -> f64 {
    match test {
        Test::Less(t)
        | Test::LessEqual(t)
        | Test::Greater(t)
        | Test::GreaterEqual(t)
        | Test::Equal(t)
        | Test::NotEqual(t) => t,
        Test::Member(set) => set.into(),
    }
}

fn test(kind: u8, value: f64) -> Result<Test, Error> {
    Ok(match kind {
        0 => Test::Less(value),
        1 => Test::LessEqual(value),
        2 => Test::Greater(value),
        3 => Test::GreaterEqual(value),
        4 => Test::Equal(value),
        5 => Test::NotEqual(value),
        _ if value >= 0.0 && value <= u32::MAX.into() && value.fract() == 0.0 => Test::Member(value as u32),
        _ => return Err(wrong(&format!("expected a set's position, got {value}"))),
    })
}

/// A byte that says how wide they are, and the numbers.
fn numbers(out: &mut Writer, numbers: impl Iterator<Item = f64> + Clone) {
    let fits = |x: f64| f64::from(x as f32).to_bits() == x.to_bits();
    if numbers.clone().all(fits) {
        out.byte(4);
        numbers.for_each(|x| out.bytes(&(x as f32).to_le_bytes()));
    } else {
        out.byte(8);
        numbers.for_each(|x| out.bytes(&x.to_le_bytes()));
    }
}

enum Numbers<'a> {
    F32(&'a [[u8; 4]]),
    F64(&'a [[u8; 8]]),
}

impl<'a> Numbers<'a> {
    fn read(input: &mut Reader<'a>, count: usize) -> Result<Self, Error> {
        match input.byte()? {
            4 => Ok(Self::F32(input.slice(count * 4)?.as_chunks().0)),
            8 => Ok(Self::F64(input.slice(count * 8)?.as_chunks().0)),
            other => Err(wrong(&format!("expected numbers of 4 or 8 bytes, got {other}"))),
        }
    }

    /// `at` is below the count that was read.
    fn get(&self, at: usize) -> f64 {
        match self {
            Self::F32(numbers) => f32::from_le_bytes(numbers[at]).into(),
            Self::F64(numbers) => f64::from_le_bytes(numbers[at]),
        }
    }
}

fn columns(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

fn columns_of<'a>(
    input: &mut Reader<'a>,
    count: usize,
) -> Result<impl Iterator<Item = u32> + use<'a>, Error> {
    input.slice(count * 4).map(columns)
}
