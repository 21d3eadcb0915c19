//! Every kernel against a plain walk over the forest as it is described, to the bit.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::super::{Arithmetic, Branch, Compare, Link, Node, Rounding, Set, Test, Way, ZERO};
use super::*;

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Mostly small steps, so that ties occur; sometimes what is on the edge of a type.
    fn threshold(&mut self) -> f64 {
        const EDGES: [f64; 12] = [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e-40,
            -1e-310,
            ZERO,
            f32::MAX as f64,
            1e39,
            0.1,
            -1.0 / 3.0,
            f64::MIN,
        ];
        match self.below(10) {
            0 => EDGES[self.below(EDGES.len())],
            1 => self.next() as f64 / 2f64.powi(50) - 4.0,
            _ => (self.below(400) as f64 - 200.0) / 8.0,
        }
    }

    /// Of a leaf. Sums of infinities may be NaN, whose bits are nobody's promise.
    fn weight_of(&mut self, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Min | Aggregate::Max if self.chance(5) => f64::INFINITY.copysign(self.weight()),
            _ => self.weight(),
        }
    }

    fn weight(&mut self) -> f64 {
        (self.next() as f64 / 2f64.powi(52) - 1.0) * 10f64.powi(self.below(7) as i32 - 3)
    }
}

/// What kind of forest is made.
#[derive(Clone, Copy, Debug)]
struct Kind {
    features: usize,
    outputs: usize,
    trees: usize,
    depth: u32,
    /// Percent of the nodes above `depth` that are branches
    branching: usize,
    /// Percent of branches that are no plain cut
    odd: usize,
    zero_is_missing: bool,
    one_output: bool,
    aggregate: Aggregate,
    arithmetic: Arithmetic,
    compare: Compare,
}

fn forest(kind: Kind, random: &mut Random) -> Checked {
    let average = matches!(kind.aggregate, Aggregate::Average(_));
    let base_order = if !average && kind.aggregate == Aggregate::Sum && random.chance(50) {
        Base::First
    } else {
        Base::Last
    };
    let mut forest = Forest {
        features: kind.features,
        outputs: kind.outputs,
        nodes: vec![],
        roots: vec![],
        weights: vec![],
        sets: (0..8).map(|at| set(at, random)).collect(),
        aggregate: kind.aggregate,
        base: (0..kind.outputs).map(|_| random.weight()).collect(),
        base_order,
        scale: if base_order == Base::Last && random.chance(30) { 0.3 } else { 1.0 },
        arithmetic: kind.arithmetic,
        compare: kind.compare,
        link: Link::Identity,
    };
    // One comparison in most forests, as libraries write them.
    let common = random.below(4);
    for tree in 0..kind.trees {
        let root = forest.nodes.len() as u32;
        forest.roots.push(root);
        forest.nodes.push(Node::Leaf { first: 0, count: 0 });
        let mut waiting = vec![(root, 0)];
        while let Some((at, depth)) = waiting.pop() {
            if depth == kind.depth || !random.chance(kind.branching) {
                let first = forest.weights.len() as u32;
                let count = if kind.one_output { 1 } else { random.below(kind.outputs + 1) };
                for output in 0..count {
                    let output = if kind.one_output { tree % kind.outputs } else { output };
                    forest.weights.push((output as u32, random.weight_of(kind.aggregate)));
                }
                forest.nodes[at as usize] = Node::Leaf { first, count: count as u32 };
                continue;
            }
            let children = forest.nodes.len() as u32;
            forest.nodes.extend([Node::Leaf { first: 0, count: 0 }; 2]);
            let t = random.threshold();
            let test = match if random.chance(kind.odd) { random.below(7) } else { common } {
                0 => Test::Less(t),
                1 => Test::LessEqual(t),
                2 => Test::Greater(t),
                3 => Test::GreaterEqual(t),
                4 => Test::Equal(t),
                5 => Test::NotEqual(t),
                _ => Test::Member(random.below(8) as u32),
            };
            forest.nodes[at as usize] = Node::Branch(Branch {
                feature: random.below(kind.features) as u32,
                test,
                nan: if random.chance(50) { Way::Yes } else { Way::No },
                zero_is_missing: kind.zero_is_missing && random.chance(50),
                yes: children,
                no: children + 1,
            });
            waiting.extend([(children, depth + 1), (children + 1, depth + 1)]);
        }
    }
    forest.check().unwrap()
}

fn set(at: usize, random: &mut Random) -> Set {
    match at % 3 {
        0 => Set::Values((0..5).map(|_| random.threshold()).collect()),
        _ => Set::Categories {
            bits: (0..at / 3).map(|_| random.next() << 11 ^ random.next()).collect(),
            rounding: if at % 3 == 1 { Rounding::Floor } else { Rounding::TowardsZero },
        },
    }
}

/// The definition. `x` has been rounded to f32 already where that is what rows come in.
fn goes_yes(forest: &Forest, branch: &Branch, x: f64) -> bool {
    if x.is_nan() || branch.zero_is_missing && x.abs() <= ZERO {
        return branch.nan == Way::Yes;
    }
    let narrow = |t: f64| if forest.compare == Compare::F32 { f64::from(t as f32) } else { t };
    match branch.test {
        Test::Less(t) => x < narrow(t),
        Test::LessEqual(t) => x <= narrow(t),
        Test::Greater(t) => x > narrow(t),
        Test::GreaterEqual(t) => x >= narrow(t),
        Test::Equal(t) => x == narrow(t),
        Test::NotEqual(t) => x != narrow(t),
        Test::Member(set) => forest.sets[set as usize].contains(x),
    }
}

fn reference<A: Real>(forest: &Forest, row: &[f64]) -> Vec<A> {
    let base = |output: usize| A::of(forest.base[output]);
    let mut totals: Vec<Option<A>> = match forest.base_order {
        Base::First => (0..forest.outputs).map(|output| Some(base(output))).collect(),
        Base::Last => vec![None; forest.outputs],
    };
    for &root in &forest.roots {
        let mut at = root;
        let (first, count) = loop {
            match &forest.nodes[at as usize] {
                Node::Leaf { first, count } => break (*first as usize, *count as usize),
                Node::Branch(branch) => {
                    let yes = goes_yes(forest, branch, row[branch.feature as usize]);
                    at = if yes { branch.yes } else { branch.no };
                }
            }
        };
        for (output, weight) in &forest.weights[first..first + count] {
            let (total, weight) = (&mut totals[*output as usize], A::of(*weight));
            *total = Some(match (*total, forest.aggregate) {
                (None, Aggregate::Sum | Aggregate::Average(_)) => A::ZERO + weight,
                (None, _) => weight,
                (Some(total), Aggregate::Min) => {
                    if weight < total {
                        weight
                    } else {
                        total
                    }
                }
                (Some(total), Aggregate::Max) => {
                    if weight > total {
                        weight
                    } else {
                        total
                    }
                }
                (Some(total), _) => total + weight,
            });
        }
    }
    let finish = |(output, total): (usize, Option<A>)| {
        let mut total = total.unwrap_or(A::ZERO);
        if let Aggregate::Average(count) = forest.aggregate {
            total = total / A::of(count);
        }
        total = if forest.scale == 1.0 { total } else { A::of(forest.scale) * total };
        if forest.base_order == Base::Last { total + base(output) } else { total }
    };
    totals.into_iter().enumerate().map(finish).collect()
}

/// Values that meet thresholds, lie beside them, or are on the edge.
fn rows<T: Real>(forest: &Forest, count: usize, random: &mut Random) -> Vec<T> {
    let clean = random.chance(30);
    let mut value = || match random.below(12) {
        0 if !clean => T::NAN,
        1 => T::of(
            [f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-40, 1e-320, ZERO, 2e-35, -1e-36]
                [random.below(9)],
        ),
        2 | 3 => T::of(random.below(70) as f64 - 1.5),
        4 => T::of(random.threshold() + 1e-7),
        _ => T::of(random.threshold()),
    };
    (0..count * forest.features).map(|_| value()).collect()
}

/// Everything that this processor can do.
fn choices() -> Vec<Choice> {
    let best = Choice::detect();
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "an instruction of x86"))]
    let mut choices = vec![
        best,
        Choice { codes: false, ..best },
        Choice { lanes: Lanes::Common, gathers: false, masks_depth: 8, ..best },
        Choice { masks_depth: 2, ..best },
        Choice { masks_depth: 8, gathers: false, ..best },
    ];
    #[cfg(target_arch = "x86_64")]
    if best.lanes == Lanes::Avx512 {
        choices.push(Choice { lanes: Lanes::Avx2, gathers: false, masks_depth: 8, ..best });
    }
    choices
}

fn compare<T: Real, A: Real>(forest: &Checked, seed: u64, kind: Kind, random: &mut Random) {
    for count in [1, 2, 17, 63, 64, 65, 200, BLOCK + 70] {
        let choice = choices()[random.below(choices().len())];
        let kernel = Kernel::<T, A>::with(forest, choice);
        let rows = rows::<T>(forest, count, random);
        let got = kernel.scores(&rows, forest.features).unwrap();
        for (at, row) in rows.chunks(forest.features).enumerate() {
            let wide: Vec<f64> = row.iter().map(|x| x.wide()).collect();
            let expected = reference::<A>(forest, &wide);
            let got = &got[at * forest.outputs..][..forest.outputs];
            let same = expected.iter().zip(got).all(|(e, g)| e.wide().to_bits() == g.wide().to_bits());
            assert!(
                same,
                "seed {seed}, {kind:?}, {choice:?}, row {at} of {count}: expected {expected:?}, got {got:?}\n{row:?}"
            );
        }
    }
}

#[test]
fn scores_that_no_memory_holds_are_refused() {
    for rows in [usize::MAX, usize::MAX / 8] {
        let refused = starting_scores(rows, 4, 0.0f32).map_err(|cause| cause.to_string());
        assert_eq!(refused, Err(format!("no memory for 4 scores of each of {rows} rows")));
    }
}

#[test]
fn every_kernel_answers_as_the_definition_says() {
    for seed in 1..240 {
        let mut random = Random(seed * 0x9e37_79b9_7f4a_7c15);
        let outputs = [1, 1, 2, 3, 7][random.below(5)];
        let trees = [1, 3, 16, 40, 90][random.below(5)];
        let kind = Kind {
            features: [1, 2, 4, 10, 50, 70, 150, 300][random.below(8)],
            outputs,
            trees,
            depth: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 20][random.below(12)],
            branching: [100, 95, 80][random.below(3)],
            odd: [0, 0, 5, 100][random.below(4)],
            zero_is_missing: random.chance(20),
            one_output: random.chance(70),
            aggregate: match random.below(8) {
                0 => Aggregate::Average(trees as f64),
                1 => Aggregate::Min,
                2 => Aggregate::Max,
                _ => Aggregate::Sum,
            },
            arithmetic: Arithmetic::F32,
            compare: if random.chance(50) { Compare::F32 } else { Compare::F64 },
        };
        // Full trees of depth 20 are not wanted.
        let kind = Kind { branching: if kind.depth > 9 { 65 } else { kind.branching }, ..kind };
        let forest = forest(kind, &mut random);
        compare::<f32, f32>(&forest, seed, kind, &mut random);
        compare::<f32, f64>(&forest, seed, kind, &mut random);
        if kind.compare == Compare::F64 {
            compare::<f64, f32>(&forest, seed, kind, &mut random);
            compare::<f64, f64>(&forest, seed, kind, &mut random);
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "it has no threads")]
fn any_number_of_threads_answers_to_the_same_bits() {
    let mut random = Random(7);
    for (depth, outputs, aggregate) in [
        (4, 1, Aggregate::Sum),
        (9, 3, Aggregate::Sum),
        (12, 1, Aggregate::Average(90.0)),
        (6, 2, Aggregate::Max),
    ] {
        let kind = Kind {
            features: 10,
            outputs,
            trees: 90,
            depth,
            branching: 80,
            odd: 5,
            zero_is_missing: false,
            one_output: outputs == 3,
            aggregate,
            arithmetic: Arithmetic::F32,
            compare: Compare::F32,
        };
        let forest = forest(kind, &mut random);
        for choice in choices() {
            let kernel = Kernel::<f32, f32>::with(&forest, choice);
            for count in [1, 63, 5826, 2 * 5826 - 1, 12_001, 16_399] {
                let rows = rows::<f32>(&forest, count, &mut random);
                let bits = |threads| {
                    let scores = threads::allow(threads, || kernel.scores(&rows, forest.features)).unwrap();
                    scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let expected = bits(1);
                for threads in 2..=4 {
                    assert_eq!(
                        bits(threads),
                        expected,
                        "{kind:?}, {choice:?}, {count} rows, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "it has no threads")]
fn threads_are_used_where_there_is_work_for_them() {
    let worth = |threads, rows, trees| threads::allow(threads, || threads::worth(rows, trees));
    assert_eq!(threads::worth(usize::MAX, 1), 1, "without leave");
    assert_eq!(worth(4, 100, 500), 1);
    assert_eq!(worth(4, 1_100, 500), 2);
    assert_eq!(worth(2, 20_000, 500), 2);
    assert_eq!(worth(0, 20_000, 500), 1);
    assert_eq!(worth(4, 20_000, 0), 1, "without trees");
}
