//! From the attributes of TreeEnsembleClassifier and TreeEnsembleRegressor (`ai.onnx.ml` 1 and 3) to a [`Forest`].

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use crate::forest::{Aggregate, Arithmetic, Base, Branch, Compare, Forest, Link, Node, Test, Way};

/// A forest of so many outputs, from the attributes that start with `prefix`; without base values, its sums plain.
pub(super) fn forest(
    context: &ParsingContext,
    node: &NodeProto,
    prefix: &str,
    outputs: usize,
) -> TractResult<Forest> {
    let trees: Vec<i64> = node.get_attr_vec("nodes_treeids")?;
    let ids: Vec<i64> = node.get_attr_vec("nodes_nodeids")?;
    let features: Vec<i64> = node.get_attr_vec("nodes_featureids")?;
    let (values, doubles) = numbers(context, node, "nodes_values")?;
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
    let places = Places::of(&trees, &ids)?;
    let mut nodes = Vec::with_capacity(n);
    for i in 0..n {
        let Some(test) = test(modes[i], values[i])? else {
            nodes.push(Node::Leaf { first: 0, count: 0 });
            continue;
        };
        let child = |id: i64| {
            let missing = || format!("tree {}, node {}: child {id} does not exist", trees[i], ids[i]);
            places.find(trees[i], id).with_context(missing)
        };
        // NaN compares as false, but is unequal to everything.
        let nan_goes_yes = nan.get(i).is_some_and(|flag| *flag != 0) || matches!(test, Test::NotEqual(_));
        nodes.push(Node::Branch(Branch {
            feature: u32::try_from(features[i])?,
            test,
            nan: if nan_goes_yes { Way::Yes } else { Way::No },
            zero_is_missing: false,
            yes: child(yes[i])?,
            no: child(no[i])?,
        }));
    }

    let attribute = |name: &str| format!("{prefix}_{name}");
    let leaf_trees: Vec<i64> = node.get_attr_vec(&attribute("treeids"))?;
    let leaf_ids: Vec<i64> = node.get_attr_vec(&attribute("nodeids"))?;
    let leaf_outputs: Vec<i64> = node.get_attr_vec(&attribute("ids"))?;
    let (weights, double_weights) = numbers(context, node, &attribute("weights"))?;
    let lengths = [leaf_trees.len(), leaf_ids.len(), leaf_outputs.len()];
    ensure!(
        lengths == [weights.len(); 3],
        "leaves: expected {} of each attribute, got {lengths:?}",
        weights.len()
    );
    let mut placed = Vec::with_capacity(weights.len());
    for (i, weight) in weights.into_iter().enumerate() {
        let place = places.find(leaf_trees[i], leaf_ids[i]);
        let place = place.filter(|place| matches!(nodes[*place as usize], Node::Leaf { .. }));
        let place = place.with_context(|| format!("tree {}: {} is no leaf", leaf_trees[i], leaf_ids[i]))?;
        placed.push((place, u32::try_from(leaf_outputs[i])?, weight));
    }
    let weights = place_weights(&mut nodes, placed);

    // A tree's first node is its root, and the trees are added in the order of their roots.
    let roots = (0..n).filter(|i| *i == 0 || trees[*i] != trees[i - 1]).map(|i| i as u32).collect();
    let (compare, arithmetic) = match doubles || double_weights {
        true => (Compare::F64, Arithmetic::F64),
        false => (Compare::F32, Arithmetic::F32),
    };
    Ok(plain(nodes, roots, weights, outputs, compare, arithmetic))
}

/// A forest whose sums are its scores, as wide as the features that its branches name.
pub(super) fn plain(
    nodes: Vec<Node>,
    roots: Vec<u32>,
    weights: Vec<(u32, f64)>,
    outputs: usize,
    compare: Compare,
    arithmetic: Arithmetic,
) -> Forest {
    let features = nodes.iter().map(|node| match node {
        Node::Branch(branch) => branch.feature as usize + 1,
        Node::Leaf { .. } => 0,
    });
    Forest {
        features: features.max().unwrap_or(0),
        outputs,
        nodes,
        roots,
        weights,
        sets: vec![],
        aggregate: Aggregate::Sum,
        base: vec![],
        base_order: Base::Last,
        scale: 1.0,
        arithmetic,
        compare,
        link: Link::Identity,
    }
}

/// The weights leaf by leaf, each leaf's in the order given; `placed` has leaf, output and weight.
pub(super) fn place_weights(nodes: &mut [Node], mut placed: Vec<(u32, u32, f64)>) -> Vec<(u32, f64)> {
    placed.sort_by_key(|(place, _, _)| *place);
    for (i, (place, _, _)) in placed.iter().enumerate() {
        if let Node::Leaf { first, count } = &mut nodes[*place as usize] {
            if *count == 0 {
                *first = i as u32;
            }
            *count += 1;
        }
    }
    placed.into_iter().map(|(_, output, weight)| (output, weight)).collect()
}

/// An attribute of f32 numbers, or of doubles if it has `_as_tensor` behind its name; whether it is that.
pub(super) fn numbers(
    context: &ParsingContext,
    node: &NodeProto,
    name: &str,
) -> TractResult<(Vec<f64>, bool)> {
    let floats: Option<Vec<f32>> = node.get_attr_opt_vec(name)?;
    match node.get_attr_opt::<&TensorProto>(&format!("{name}_as_tensor"))? {
        Some(tensor) if floats.as_ref().is_none_or(Vec::is_empty) => {
            let tensor = context.load_tensor(tensor)?;
            Ok((tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec(), true))
        }
        _ => Ok((floats.unwrap_or_default().into_iter().map(f64::from).collect(), false)),
    }
}

/// `None` for a leaf.
fn test(mode: &str, value: f64) -> TractResult<Option<Test>> {
    Ok(Some(match mode {
        "BRANCH_LEQ" => Test::LessEqual(value),
        "BRANCH_LT" => Test::Less(value),
        "BRANCH_GTE" => Test::GreaterEqual(value),
        "BRANCH_GT" => Test::Greater(value),
        "BRANCH_EQ" => Test::Equal(value),
        "BRANCH_NEQ" => Test::NotEqual(value),
        "LEAF" => return Ok(None),
        _ => bail!("nodes_modes: {mode:?} is no mode"),
    }))
}

/// Where nodes stand, by tree and number.
struct Places(Vec<(i64, i64, u32)>);

impl Places {
    fn of(trees: &[i64], ids: &[i64]) -> TractResult<Self> {
        let mut places: Vec<_> =
            trees.iter().zip(ids).zip(0..).map(|((tree, id), at)| (*tree, *id, at)).collect();
        places.sort_unstable();
        let same = places.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
        match same {
            Some(same) => bail!("tree {}: two nodes have the number {}", same[0].0, same[0].1),
            None => Ok(Self(places)),
        }
    }

    fn find(&self, tree: i64, id: i64) -> Option<u32> {
        let at = self.0.binary_search_by_key(&(tree, id), |(tree, id, _)| (*tree, *id)).ok()?;
        Some(self.0[at].2)
    }
}
