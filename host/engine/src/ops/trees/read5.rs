//! From the attributes of TreeEnsemble (`ai.onnx.ml` 5) to a [`Forest`].

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::read::plain;
use crate::forest::{Aggregate, Arithmetic, Branch, Compare, Forest, Node, Set, Test, Way};
use crate::ops::scores::Transform;

/// Branches first, in the file's order, then leaves: a leaf of the file may stand on several branches and is here one
/// node for each.
pub(super) fn forest(context: &ParsingContext, node: &NodeProto) -> TractResult<Forest> {
    let load = |name: &str| -> TractResult<Option<Tensor>> {
        let tensor = node.get_attr_opt::<&TensorProto>(name)?;
        tensor.map(|tensor| context.load_tensor(tensor)).transpose()
    };
    let numbers = |name: &str| -> TractResult<(Vec<f64>, DatumType)> {
        let Some(tensor) = load(name)? else { bail!("TreeEnsemble: attribute {name} is missing") };
        let wide = tensor.cast_to::<f64>()?;
        Ok((wide.try_as_plain_ram()?.as_slice::<f64>()?.to_vec(), tensor.datum_type()))
    };
    let outputs: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let roots: Vec<i64> = node.get_attr_vec("tree_roots")?;
    let features: Vec<i64> = node.get_attr_vec("nodes_featureids")?;
    let (splits, dtype) = numbers("nodes_splits")?;
    let (modes, _) = numbers("nodes_modes")?;
    let sides = ["nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs"];
    let sides: Vec<Vec<i64>> =
        sides.iter().map(|name| node.get_attr_vec(name)).collect::<TractResult<_>>()?;
    let nan: Vec<i64> = node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let n = features.len();
    let lengths = [splits.len(), modes.len(), sides[0].len(), sides[1].len(), sides[2].len(), sides[3].len()];
    ensure!(lengths.iter().all(|l| *l == n), "nodes: expected {n} of each attribute, got {lengths:?}");
    let (weights, _) = numbers("leaf_weights")?;
    let targets: Vec<i64> = node.get_attr_vec("leaf_targetids")?;
    let (expected, got) = (weights.len(), targets.len());
    ensure!(expected == got, "leaf_targetids: expected {expected}, got {got}");
    let mut sets = members(load("membership_values")?)?.into_iter();

    let mut nodes = vec![Node::Leaf { first: 0, count: 0 }; n];
    let mut used = Vec::new();
    for i in 0..n {
        let (yes_leaf, no_leaf) = (sides[2][i] != 0, sides[3][i] != 0);
        let mut leaves = |leaf: bool, to: i64| -> TractResult<u32> {
            let place = u32::try_from(to)?;
            if !leaf {
                return Ok(place);
            }
            ensure!((place as usize) < weights.len(), "node {i}: leaf {to} does not exist");
            nodes.push(Node::Leaf { first: place, count: 1 });
            Ok(nodes.len() as u32 - 1)
        };
        let (yes, no) = (leaves(yes_leaf, sides[0][i])?, leaves(no_leaf, sides[1][i])?);
        let t = splits[i];
        let test = match modes[i] as i64 {
            0 => Test::LessEqual(t),
            1 => Test::Less(t),
            2 => Test::GreaterEqual(t),
            3 => Test::Greater(t),
            4 => Test::Equal(t),
            5 => Test::NotEqual(t),
            6 => {
                let set = sets.next().with_context(|| format!("node {i}: no membership values are left"))?;
                used.push(Set::Values(set));
                Test::Member(used.len() as u32 - 1)
            }
            mode => bail!("nodes_modes: {mode} is no mode"),
        };
        let nan_goes_yes = nan.get(i).is_some_and(|flag| *flag != 0) || matches!(test, Test::NotEqual(_));
        nodes[i] = match (yes_leaf && no_leaf, nodes[n..].last()) {
            // How the specification writes a tree that is one leaf.
            (true, Some(leaf)) if sides[0][i] == sides[1][i] => *leaf,
            _ => Node::Branch(Branch {
                feature: u32::try_from(features[i])?,
                test,
                nan: if nan_goes_yes { Way::Yes } else { Way::No },
                zero_is_missing: false,
                yes,
                no,
            }),
        };
    }
    let roots = roots.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>()?;
    let outside = roots.iter().find(|root| **root as usize >= n);
    ensure!(outside.is_none(), "tree_roots: node {outside:?} does not exist");
    let targets = targets.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>()?;
    let weights = targets.into_iter().zip(weights).collect();
    let (compare, arithmetic) = match dtype {
        DatumType::F64 => (Compare::F64, Arithmetic::F64),
        _ => (Compare::F32, Arithmetic::F32),
    };
    let trees = roots.len();
    let mut forest = plain(nodes, roots, weights, outputs, compare, arithmetic);
    forest.sets = used;
    forest.aggregate = match node.get_attr_opt("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average(trees as f64),
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => bail!("aggregate_function: expected 0 to 3, got {other}"),
    };
    Ok(forest)
}

pub(super) fn transform(node: &NodeProto) -> TractResult<Transform> {
    Ok(match node.get_attr_opt("post_transform")?.unwrap_or(0) {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => bail!("post_transform: expected 0 to 4, got {other}"),
    })
}

/// One list for each branch by membership; the file has a NaN behind each.
fn members(values: Option<Tensor>) -> TractResult<Vec<Vec<f64>>> {
    let Some(values) = values else { return Ok(vec![]) };
    let values = values.cast_to::<f64>()?;
    let view = values.try_as_plain_ram()?;
    let values = view.as_slice::<f64>()?;
    Ok(values.split(|value| value.is_nan()).map(<[f64]>::to_vec).collect())
}
