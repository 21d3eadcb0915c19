//! Builds what runs in sandboxes and `ampoule` carries: the predictors of models without code, and the engines and fronts of
//! portable ampoules.

#[cfg(feature = "cli")]
#[path = "src/guest_build.rs"]
mod guest_build;
#[cfg(feature = "cli")]
#[path = "src/guest_close.rs"]
mod guest_close;
#[cfg(feature = "cli")]
#[path = "src/guest_references.rs"]
mod guest_references;

#[cfg(feature = "cli")]
use std::path::Path;

#[cfg(feature = "cli")]
use guest_build::System;

fn main() {
    link_small();
    println!("cargo::rerun-if-changed=build.rs");
    // What serves in a cloud seals nothing.
    #[cfg(feature = "cli")]
    guests();
}

/// What of the engine works once, before an ampoule is sealed: small.
#[cfg(feature = "cli")]
const ENGINE_ONCE: [&str; 6] =
    ["minijinja", "prost", "regex-syntax", "tract-hir", "tract-nnef", "tract-onnx"];

/// What is optimised as a part of the whole engine anyway, when that is linked: by itself, it would take as long once more.
#[cfg(feature = "cli")]
const ENGINE_LINKED: [&str; 5] =
    ["regex-automata", "tract-core", "tract-data", "tract-extra", "tract-onnx-opl"];

#[cfg(feature = "cli")]
fn guests() {
    // Asked for now, for the folder that this program was built in may have been moved since.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let guest = Path::new(&here).join("../guest");
    for watched in ["wit", "sdk/src", "sdk/Cargo.toml", "prebuilt/src", "prebuilt/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", guest.join(watched).display());
    }
    println!("cargo::rerun-if-changed=src/guest_build.rs");
    println!("cargo::rerun-if-changed=src/guest_close.rs");
    println!("cargo::rerun-if-changed=src/guest_references.rs");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);
    let prebuilt: [(_, _, &[&str]); 2] = [
        ("AMPOULE_PREBUILT_PICTURES", "pictures.wasm", &[]),
        // Its work is small beside making its sandbox, and every start reads its code.
        (
            "AMPOULE_PREBUILT_TABLES",
            "tables.wasm",
            &["--no-default-features", "--config", "profile.release.opt-level='s'"],
        ),
    ];
    for (variable, name, arguments) in prebuilt {
        carry(variable, name, &guest.join("prebuilt"), out, arguments, System::Closed);
    }
    if std::env::var_os("CARGO_FEATURE_PORTABLE").is_some() {
        for watched in [
            "guest/engine/src",
            "guest/engine/Cargo.toml",
            "guest/engine/build.rs",
            "guest/front/src",
            "guest/front/Cargo.toml",
            "host/engine/src",
            "host/engine/Cargo.toml",
            "host/wire/src",
            "host/wire/Cargo.toml",
        ] {
            println!("cargo::rerun-if-changed={}", Path::new(&here).join("..").join(watched).display());
        }
        let small = ["--config", "profile.release.opt-level='s'", "--features"];
        // What its linker says is looked at before it is left out.
        let mut linked = vec!["--config".to_owned(), "profile.release.strip='debuginfo'".to_owned()];
        for (packages, level) in [(ENGINE_ONCE.as_slice(), "'s'"), (ENGINE_LINKED.as_slice(), "1")] {
            for package in packages {
                linked.push("--config".to_owned());
                linked.push(format!("profile.release.package.{package}.opt-level={level}"));
            }
        }
        let linked: Vec<&str> = linked.iter().map(String::as_str).collect();
        let engines: [(_, _, &[&str]); 2] = [
            ("AMPOULE_PORTABLE_ENGINE", "engine.wasm", &[]),
            ("AMPOULE_PORTABLE_BOOSTERS", "boosters.wasm", &["--no-default-features"]),
        ];
        for (variable, name, arguments) in engines {
            let arguments = [linked.as_slice(), arguments].concat();
            carry(variable, name, &guest.join("engine"), out, &arguments, System::Closed);
        }
        let fronts = [
            ("AMPOULE_FRONT_RUN", "run.wasm", "run", System::Open),
            ("AMPOULE_FRONT_HTTP", "http.wasm", "http", System::Closed),
            ("AMPOULE_FRONT_EMBED", "embed.wasm", "embed", System::Closed),
        ];
        for (variable, name, way, system) in fronts {
            carry(variable, name, &guest.join("front"), out, &[small.as_slice(), &[way]].concat(), system);
        }
    }
}

#[cfg(feature = "cli")]
/// Builds the crate in `folder`, and says where the component lies in a variable of the build.
fn carry(variable: &str, name: &str, folder: &Path, out: &Path, arguments: &[&str], system: System) {
    // All in one folder, so that what they share is built once; another of the same crate takes the first one's place there.
    let built = guest_build::build(folder, &out.join("guest"), arguments, system);
    let kept = built.and_then(|component| {
        let kept = out.join(name);
        std::fs::copy(component, &kept).map_err(|cause| format!("{}: {cause}", kept.display()))?;
        Ok(kept)
    });
    match kept {
        Ok(component) => println!("cargo::rustc-env={variable}={}", component.display()),
        Err(why) => println!("cargo::error={why}"),
    }
}

/// What the linker that comes with Rust for this target can do, and another may not know the words for:
/// functions whose code is equal, and there are many in generic code, are kept once (some 3 % of a program).
///
/// What is deployed is packed, so what is alike lies side by side.
fn link_small() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|given| given == value);
    let own = is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && std::env::var_os("RUSTC_LINKER").is_none();
    if !own {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        println!("cargo::rustc-link-arg-bins=-Wl,--bp-compression-sort=both");
    }
}
