//! Files that claim more than they hold, and files as terse as can be: loading takes at most eight times the file and
//! 64 MB, and ends with a model or an error.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod counting;

use std::fmt::Write;

use ampoule_engine::{Graph, LoadOptions, compact};
use counting::bounded;

/// Whether `bytes` are a model, in their own form and the compact one.
fn loads(title: &str, bytes: &[u8]) -> bool {
    let loaded = bounded(title, bytes, || Graph::load(bytes, &LoadOptions::default()).is_ok());
    let sealed = bounded(title, bytes, || compact(bytes));
    if let Ok(Some(sealed)) = sealed {
        bounded(title, &sealed, || Graph::load(&sealed, &LoadOptions::default()).unwrap());
    }
    loaded
}

const MANY: usize = 6_000_000;

fn repeated(element: &str, count: usize) -> String {
    let mut list = element.repeat(count);
    list.pop();
    list
}

fn xgboost(names: &str, trees: &str, features: usize) -> Vec<u8> {
    let outputs = repeated("0,", trees.matches("tree_param").count().max(1));
    format!(
        r#"{{"learner":{{"feature_names":[{names}],"gradient_booster":{{"name":"gbtree","model":{{"trees":[{trees}],
        "tree_info":[{outputs}]}}}},"learner_model_param":{{"base_score":"0","num_feature":"{features}","num_class":"0"}},
        "objective":{{"name":"reg:squarederror"}}}}}}"#
    )
    .into_bytes()
}

/// A chain: every branch has a leaf to its right.
fn chain(branches: usize) -> String {
    let nodes = 2 * branches + 1;
    let (mut left, mut right) = (String::new(), String::new());
    for at in 0..branches {
        write!(left, "{},-1,", 2 * at + 2).unwrap();
        write!(right, "{},0,", 2 * at + 1).unwrap();
    }
    // Node 2i is a branch, 2i + 1 its leaf, the last a leaf too.
    let zeros = repeated("0,", nodes);
    format!(
        r#"{{"left_children":[{left}-1],"right_children":[{right}0],"split_indices":[{zeros}],
        "split_conditions":[{zeros}],"default_left":[{zeros}],"tree_param":{{}}}}"#
    )
}

fn lightgbm(tree: &str) -> Vec<u8> {
    format!("tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\n\nTree=0\n{tree}\n\nend of trees\n")
        .into_bytes()
}

fn catboost(tree: &str) -> Vec<u8> {
    format!(
        r#"{{"features_info":{{"float_features":[{{"feature_index":0,"flat_feature_index":0}}]}},
        "oblivious_trees":[{tree}],"scale_and_bias":[1,[0]]}}"#
    )
    .into_bytes()
}

#[test]
fn loading_takes_no_more_than_the_file_accounts_for() {
    let zeros = repeated("0,", MANY);
    let spaced = repeated("0 ", MANY);
    let tree = |fields: &str| {
        format!(
            r#"{{"left_children":[-1],"right_children":[0],"split_indices":[0],"split_conditions":[0],"default_left":[0],
            {fields}}}"#
        )
    };
    let far = r#""tree_param":{},"split_type":[1],"categories":[16777215],"categories_nodes":[0],"categories_segments":[0],
        "categories_sizes":[1]"#;
    let split = r#"{"border":0,"float_feature_index":0,"split_type":"FloatFeature"},"#;
    let cases = [
        (true, "a chain", xgboost("", &chain(300_000), 1)),
        (false, "many children", xgboost("", &format!(r#"{{"left_children":[{zeros}]}}"#), 1)),
        (false, "many names", xgboost(&repeated("\"\",", MANY), "", MANY)),
        (false, "many trees", xgboost("", &repeated("{},", MANY), 1)),
        (false, "far categories", xgboost("", &repeated(&format!("{},", tree(far)), 100), 1)),
        (
            false,
            "many categories",
            xgboost("", &tree(&format!(r#""tree_param":{{}},"categories":[{zeros}]"#)), usize::MAX),
        ),
        (false, "vectors", xgboost("", &tree(r#""tree_param":{"size_leaf_vector":"4000000000"}"#), 1)),
        (false, "nested", format!("{{\"learner\":{}", "[".repeat(MANY)).into_bytes()),
        (false, "many counted", b"{L\0\0\0\0\0\0\0\x07learner[$d#L\x0f\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        (false, "typed levels", [b"{L\0\0\0\0\0\0\0\x07learner".as_slice(), &[b'['; 1 << 20]].concat()),
        (true, "one leaf", lightgbm("num_leaves=1\nnum_cat=0\nleaf_value=1")),
        (false, "leaves without values", lightgbm("num_leaves=4000000000\nnum_cat=0\nleaf_value=1 2")),
        (false, "terse leaves", lightgbm(&format!("num_leaves={MANY}\nnum_cat=0\nleaf_value={spaced}"))),
        (false, "sets", lightgbm("num_leaves=1\nnum_cat=4000000000\ncat_boundaries=0 0 0\nleaf_value=1")),
        (
            false,
            "wide sets",
            lightgbm(&format!(
                "num_leaves=1\nnum_cat=1\ncat_boundaries=0 {MANY}\ncat_threshold={spaced}\nleaf_value=1"
            )),
        ),
        (false, "terse values", catboost(&format!(r#"{{"leaf_values":[{zeros}],"splits":[]}}"#))),
        (
            false,
            "levels without leaves",
            catboost(&format!(r#"{{"leaf_values":[0],"splits":[{}]}}"#, repeated(split, 24))),
        ),
        (
            false,
            "many such trees",
            catboost(&repeated(
                &format!(r#"{{"leaf_values":[0],"splits":[{}]}},"#, repeated(split, 24)),
                10_000,
            )),
        ),
    ];
    for (model, title, bytes) in cases {
        assert_eq!(loads(title, &bytes), model, "{title}");
    }
}
