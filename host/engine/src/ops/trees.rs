//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor` of `ai.onnx.ml` 1 to 3, `TreeEnsemble` of 5: `[N, F]` in, scores
//! `[N, C]` out, after the labels `[N]` for a classifier. tract has the first only, some hundred times slower, and reads
//! comparisons by `>=` as leaves.

mod answer;
mod read;
mod read5;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use self::answer::{Binary, many_classes, two_classes};
use super::labels::Labels;
use super::scores::Transform;
use crate::forest::{
    Aggregate, Arithmetic, Checked, Compare, Ensemble, Forest, Node, Real, RowType, Rows, Scores,
};

/// The operator as the file has it; the kernel is chosen when the dtype of the rows is known.
#[derive(Clone, Debug)]
struct Trees(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    forest: Checked,
    answer: Answer,
}

#[derive(Clone, Debug)]
struct Answer {
    transform: Transform,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Scores are f32.
    Classifier {
        labels: Labels,
        binary: Binary,
        base: Vec<f64>,
        /// For each class that no tree always speaks of, the forest's output that counts how many did
        seen: Vec<Option<usize>>,
    },
    /// Scores are f32.
    Regressor { targets: usize },
    /// Scores have the dtype of the rows.
    Ensemble { targets: usize },
}

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn classifier(context: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::read(node, "classlabels_int64s")?;
    let classes = labels.len();
    ensure!(classes >= 2, "expected at least 2 class labels, got {classes}");
    let mut forest = read::forest(context, node, "class", classes)?;
    // What follows takes for granted that it holds together.
    forest = forest.check()?.into_forest();
    let weights = &forest.weights;
    let binary = Binary {
        one_sided: weights.windows(2).all(|pair| pair[0].0 == pair[1].0),
        probabilities: weights.iter().all(|(_, weight)| *weight >= 0.0),
    };
    let base = base(context, node, &[0, classes, if classes == 2 { 1 } else { classes }])?;
    let seen = count_seen(&mut forest);
    built(node, forest, Kind::Classifier { labels, binary, base, seen })
}

pub(super) fn regressor(context: &ParsingContext, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let mut forest = read::forest(context, node, "target", targets)?;
    forest.base = base(context, node, &[0, targets])?;
    forest.aggregate = match node.get_attr_opt("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average(forest.roots.len() as f64),
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => bail!("aggregate_function: expected SUM, AVERAGE, MIN or MAX, got {other:?}"),
    };
    built(node, forest, Kind::Regressor { targets })
}

pub(super) fn ensemble(context: &ParsingContext, node: &NodeProto) -> Built {
    let forest = read5::forest(context, node)?;
    let kind = Kind::Ensemble { targets: forest.outputs };
    let forest = forest.check()?;
    let answer = Answer { transform: read5::transform(node)?, kind };
    Ok((expand(Trees(Arc::new(Parts { forest, answer }))), vec![]))
}

fn built(node: &NodeProto, forest: Forest, kind: Kind) -> Built {
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    let forest = forest.check()?;
    Ok((expand(Trees(Arc::new(Parts { forest, answer: Answer { transform, kind } }))), vec![]))
}

fn base(context: &ParsingContext, node: &NodeProto, lengths: &[usize]) -> TractResult<Vec<f64>> {
    let (base, _) = read::numbers(context, node, "base_values")?;
    let (expected, got) = (lengths[1], base.len());
    ensure!(lengths.contains(&got), "base_values: expected {expected}, got {got}");
    Ok(base)
}

/// Gives the forest an output for each class that no tree always speaks of: every leaf that does adds 1 to it.
fn count_seen(forest: &mut Forest) -> Vec<Option<usize>> {
    let classes = forest.outputs;
    let mut certain = vec![false; classes];
    // For each class the last leaf that spoke of it, and how many of this tree's did.
    let (mut named, mut leaf) = (vec![(0, 0); classes], 0);
    for &root in &forest.roots {
        let (mut waiting, mut classes, before) = (vec![root], vec![], leaf);
        while let Some(at) = waiting.pop() {
            match forest.nodes[at as usize] {
                Node::Branch(branch) => waiting.extend([branch.yes, branch.no]),
                Node::Leaf { first, count } => {
                    leaf += 1;
                    for (class, _) in &forest.weights[first as usize..(first + count) as usize] {
                        let (last, count) = &mut named[*class as usize];
                        if *last <= before {
                            *count = 0;
                            classes.push(*class);
                        }
                        if *last != leaf {
                            (*last, *count) = (leaf, *count + 1);
                        }
                    }
                }
            }
        }
        for class in classes {
            certain[class as usize] |= named[class as usize].1 == leaf - before;
        }
    }
    let mut seen = vec![None; classes];
    for (class, _) in certain.iter().enumerate().filter(|(_, certain)| !**certain) {
        seen[class] = Some(forest.outputs);
        forest.outputs += 1;
    }
    if forest.outputs == classes {
        return seen;
    }
    let mut placed = Vec::new();
    for (at, node) in forest.nodes.iter_mut().enumerate() {
        let Node::Leaf { first, count } = node else { continue };
        for &(class, weight) in &forest.weights[*first as usize..(*first + *count) as usize] {
            placed.push((at as u32, class, weight));
            placed.extend(seen[class as usize].map(|output| (at as u32, output as u32, 1.0)));
        }
        *count = 0;
    }
    forest.weights = read::place_weights(&mut forest.nodes, placed);
    seen
}

impl Answer {
    fn width(&self) -> usize {
        match &self.kind {
            Kind::Classifier { labels, .. } => labels.len(),
            Kind::Regressor { targets } | Kind::Ensemble { targets } => *targets,
        }
    }

    /// Positions of classes, and scores `[rows, width]`, from raw scores of so many `outputs` a row.
    fn of<A: Real>(&self, sums: &mut [A], outputs: usize) -> (Vec<usize>, Vec<f32>) {
        let width = self.width();
        let mut scores = vec![0f32; sums.len() / outputs * width];
        let rows = sums.chunks_exact_mut(outputs).zip(scores.chunks_exact_mut(width));
        let Kind::Classifier { binary, base, seen, .. } = &self.kind else {
            for (sums, scores) in rows {
                scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum.wide() as f32);
                self.transform.apply_to_targets(scores);
            }
            return (vec![], scores);
        };
        let base: Vec<A> = base.iter().map(|base| A::of(*base)).collect();
        let class = |(sums, scores): (&mut [A], &mut [f32])| {
            let (sums, counts) = sums.split_at_mut(width);
            let seen = |class: usize| seen[class].is_none_or(|output| counts[output - width] > A::ZERO);
            match width {
                2 => two_classes(sums, [seen(0), seen(1)], &base, self.transform, *binary, scores),
                _ => many_classes(sums, seen, &base, self.transform, scores),
            }
        };
        (rows.map(class).collect(), scores)
    }
}

impl Expansion for Trees {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(if matches!(self.0.answer.kind, Kind::Classifier { .. }) { 2 } else { 1 })
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.nboutputs()?)?;
        solver.equals(&inputs[0].rank, 2)?;
        if let Kind::Classifier { labels, .. } = &self.0.answer.kind {
            solver.equals(&outputs[0].datum_type, labels.datum())?;
            solver.equals(&outputs[0].rank, 1)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        let scores = &outputs[outputs.len() - 1];
        match &self.0.answer.kind {
            Kind::Ensemble { .. } => solver.equals(&scores.datum_type, &inputs[0].datum_type)?,
            _ => solver.equals(&scores.datum_type, DatumType::F32)?,
        }
        solver.equals(&scores.rank, 2)?;
        solver.equals(&scores.shape[0], &inputs[0].shape[0])?;
        solver.equals(&scores.shape[1], self.0.answer.width().to_dim())
    }

    /// f64 rows are compared with thresholds, and sums made, in f64; all others in f32 unless the attributes are doubles.
    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let Parts { forest, answer } = &*self.0;
        let datum = model.outlet_fact(inputs[0])?.datum_type;
        let (row, rows) = match datum {
            DatumType::F64 => (RowType::F64, DatumType::F64),
            _ => (RowType::F32, DatumType::F32),
        };
        let ensemble = if row == RowType::F64 {
            let wide =
                Forest { compare: Compare::F64, arithmetic: Arithmetic::F64, ..forest.clone().into_forest() };
            Ensemble::of(&wide.check()?, row)
        } else {
            Ensemble::of(forest, row)
        };
        let kernel = TreesKernel(Arc::new(Ready {
            ensemble,
            outputs: forest.outputs,
            answer: answer.clone(),
            scores: if matches!(answer.kind, Kind::Ensemble { .. }) { rows } else { DatumType::F32 },
        }));
        let x = model.wire_node(format!("{prefix}.rows"), cast(rows), inputs)?;
        let answers = model.wire_node(prefix, kernel, &x)?;
        match answer.kind {
            Kind::Ensemble { .. } if datum != rows => {
                model.wire_node(format!("{prefix}.scores"), cast(datum), &answers)
            }
            _ => Ok(answers),
        }
    }
}

/// The operator with its kernel; equal only to itself.
#[derive(Clone, Debug)]
struct TreesKernel(Arc<Ready>);

#[derive(Debug)]
struct Ready {
    ensemble: Ensemble,
    outputs: usize,
    answer: Answer,
    /// The dtype of the scores
    scores: DatumType,
}

impl Op for TreesKernel {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    op_as_typed_op!();
}

impl PartialEq for TreesKernel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TreesKernel {}

impl TypedOp for TreesKernel {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = self.0.scores.fact([rows.clone(), self.0.answer.width().to_dim()]);
        Ok(match &self.0.answer.kind {
            Kind::Classifier { labels, .. } => tvec!(labels.datum().fact([rows]), scores),
            _ => tvec!(scores),
        })
    }

    as_op!();
}

impl EvalOp for TreesKernel {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Ready { ensemble, outputs, answer, scores: dtype } = &*self.0;
        let &[rows, width] = inputs[0].shape() else { bail!("expected rank 2, got {:?}", inputs[0].shape()) };
        rows.checked_mul(*outputs).context("too many rows")?;
        let view = inputs[0].try_as_plain_ram()?;
        let values = match inputs[0].datum_type() {
            DatumType::F64 => Rows::F64(view.as_slice()?),
            _ => Rows::F32(view.as_slice()?),
        };
        let shape = [rows, answer.width()];
        let plain = answer.transform == Transform::None && matches!(answer.kind, Kind::Ensemble { .. });
        let (classes, scores) = match ensemble.scores(values, width)? {
            Scores::F64(sums) if plain && *dtype == DatumType::F64 => {
                return Ok(tvec!(tensor1(&sums).into_shape(&shape)?.into_tvalue()));
            }
            Scores::F32(mut sums) => answer.of(&mut sums, *outputs),
            Scores::F64(mut sums) => answer.of(&mut sums, *outputs),
        };
        let scores = tensor1(&scores).into_shape(&shape)?.cast_to_dt(*dtype)?.into_owned().into_tvalue();
        Ok(match &answer.kind {
            Kind::Classifier { labels, .. } => tvec!(labels.pick(&classes).into_tvalue(), scores),
            _ => tvec!(scores),
        })
    }
}
