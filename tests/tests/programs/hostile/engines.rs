//! Portable ampoules that a stranger put together: an engine in the sandbox that misbehaves, and parts that no
//! sealing would put in.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ampoule_host::Ampoule;
use ampoule_host::seal::{self, Parts};
use ampoule_tests::{Server, build_as_a_stranger, portable, root, run, said, sealed};
use tempfile::TempDir;

use super::guests::{broken, deed, fine, late, limited, part};
use super::table::{Good, SETTLED, hold};

/// The hostile predictor with the hostile engine.
fn composed() -> &'static Path {
    static MADE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &MADE
        .get_or_init(|| {
            let folder = root().join("tests/models/hostile/engine");
            build_as_a_stranger(&folder);
            let engine = folder.join("target/wasm32-wasip2/release/hostile_engine.wasm");
            let engine = std::fs::read(engine).expect("it was built");
            let front = wat::parse_str(ampoule_tests::FRONT).expect("it is WebAssembly");
            let parts = Parts { engine: &engine, boosters: &engine, front: &front };
            let predictor = Ampoule::open(&sealed("hostile")).expect("it was sealed");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime starts");
            let whole = runtime.block_on(seal::portable(&predictor, &parts, &[])).expect("it fits together");
            let out = tempfile::tempdir().expect("a folder can be made");
            let path = out.path().join("hostile.wasm");
            std::fs::write(&path, whole).expect("it can be written");
            (out, path)
        })
        .1
}

const LIMITS: [&str; 8] =
    ["--engine", "portable", "--deadline-ms", "500", "--memory-mib", "64", "--max-output-bytes", "1048576"];

fn serve(models: &[&Path]) -> Server {
    let models: Vec<&str> = models.iter().map(|path| path.to_str().expect("a path is text")).collect();
    Server::start_with(&[models.as_slice(), LIMITS.as_slice()].concat(), &SETTLED)
}

#[test]
fn an_engine_that_misbehaves_is_ended_with_its_call() {
    let contract = |name: &str| broken(&format!("engine:{name}"), "guest_contract");
    let trap = |name: &str| broken(&format!("engine:{name}"), "guest_trap");
    let row = |name: &str| fine(&format!("engine:{name}"), "[1.0,1.0,1.0,1.0]");
    let cases = [
        late("engine:spin"),
        late("engine:load-spin"),
        late("engine:data-spin"),
        trap("recurse"),
        trap("trap"),
        trap("panic").hides("canary-7f3a"),
        limited("engine:grow-on", "guest_oom"),
        row("grow-politely"),
        row("grow-whole"),
        contract("handles").hides("handle"),
        contract("none"),
        contract("many"),
        contract("twice").hides("handle"),
        contract("forged").hides("handle"),
        contract("graph-forged").hides("handle"),
        contract("context-forged").hides("handle"),
        contract("error-forged").hides("handle"),
        contract("error-utf8"),
        contract("error-long"),
        trap("error-lies"),
        contract("name-utf8"),
        trap("type"),
        contract("shape"),
        contract("shape-empty"),
        contract("shape-deep"),
        contract("rows"),
        contract("short"),
        contract("long"),
        contract("nan").hides("NaN"),
        trap("dimensions-lie"),
        trap("data-lies"),
        trap("data-beyond"),
        limited("engine:large", "output_too_large"),
        // Nothing of one call is there in the next.
        fine("engine:computes", "1.0"),
        row("identity"),
        deed("wrong-shape").status(200),
        // The parts that are no engine's are bounded as everywhere.
        late("spin"),
        limited("grow-on", "guest_oom"),
        broken("unreachable", "guest_trap"),
    ];
    let mut server = serve(&[composed()]);
    hold(&mut server, &Good::json("{\"instances\":[\"compute\"]}"), &cases);
}

/// The composed file with a core module more, instantiated `times`, as each call's sandbox is made.
fn with_module(text: &str, times: u8) -> Vec<u8> {
    let module = wat::parse_str(text).expect("it is WebAssembly");
    // An instance: of a module, the first, with no arguments.
    let instances = [&[times][..], &[0, 0, 0].repeat(times.into())].concat();
    let whole = std::fs::read(composed()).expect("it was written");
    // Component Model, Binary.md: sections 1, a core module, and 2, core instances.
    [whole, part(1, &module), part(2, &instances)].concat()
}

#[test]
fn parts_that_a_stranger_added_are_bounded_with_the_rest() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("hostile.wasm");
    let pages = |pages: u32| format!("(module (memory {pages}))");
    let trap = "(module (func $f unreachable) (start $f))";
    let cases = [
        ("(module (func $f (loop br 0)) (start $f))", late("compute")),
        (trap, broken("compute", "guest_trap")),
        // 63 MiB, and what the others begin with.
        (&pages(1008), limited("compute", "guest_oom")),
        // The memory is one for all: 40 and 40 MiB are too much, 40 and 10 aren't.
        (&pages(640), limited("grow:40", "guest_oom")),
        (&pages(640), fine("grow:10", "true")),
    ];
    let good = Good { path: "/models/iris/predictions", ..Good::json("{\"instances\":[[5.1,3.5,1.4,0.2]]}") };
    for (module, case) in cases {
        println!("{module}");
        std::fs::write(&file, with_module(module, 1)).expect("it can be written");
        hold(&mut serve(&[&file, &portable("iris")]), &good, &[case]);
    }

    // More than a sandbox has places for.
    std::fs::write(&file, with_module(&pages(1), 2)).expect("it can be written");
    let arguments = ["serve", "hostile.wasm", "--port", "0", "--engine", "portable"];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("predictor: "), "{}", said(&output));
}
