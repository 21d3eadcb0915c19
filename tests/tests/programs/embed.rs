//! The library as a dependency: the example that shows it, and calls of programs that are not asynchronous.

use std::process::{Command, Output};

use ampoule_host::{Decoder, Host, HostConfig, Kind, Model, encode};
use ampoule_tests::{cache, example, portable, root, run, said, sealed};

const ROWS: &str = "[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]";

fn embed(arguments: &[&str]) -> Output {
    Command::new(example("embed")).args(arguments).output().expect("the example starts")
}

/// What the command predicts for the rows.
fn predicted() -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("rows.json"), ROWS).expect("written");
    let output = run(folder.path(), &["predict", &sealed("iris").to_string_lossy(), "rows.json"]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn the_example_predicts_as_the_command_does() {
    let expected = predicted();
    assert_eq!(expected.lines().count(), 2, "{expected}");
    let (plain, portable, cache) = (sealed("iris"), portable("iris"), cache());
    let [plain, portable, cache] = [&plain, &portable, &cache].map(|path| path.to_string_lossy());
    for arguments in [&[&*plain, ROWS][..], &[&*portable, ROWS], &[&*plain, ROWS, &*cache]] {
        let output = embed(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{arguments:?}");
    }
    for (arguments, expected) in [
        (&[&*plain, "[[1, 2]]"][..], "instances[0]: expected 4 values, got 2"),
        (&["none.wasm", ROWS], "none.wasm"),
        (&["none.wasm", ROWS], "No such file"),
        (&[&*plain], "expected AMPOULE INSTANCES [CACHE]"),
    ] {
        let output = embed(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "expected {expected:?} in {}", said(&output));
    }
}

/// What `model` predicts for the rows, a line for each.
fn lines(model: &Model) -> String {
    let body = format!("{{\"instances\": {ROWS}}}");
    let request = Decoder::new(model.manifest(), 10).request(body.as_bytes()).expect("two rows");
    let answer = model.predict_blocking(request.instances, None).expect("it predicts");
    let mut lines = Vec::new();
    encode::predictions(&answer.predictions, &model.manifest().outputs, b"\n", &mut lines).expect("numbers");
    String::from_utf8(lines).expect("it is text") + "\n"
}

#[test]
fn threads_call_at_one_time_and_wait() {
    let expected = predicted();
    let config = HostConfig { cache: Some(cache()), ..HostConfig::default() };
    let model = Host::with_model(config, &sealed("iris")).expect("it opens");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(lines(&model), expected)));
        }
    });
    // The last of a host may go where nothing may wait.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async move { drop(model) });
}

#[test]
fn a_call_that_blocks_ends_at_its_deadline() {
    let mut config = HostConfig { cache: Some(cache()), ..HostConfig::default() };
    config.limits.deadline_ms = 200;
    let model = Host::with_model(config, &sealed("hostile")).expect("it opens");
    let ask = |deed: &str| {
        let body = format!("{{\"instances\": [\"{deed}\"]}}");
        let request = Decoder::new(model.manifest(), 1).request(body.as_bytes()).expect("a deed");
        model.predict_blocking(request.instances, None)
    };
    for _ in 0..2 {
        let late = ask("spin").expect_err("it does not end");
        assert_eq!(late.code(), "deadline_exceeded", "{late}");
        assert!(matches!(late.kind(), Kind { retry: true, .. }));
        ask("compute").expect("the next is answered");
    }
}

#[test]
fn a_file_that_is_none_is_not_opened() {
    let refused = Model::open(root().join("README.md")).err().expect("it is no ampoule");
    assert_eq!(refused.code(), "not_an_ampoule", "{refused}");
}
