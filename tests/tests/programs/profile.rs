//! `ampoule profile`: what it measures, draws and refuses.

use ampoule_tests::{root, run, said};

#[test]
fn a_profile_names_every_node_and_is_drawn() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let clouds = root().join("models/clouds/model.onnx");
    let arguments = ["profile", &clouds.to_string_lossy(), "--runs", "1", "--svg", "clouds.svg"];
    let shape = run(out.path(), &arguments);
    // The picture's size is open in the file.
    assert_eq!(shape.status.code(), Some(1), "{}", said(&shape));
    assert!(said(&shape).contains("expected a shape"), "{}", said(&shape));
    let output = run(out.path(), &[&arguments[..], &["--shape", "pixels=1,3,64,64"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("each of 1 run"), "{table}");
    assert!(table.lines().any(|line| line.contains('%') && line.to_lowercase().contains("conv")), "{table}");
    let svg = std::fs::read_to_string(out.path().join("clouds.svg")).expect("it was drawn");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg:.200}");
    assert!(svg.matches("<rect").count() > 10, "{svg:.200}");
}

#[test]
fn a_booster_is_one_node() {
    let iris = root().join("models/iris");
    let output = run(&root(), &["profile", &iris.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("each of 20 runs"), "{}", said(&output));
}

#[test]
fn what_cant_be_measured_is_said() {
    let iris = root().join("models/iris");
    for (arguments, expected) in [
        (["--graph", "other"], "expected --graph with one of default, got \"other\""),
        (["--shape", "input"], "expected INPUT=N,N,..., got \"input\""),
        (["--shape", "input=1,x"], "expected INPUT=N,N,..., got \"input=1,x\""),
        (["--shape", "width=1,4"], "expected shapes of \"input\", got one of \"width\""),
        (["--shape", "input=1,5"], "expected"),
        (["--runs", "0"], "0 is not in 1.."),
    ] {
        let output = run(&root(), &[&["profile", &*iris.to_string_lossy()], &arguments[..]].concat());
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}
