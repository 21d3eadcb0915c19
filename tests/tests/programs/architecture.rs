//! Holds the code to `.github/ARCHITECTURE.md`: the arrows between crates, and where `unsafe` stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_tests::root;

fn arrows_on_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(root().join(".github/ARCHITECTURE.md")).expect("the page is there");
    let block = page.split("```").nth(1).expect("the arrows stand in a block");
    block
        .lines()
        .filter_map(|line| line.split_once("->"))
        .map(|(from, to)| {
            (
                from.trim().to_owned(),
                to.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
            )
        })
        .collect()
}

#[test]
fn crates_depend_on_one_another_as_the_page_says() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        // The tests and the benchmark's peer look at everything from outside.
        if name == "ampoule-tests" || name == "ampoule-bare" {
            continue;
        }
        let dependencies = package["dependencies"].as_array().expect("a list");
        let to: BTreeSet<String> = dependencies
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| ours.contains(name))
            .map(str::to_owned)
            .collect();
        found.insert(name.to_owned(), to);
    }
    assert_eq!(found, arrows_on_the_page());
}

#[test]
fn unsafe_code_stands_where_the_page_says() {
    let page = std::fs::read_to_string(root().join(".github/ARCHITECTURE.md")).expect("the page is there");
    let (_, rest) = page.split_once("- **`unsafe` stands in").expect("the page says where it stands");
    let rule = rest.split("\n- ").next().unwrap_or_default();
    let named: BTreeSet<PathBuf> =
        rule.split('`').filter(|name| name.ends_with(".rs")).map(|name| root().join(name)).collect();
    let mut found = BTreeSet::new();
    for folder in ["guest", "host", "functions", "models"] {
        for file in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a source is text");
            if ["unsafe {", "unsafe impl ", "#[unsafe("].iter().any(|word| text.contains(word)) {
                found.insert(file);
            }
        }
    }
    assert_eq!(found, named, "files with unsafe code, and those that the page names");
}

#[test]
fn every_file_that_the_page_names_is_there() {
    let page = std::fs::read_to_string(root().join(".github/ARCHITECTURE.md")).expect("the page is there");
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains(' ')).collect();
    assert!(named.len() > 10, "the page names its files");
    for name in named {
        assert!(root().join(name).exists(), "{name} is not there");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}
