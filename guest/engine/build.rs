//! Has the linker say what refers to what, so that `ampoule seal` can leave out what a prepared engine doesn't reach.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=--emit-relocs");
        // Memory is searched for functions' places in the table: they begin behind what lengths and sizes usually are. `wasmtime
        // serve` gives a table 20,000 places, and the engine has some 10,000 functions in it.
        println!("cargo::rustc-link-arg-cdylib=--table-base=8193");
    }
}
