//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor` of `ai.onnx.ml` 1 to 3: `[N, F]` in, scores `[N, C]` in f32
//! out, after the labels `[N]` for a classifier. tract has the first only, some hundred times slower, and reads
//! comparisons by `>=` as leaves.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::ensemble::{Ensemble, Mode, Raw};
use super::labels::Labels;
use super::scores::{Binary, Combine, Transform, many_classes, targets, two_classes};

/// The operator; equal only to itself.
#[derive(Clone, Debug)]
struct Trees(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    ensemble: Ensemble,
    base: Vec<f32>,
    transform: Transform,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Classifier { labels: Labels, binary: Binary },
    Regressor { combine: Combine, divisor: f32 },
}

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::read(node, "classlabels_int64s")?;
    let classes = labels.len();
    ensure!(classes >= 2, "expected at least 2 class labels, got {classes}");
    let ensemble = ensemble(node, "class", classes)?;
    let weights = ensemble.weights();
    let binary = Binary {
        one_sided: weights.windows(2).all(|pair| pair[0].0 == pair[1].0),
        probabilities: weights.iter().all(|(_, weight)| *weight >= 0.0),
    };
    built(node, ensemble, Kind::Classifier { labels, binary })
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let count: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let ensemble = ensemble(node, "target", count)?;
    let (combine, divisor) = match node.get_attr_opt("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => (Combine::Sum, 1.0),
        "AVERAGE" => (Combine::Sum, ensemble.trees() as f32),
        "MIN" => (Combine::Min, 1.0),
        "MAX" => (Combine::Max, 1.0),
        other => bail!("aggregate_function: expected SUM, AVERAGE, MIN or MAX, got {other:?}"),
    };
    built(node, ensemble, Kind::Regressor { combine, divisor })
}

fn built(node: &NodeProto, ensemble: Ensemble, kind: Kind) -> Built {
    for attribute in &node.attribute {
        ensure!(!attribute.name.ends_with("_as_tensor"), "{}: doubles are not supported", attribute.name);
    }
    let base: Vec<f32> = node.get_attr_opt_vec("base_values")?.unwrap_or_default();
    let two = matches!(kind, Kind::Classifier { .. }) && ensemble.scores == 2;
    let (expected, got) = (ensemble.scores, base.len());
    ensure!(got == 0 || got == expected || two && got == 1, "base_values: expected {expected}, got {got}");
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    Ok((expand(Trees(Arc::new(Parts { ensemble, base, transform, kind }))), vec![]))
}

/// The nodes and, from the attributes that start with `prefix`, the weights of the leaves.
fn ensemble(node: &NodeProto, prefix: &str, scores: usize) -> TractResult<Ensemble> {
    let trees: Vec<i64> = node.get_attr_vec("nodes_treeids")?;
    let ids: Vec<i64> = node.get_attr_vec("nodes_nodeids")?;
    let features: Vec<i64> = node.get_attr_vec("nodes_featureids")?;
    let values: Vec<f32> = node.get_attr_vec("nodes_values")?;
    let modes: Vec<&str> = node.get_attr_vec("nodes_modes")?;
    let yes: Vec<i64> = node.get_attr_vec("nodes_truenodeids")?;
    let no: Vec<i64> = node.get_attr_vec("nodes_falsenodeids")?;
    let nan: Vec<i64> = node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let n = trees.len();
    let lengths = [ids.len(), features.len(), values.len(), modes.len(), yes.len(), no.len()];
    ensure!(
        n > 0 && lengths.iter().all(|l| *l == n),
        "nodes: expected {n} of each attribute, got {lengths:?}"
    );

    let places: HashMap<(i64, i64), usize> = (0..n).map(|i| ((trees[i], ids[i]), i)).collect();
    ensure!(places.len() == n, "two nodes have the same tree and number");
    let mut raw = Vec::with_capacity(n);
    for i in 0..n {
        let mode = mode(modes[i])?;
        let child = |id: i64| match mode {
            Mode::Leaf => Ok(0),
            _ => places
                .get(&(trees[i], id))
                .copied()
                .with_context(|| format!("tree {}, node {}: child {id} does not exist", trees[i], ids[i])),
        };
        let feature = if mode == Mode::Leaf { 0 } else { u32::try_from(features[i])? };
        let nan_to_yes = nan.get(i).is_some_and(|flag| *flag != 0);
        let (yes, no) = (child(yes[i])?, child(no[i])?);
        raw.push(Raw { mode, feature, value: values[i], nan_to_yes, yes, no, weights: vec![] });
    }

    let attribute = |name: &str| format!("{prefix}_{name}");
    let leaf_trees: Vec<i64> = node.get_attr_vec(&attribute("treeids"))?;
    let leaf_ids: Vec<i64> = node.get_attr_vec(&attribute("nodeids"))?;
    let leaf_scores: Vec<i64> = node.get_attr_vec(&attribute("ids"))?;
    let weights: Vec<f32> = node.get_attr_vec(&attribute("weights"))?;
    let lengths = [leaf_trees.len(), leaf_ids.len(), leaf_scores.len()];
    ensure!(
        lengths == [weights.len(); 3],
        "leaves: expected {} of each attribute, got {lengths:?}",
        weights.len()
    );
    for (i, weight) in weights.into_iter().enumerate() {
        let place = places.get(&(leaf_trees[i], leaf_ids[i])).filter(|place| raw[**place].mode == Mode::Leaf);
        let place = *place.with_context(|| format!("tree {}: {} is no leaf", leaf_trees[i], leaf_ids[i]))?;
        let score = u32::try_from(leaf_scores[i])?;
        ensure!(
            (score as usize) < scores,
            "leaf {}: expected a score below {scores}, got {score}",
            leaf_ids[i]
        );
        raw[place].weights.push((score, weight));
    }

    // A tree's first node is its root, and the trees are added in the order of their roots.
    let roots: Vec<usize> = (0..n).filter(|i| *i == 0 || trees[*i] != trees[i - 1]).collect();
    Ensemble::build(&raw, &roots, scores)
}

fn mode(name: &str) -> TractResult<Mode> {
    Ok(match name {
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        "LEAF" => Mode::Leaf,
        _ => bail!("nodes_modes: {name:?} is no mode"),
    })
}

impl Expansion for Trees {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(if matches!(self.0.kind, Kind::Classifier { .. }) { 2 } else { 1 })
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
        if let Kind::Classifier { labels, .. } = &self.0.kind {
            solver.equals(&outputs[0].datum_type, labels.datum())?;
            solver.equals(&outputs[0].rank, 1)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        let scores = &outputs[outputs.len() - 1];
        solver.equals(&scores.datum_type, DatumType::F32)?;
        solver.equals(&scores.rank, 2)?;
        solver.equals(&scores.shape[0], &inputs[0].shape[0])?;
        solver.equals(&scores.shape[1], self.0.ensemble.scores.to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let datum = model.outlet_fact(inputs[0])?.datum_type;
        // Thresholds are f32: an f64 that is rounded first could fall on the other side of one.
        ensure!(
            datum != DatumType::F64,
            "expected f32 or integer features, got f64 (cast them to f32 in the model)"
        );
        let x = model.wire_node(format!("{prefix}.f32"), cast(DatumType::F32), inputs)?;
        model.wire_node(prefix, self.clone(), &x)
    }
}

impl Op for Trees {
    fn name(&self) -> StaticName {
        "Trees".into()
    }

    op_as_typed_op!();
}

impl PartialEq for Trees {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Trees {}

impl TypedOp for Trees {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = DatumType::F32.fact([rows.clone(), self.0.ensemble.scores.to_dim()]);
        Ok(match &self.0.kind {
            Kind::Classifier { labels, .. } => tvec!(labels.datum().fact([rows]), scores),
            Kind::Regressor { .. } => tvec!(scores),
        })
    }

    as_op!();
}

impl EvalOp for Trees {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Parts { ensemble, base, transform, kind } = &*self.0;
        let &[rows, width] = inputs[0].shape() else { bail!("expected rank 2, got {:?}", inputs[0].shape()) };
        let needed = ensemble.features.max(1);
        ensure!(width >= needed, "trees: expected at least {needed} features, got {width}");
        let view = inputs[0].try_as_plain_ram()?;
        let (x, scores) = (view.as_slice::<f32>()?, ensemble.scores);
        let size = rows.checked_mul(scores).context("too many rows")?;
        let (mut totals, mut seen) = (vec![0f32; size], vec![false; size]);
        let combine = if let Kind::Regressor { combine, .. } = kind { *combine } else { Combine::Sum };
        ensemble.evaluate(x, width, combine, &mut totals, &mut seen);
        let each = totals.chunks_mut(scores).zip(seen.chunks(scores));
        let labels = match kind {
            Kind::Classifier { labels, binary } => {
                let classes: Vec<usize> = each
                    .map(|(row, seen)| match scores {
                        2 => two_classes(row, seen, base, *transform, *binary),
                        _ => many_classes(row, Some(seen), base, *transform),
                    })
                    .collect();
                Some(labels.pick(&classes).into_tvalue())
            }
            Kind::Regressor { divisor, .. } => {
                each.for_each(|(row, _)| targets(row, base, *divisor, *transform));
                None
            }
        };
        let totals = tensor1(&totals).into_shape(&[rows, scores])?.into_tvalue();
        Ok(labels.into_iter().chain([totals]).collect())
    }
}
