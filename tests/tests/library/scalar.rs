//! Guests that are built without SIMD, in a runtime that has none.

use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_host::seal::{self, Parts};
use ampoule_host::{Ampoule, Decoder, Model};
use ampoule_tests::{FRONT, portable, root, run, said};
use serde_json::Value;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

#[allow(unsafe_code, clippy::pedantic, unused_qualifications, reason = "generated from the WIT")]
mod contract {
    wasmtime::component::bindgen!({
        inline: "
            package ampoule:scalar;
            world opened {
                export ampoule:model/predictor@0.1.0;
            }
        ",
        path: ["../guest/wit"],
        world: "ampoule:scalar/opened",
        with: { "ampoule:model/types@0.1.0": ampoule_wire::types },
    });
}

/// Builds the guest in `folder`, in its small form, without SIMD.
fn built(folder: &str, name: &str) -> PathBuf {
    let target = root().join("target/scalar");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--target", "wasm32-wasip2", "--no-default-features", "--manifest-path"])
        .arg(root().join(folder).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=-simd128")
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", said(&output));
    target.join("wasm32-wasip2/release").join(name)
}

/// Iris of guests without SIMD, put together in `folder`.
async fn iris(folder: &Path) -> Vec<u8> {
    let predictor = built("guest/prebuilt", "ampoule_prebuilt.wasm");
    let engine = std::fs::read(built("guest/engine", "ampoule_portable_engine.wasm")).expect("it was built");
    let model = root().join("models/iris");
    let manifest = std::fs::read_to_string(model.join("ampoule.toml")).expect("it is there");
    let manifest = format!("predictor = {:?}\n{manifest}", predictor.to_string_lossy());
    std::fs::write(folder.join("ampoule.toml"), manifest).expect("it can be written");
    std::fs::copy(model.join("model.json"), folder.join("model.json")).expect("it can be copied");
    let output = run(folder, &["seal", ".", "-o", "iris.wasm"]);
    assert!(output.status.success(), "{}", said(&output));
    let sealed = Ampoule::open(&folder.join("iris.wasm")).expect("it was sealed");
    let front = wat::parse_str(FRONT).expect("it is WebAssembly");
    let parts = Parts { engine: &engine, boosters: &engine, front: &front };
    seal::portable(&sealed, &parts, &[]).await.expect("the parts fit together")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds for minutes, see `make test-all`"]
async fn answers_are_the_same_without_simd() {
    let mut config = Config::new();
    config.concurrency_support(false).wasm_simd(false).wasm_relaxed_simd(false);
    let engine = Engine::new(&config).expect("an engine starts");
    let usual = std::fs::read(portable("iris")).expect("it was sealed");
    let Err(refused) = Component::new(&engine, usual) else { panic!("it has no SIMD") };
    assert!(format!("{refused:#}").contains("SIMD"), "{refused:#}");

    let folder = tempfile::tempdir().expect("a folder can be made");
    let scalar = Component::new(&engine, iris(folder.path()).await).expect("it has none");
    let mut linker = Linker::<()>::new(&engine);
    // Of WASI, a prediction uses nothing.
    linker.define_unknown_imports_as_traps(&scalar).expect("the rest is there");
    let mut store = Store::new(&engine, ());
    let opened =
        contract::Opened::instantiate(&mut store, &scalar, &linker).expect("nothing else is asked for");

    let model = Model::open(portable("iris")).expect("it opens");
    let reference = std::fs::read(root().join("models/iris/reference.json")).expect("it is there");
    let reference: Value = serde_json::from_slice(&reference).expect("it is JSON");
    let body = serde_json::json!({ "instances": reference["instances"] }).to_string();
    let request = Decoder::new(model.manifest(), 1000).request(body.as_bytes()).expect("rows");
    let predictor = opened.ampoule_model_predictor();
    let answered = predictor.call_predict(&mut store, &request.instances, None).expect("it does not trap");
    let ours = model.predict(request.instances, None).await.expect("it predicts").predictions;
    assert_eq!(ours.instances(), 150);
    assert_eq!(format!("{ours:?}"), format!("{:?}", answered.expect("it predicts")), "to the bit");
}
