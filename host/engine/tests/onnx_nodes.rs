//! ONNX's own backend node cases, each passed within its tolerance or refused by its operator's name. `CONFORMANCE.md`
//! is the table of this run; `CONFORMANCE=write` writes it, `CASES=part of a name` shows why those cases don't pass.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "onnx_nodes/case.rs"]
mod case;
#[path = "onnx_nodes/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use case::{Case, Outcome};

#[test]
fn every_case_passes_or_is_refused_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(folder) = written(&root) else { return };
    // tract's panics are caught, but a hook prints them.
    std::panic::set_hook(Box::new(|_| {}));
    let cases = case::read(&folder);
    let outcomes: Vec<(&Case, Outcome)> = cases.iter().map(|case| (case, case.run())).collect();
    let _ = std::panic::take_hook();
    if let Ok(part) = std::env::var("CASES") {
        for (case, outcome) in outcomes.iter().filter(|(case, _)| case.name.contains(&part)) {
            println!("{} {:?}: {outcome:?}", case.name, case.operators);
        }
    }
    let table = table::of(&outcomes);
    println!("{}", table.summary);
    let path = root.join("host/engine/CONFORMANCE.md");
    if std::env::var("CONFORMANCE").is_ok_and(|how| how == "write") {
        std::fs::write(&path, &table.document).unwrap();
    }
    assert!(table.wrong.is_empty(), "wrong answers: {:#?}", table.wrong);
    assert!(table.unnamed.is_empty(), "refused without the operator's name: {:#?}", table.unnamed);
    assert!(table.share >= 0.92, "expected 92 % of the cases about inference to pass, got {}", table.share);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == table.document, "CONFORMANCE.md differs from this run: CONFORMANCE=write writes it");
}

/// The folder with the cases, written by the environment of `make test`.
fn written(root: &Path) -> Option<PathBuf> {
    let python = root.join("target/venv/bin/python");
    let folder = root.join("target/onnx-nodes");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_nodes.py");
    let made = python.exists() && Command::new(&python).args([&script, &folder]).status().unwrap().success();
    if !made {
        assert!(
            std::env::var_os("CI").is_none(),
            "expected {} with onnx, as `make test` makes it",
            python.display()
        );
        eprintln!("skipped: {} with onnx is missing, `make test` makes it", python.display());
        return None;
    }
    Some(folder)
}
