//! Builds the predictor of models without code, so that `ampoule` carries it.

#[path = "src/guest_build.rs"]
mod guest_build;

use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guest = here.join("../guest");
    for watched in ["wit", "sdk/src", "sdk/Cargo.toml", "prebuilt/src", "prebuilt/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", guest.join(watched).display());
    }
    println!("cargo::rerun-if-changed=src/guest_build.rs");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    match guest_build::build(&guest.join("prebuilt"), &Path::new(&out).join("guest")) {
        Ok(component) => println!("cargo::rustc-env=AMPOULE_PREBUILT={}", component.display()),
        Err(why) => println!("cargo::error={why}"),
    }
}
