//! What a profile says adds up, and a model's names are data in its picture.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod golden;

use std::time::Duration;

use ampoule_engine::{Implementation, Profile};
use golden::{json, load, tensors};

fn profile(name: &str, runs: usize) -> Profile {
    load(name).profile(tensors(&json(name)["runs"][0]["inputs"]), runs).unwrap()
}

#[test]
fn shares_and_times_add_up() {
    // One plan, a plan per shape, trees, a loop and a graph in steps.
    for name in ["mlp", "cnn", "iris_trees", "loop", "sizes"] {
        let profile = profile(name, 3);
        let (nodes, operators) = (profile.nodes(), profile.operators());
        assert_eq!(profile.runs(), 3);
        assert!(!nodes.is_empty(), "{name}");
        let sum: f64 = nodes.iter().map(|node| node.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{name}: the nodes' shares are {sum} in all");
        let sum: f64 = operators.iter().map(|operator| operator.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{name}: the operators' shares are {sum} in all");
        let time: Duration = nodes.iter().map(|node| node.time).sum();
        assert_eq!(operators.iter().map(|operator| operator.time).sum::<Duration>(), time, "{name}");
        assert_eq!(operators.iter().map(|operator| operator.nodes).sum::<usize>(), nodes.len(), "{name}");
        assert!(time <= profile.whole(), "{name}: {time:?} in nodes, {:?} in all", profile.whole());
        assert!(operators.is_sorted_by(|a, b| a.time >= b.time), "{name}");
    }
}

#[test]
fn who_computes_is_said() {
    let by = |name: &str, operator: &str| {
        let profile = profile(name, 1);
        let found = profile.operators().into_iter().find(|o| o.operator == operator);
        found.unwrap_or_else(|| panic!("{name} has no {operator}: {profile}")).by
    };
    assert_eq!(by("iris_trees", "Trees"), Implementation::Ours);
    assert_eq!(by("sizes", "Resize"), Implementation::Ours);
    assert_eq!(by("names", "Softmax"), Implementation::Tract);
}

#[test]
fn a_table_has_a_line_for_every_operator_and_node() {
    let profile = profile("mlp", 2);
    let table = profile.to_string();
    assert!(table.contains("each of 2 runs"), "{table}");
    for node in profile.nodes() {
        assert!(table.lines().any(|line| line.ends_with(&node.name)), "{} is missing:\n{table}", node.name);
    }
    // The head, an empty line, titles, operators, an empty line, titles, nodes.
    assert_eq!(table.lines().count(), 5 + profile.operators().len() + profile.nodes().len());
}

#[test]
fn names_are_escaped_in_the_picture() {
    let profile = profile("names", 1);
    assert!(profile.nodes().iter().any(|node| node.name.contains("<script>")), "{profile}");
    let svg = profile.to_svg();
    assert!(svg.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;more&quot;"), "{svg}");
    let tags = ["svg", "/svg", "g", "/g", "title", "/title", "rect", "text", "/text", "tspan", "/tspan"];
    for tag in svg.split('<').skip(1) {
        let name = tag.split([' ', '>', '/']).next().unwrap();
        let name = if let Some(end) = tag.strip_prefix('/') {
            format!("/{}", end.split('>').next().unwrap())
        } else {
            name.to_owned()
        };
        assert!(tags.contains(&name.as_str()), "<{tag}");
    }
    let forbidden = |letter: char| letter.is_control() && letter != '\n';
    assert!(!svg.contains(forbidden), "{svg}");
    // Every ampersand begins one of the five entities.
    for rest in svg.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|e| rest.starts_with(e)), "&{rest}");
    }
}
