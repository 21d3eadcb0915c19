//! Files that claim more than they hold, and files as terse as can be: loading takes at most eight times the file and
//! 64 MB, and ends with a model or an error. `host/engine/fuzz` looks for more of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod counting;
mod protobuf;

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use ampoule_engine::{Graph, LoadOptions, compact};
use counting::{bounded, watch};
use protobuf::{dims, field, i64s, info, initializer, node, number};

/// Whether `bytes` are a model, in their own form and the compact one.
fn loads(title: &str, bytes: &[u8]) -> bool {
    let loaded = bounded(title, bytes, || Graph::load(bytes, &LoadOptions::default()).is_ok());
    let sealed = bounded(title, bytes, || compact(bytes));
    if let Ok(Some(sealed)) = sealed {
        bounded(title, &sealed, || Graph::load(&sealed, &LoadOptions::default()).unwrap());
    }
    loaded
}

/// Only one test may count at a time.
static COUNTING: Mutex<()> = Mutex::new(());

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
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
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

fn onnx(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), field(7, graph.concat()), field(8, number(2, 17))].concat()
}

/// A graph of one operator over constants, which a planner works out at load.
fn constant(operator: &str, constants: &[(i64, &[i64], Vec<u8>)]) -> Vec<u8> {
    let names: Vec<String> = (0..constants.len()).map(|at| format!("c{at}")).collect();
    let mut graph: Vec<Vec<u8>> = names
        .iter()
        .zip(constants)
        .map(|(name, (dtype, dims, raw))| initializer(name, *dtype, dims, raw))
        .collect();
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    graph.push(node(operator, &inputs, "y", &[]));
    graph.push(info(12, "y", 1, &[]));
    onnx(&graph)
}

#[test]
fn graphs_that_ask_for_more_than_there_is_are_loaded_without_it() {
    watch();
    let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let one = || 1f32.to_le_bytes().to_vec();
    let huge = [1i64 << 20, 1 << 20];
    let long = vec![0; 4 << 17];
    let nested = format!("{}N{}", "(".repeat(1 << 20), ")".repeat(1 << 20));
    let squares = vec!["(N+M)"; 4096].join("*");
    let chain = |operator: &str, nodes: usize| {
        let names: Vec<String> = (0..=nodes).map(|at| format!("x{at}")).collect();
        let mut graph = vec![info(11, "x0", 1, &dims(&[1, 4]))];
        graph.extend((0..nodes).map(|at| node(operator, &[&names[at]], &names[at + 1], &[])));
        graph.push(info(12, &names[nodes], 1, &[]));
        onnx(&graph)
    };
    let unary = |operator: &str, dtype: i64, shape: &[Vec<u8>]| {
        onnx(&[info(11, "x", dtype, shape), node(operator, &["x"], "y", &[]), info(12, "y", 1, &[])])
    };
    let nothing =
        |operator: &str| field(1, [field(2, "y"), field(4, operator), field(7, "ai.onnx.ml")].concat());
    let pads = [
        field(1, "pads"),
        [1 << 30, 1 << 30, 1 << 30, 1 << 30].map(|pad| number(8, pad)).concat(),
        number(20, 7),
    ];
    let convolution = [
        info(11, "x", 1, &dims(&[1, 1, 8, 8])),
        initializer("w", 1, &[1, 1, 1, 1], &one()),
        node("Conv", &["x", "w"], "y", &[pads.concat()]),
        info(12, "y", 1, &[]),
    ];
    let strides = [field(1, "strides"), [1 << 24, 2].map(|stride| number(8, stride)).concat(), number(20, 7)];
    let transposed = [
        info(11, "x", 1, &dims(&[1, 8, 4, 4])),
        initializer("w", 1, &[8, 4, 2, 2], &one().repeat(8 * 4 * 2 * 2)),
        node("ConvTranspose", &["x", "w"], "z", &[strides.concat()]),
        node("NonZero", &["z"], "y", &[]),
        info(12, "y", 7, &[]),
    ];
    let unread = [
        info(11, "x", 1, &dims(&[1 << 20, 10])),
        initializer("c", 1, &[1], &one()),
        node("NonZero", &["c"], "y", &[]),
        info(12, "y", 1, &[]),
    ];
    let scan = [
        info(11, "start", 1, &dims(&[1, 3])),
        info(11, "rows", 1, &dims(&[4, 1, 3])),
        node(
            "Scan",
            &["start", "rows"],
            "last",
            &[
                [field(1, "num_scan_inputs"), number(3, 29), number(20, 2)].concat(),
                [
                    field(1, "body"),
                    field(
                        6,
                        [
                            info(11, "state", 1, &dims(&[1, 3])),
                            info(11, "row", 1, &dims(&[1, 3])),
                            node("Add", &["state", "row"], "next", &[]),
                            info(12, "next", 1, &dims(&[1, 3])),
                        ]
                        .concat(),
                    ),
                    number(20, 5),
                ]
                .concat(),
            ],
        ),
        info(12, "last", 1, &dims(&[1, 3])),
    ];
    // Of floats and integers that are declared so.
    let binary = |operator: &str, shapes: [&[i64]; 2], attributes: &[Vec<u8>]| {
        onnx(&[
            info(11, "x", 1, &dims(shapes[0])),
            info(11, "i", 7, &dims(shapes[1])),
            node(operator, &["x", "i"], "y", attributes),
            info(12, "y", 1, &[]),
        ])
    };
    let flag = |name: &str| [field(1, name), number(3, 1), number(20, 2)].concat();
    let back = [
        info(11, "x", 1, &dims(&[1, 5, 2])),
        initializer("n", 7, &[], &i64s(&[1 << 40])),
        node("DFT", &["x", "n"], "y", &[flag("inverse"), flag("onesided")]),
        info(12, "y", 1, &[]),
    ];
    let far = [[field(1, "axis"), number(3, 1 << 40), number(20, 2)].concat()];
    let axis = |operator: &str, at: i64| {
        let at = [field(1, "axis"), number(3, at), number(20, 2)].concat();
        [
            info(11, "x", 1, &[]),
            info(11, "scale", 1, &dims(&[3])),
            node(operator, &["x", "scale"], "y", &[at]),
            info(12, "y", 1, &[]),
        ]
    };
    let cases = [
        ("a norm over an axis before the first", onnx(&axis("LayerNormalization", -1))),
        ("a norm over an axis beyond the last", onnx(&axis("LayerNormalization", 1 << 40))),
        ("a root mean square over an axis before the first", onnx(&axis("RMSNormalization", -1))),
        ("a scan of more inputs than there are", onnx(&scan)),
        ("a long signal of a short spectrum", onnx(&back)),
        ("a spectrum of a scalar", unary("DFT", 1, &[])),
        ("a product with packed weights of a scalar", binary("MatMulNBits", [&[], &[4]], &[])),
        ("a grid for a scalar", binary("GridSample", [&[], &[]], &[])),
        ("a grid for a row", binary("GridSample", [&[3], &[3]], &[])),
        ("parts by a scalar", binary("GatherND", [&[3], &[]], &[])),
        ("a product of scalars", binary("MatMulInteger", [&[], &[]], &[])),
        (
            "split by very many",
            onnx(&[
                info(11, "x", 1, &dims(&[256, 256])),
                node("Split", &["x", "x"], "z", &[]),
                node("NonZero", &["z"], "y", &[]),
                info(12, "y", 7, &[]),
            ]),
        ),
        ("a sum along very many axes", binary("ReduceSum", [&[4], &[1 << 16]], &[])),
        ("a shape of many dims", unary("ConstantOfShape", 7, &dims(&[1 << 40]))),
        ("a shape of as many dims as there are", unary("ConstantOfShape", 7, &dims(&[1 << 62]))),
        ("a new shape of many dims", binary("Reshape", [&[3], &[1 << 40]], &[])),
        ("expanded to many dims", binary("Expand", [&[3], &[1 << 40]], &[])),
        ("tiled in many dims", binary("Tile", [&[3], &[1 << 40]], &[])),
        ("resized in many dims", binary("Upsample", [&[3], &[1 << 40]], &[])),
        ("parts along an axis beyond the last", binary("Gather", [&[3], &[3]], &far)),
        ("elements along an axis beyond the last", binary("GatherElements", [&[3], &[3]], &far)),
        ("the largest along an axis beyond the last", binary("TopK", [&[3], &[1]], &far)),
        ("halves along an axis beyond the last", binary("Split", [&[4], &[2]], &far)),
        ("those chosen along an axis beyond the last", binary("Compress", [&[4], &[4]], &far)),
        ("joined along an axis beyond the last", binary("Concat", [&[4], &[4]], &far)),
        (
            "two dims, split beyond the last",
            onnx(&[info(11, "x", 1, &dims(&[4])), node("Flatten", &["x"], "y", &far), info(12, "y", 1, &[])]),
        ),
        (
            "a softmax beyond the last axis",
            onnx(&[info(11, "x", 1, &dims(&[4])), node("Softmax", &["x"], "y", &far), info(12, "y", 1, &[])]),
        ),
        ("a filled constant", constant("ConstantOfShape", &[(7, &[2], i64s(&huge))])),
        ("an expanded constant", constant("Expand", &[(1, &[1], one()), (7, &[2], i64s(&huge))])),
        ("a tiled constant", constant("Tile", &[(1, &[1, 1], one()), (7, &[2], i64s(&huge))])),
        (
            "a range",
            constant("Range", &[(7, &[], i64s(&[0])), (7, &[], i64s(&[1 << 40])), (7, &[], i64s(&[1]))]),
        ),
        ("a padded constant", constant("Pad", &[(1, &[1], one()), (7, &[2], i64s(&[1 << 40, 0]))])),
        (
            "a sum of a row and a column",
            constant("Add", &[(1, &[1, 1 << 17], long.clone()), (1, &[1 << 17, 1], long.clone())]),
        ),
        (
            "a product of a column and a row",
            constant("MatMul", &[(1, &[1 << 17, 1], long.clone()), (1, &[1, 1 << 17], long)]),
        ),
        ("a dim with many brackets", unary("Abs", 1, &[field(2, &nested)])),
        ("a dim with many factors", unary("Abs", 1, &[field(2, &squares)])),
        ("a large input", unary("NonZero", 1, &dims(&[1 << 20, 1 << 20]))),
        ("a large input, settled", unary("Abs", 1, &dims(&[1 << 20, 1 << 20]))),
        ("an input of 42 MB", unary("NonZero", 1, &dims(&[1 << 20, 10]))),
        ("an input of 8 MB", unary("NonZero", 1, &dims(&[1 << 20, 2]))),
        ("an input of 4 MB", unary("NonZero", 1, &dims(&[1 << 20, 1]))),
        ("an input of 4 MB, widened", unary("NonZero", 16, &dims(&[1 << 20, 2]))),
        ("an input of 16 MB", unary("NonZero", 1, &dims(&[1 << 20, 4]))),
        ("an input of 42 MB that nothing reads", onnx(&unread)),
        ("an endless input", unary("NonZero", 1, &dims(&[i64::MAX, i64::MAX]))),
        ("a wide border", onnx(&convolution)),
        ("a transposed convolution of wide strides", onnx(&transposed)),
        ("a node without inputs", onnx(&[nothing("Scaler"), info(12, "y", 1, &[])])),
        ("many nodes", chain("Abs", 4_000)),
        ("more nodes", chain("Abs", 40_000)),
        ("empty nodes", field(7, [0x0a, 0].repeat(1 << 20))),
        ("empty tensors", field(7, [0x2a, 0].repeat(1 << 20))),
        ("empty inputs", field(7, [0x5a, 0].repeat(1 << 20))),
        ("short numbers", field(7, field(5, field(7, vec![1; 8 << 20])))),
    ];
    for (title, bytes) in cases {
        bounded(title, &bytes, || drop(Graph::describe(&bytes)));
        bounded(title, &bytes, || drop(Graph::load(&bytes, &LoadOptions::default())));
    }
}
