//! Builds a predictor's crate into a component, with the right target and flags.
//!
//! Used by this crate's build script (for the predictor of models without code) and by
//! `ampoule seal` (for a model's own).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guest_close;

/// The target that makes a component.
pub const TARGET: &str = "wasm32-wasip2";

/// What a guest's component imports of its standard library's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// No arguments, environment, terminal and files: the guest answers itself that there are none
    Closed,
    /// All that it asks for
    #[allow(dead_code, reason = "what runs as a command is built by the build script alone")]
    Open,
}

/// Builds the crate in `folder`, with more `arguments` for cargo, and gives the component's path.
///
/// # Errors
/// One line: the target is missing and can't be added, or the build failed (its output was shown).
pub fn build(
    folder: &Path,
    target_dir: &Path,
    arguments: &[&str],
    system: System,
) -> Result<PathBuf, String> {
    // Whatever the caller's flags are, a guest gets these.
    let simd = if cfg!(feature = "scalar") { "-simd128" } else { "+simd128" };
    // A guest lies where its linker puts it, and nothing is linked to it later.
    let mut flags = vec![format!("-Ctarget-feature={simd}"), "-Crelocation-model=static".to_owned()];
    if system == System::Closed {
        flags.push("-Clink-arg=--skip-wit-component".to_owned());
    }
    add_target(folder)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = folder.join("Cargo.toml");
    let name = package_name(&manifest)?;
    let status = Command::new(cargo)
        .arg("build")
        .args(["--release", "--target", TARGET])
        .args(arguments)
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        // Lints are for the workspace, not for what is built on the way.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "true")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .status()
        .map_err(|cause| format!("can't run cargo to build {}: {cause}", folder.display()))?;
    if !status.success() {
        return Err(format!("the predictor in {} did not build ({status})", folder.display()));
    }
    let built = target_dir.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
    if !built.exists() {
        return Err(format!(
            "{} built no component {}: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]",
            folder.display(),
            built.display()
        ));
    }
    if system == System::Open {
        return Ok(built);
    }
    let module = std::fs::read(&built).map_err(|cause| format!("{}: {cause}", built.display()))?;
    let component = built.with_extension("component.wasm");
    let made = guest_close::component(&module)?;
    std::fs::write(&component, made).map_err(|cause| format!("{}: {cause}", component.display()))?;
    Ok(component)
}

/// Makes sure that the target's standard library is there.
fn add_target(folder: &Path) -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let installed = || {
        let output = Command::new(&rustc)
            .args(["--print", "target-libdir", "--target", TARGET])
            .current_dir(folder)
            .output()
            .ok()?;
        let libdir = String::from_utf8(output.stdout).ok()?;
        Path::new(libdir.trim()).is_dir().then_some(())
    };
    if installed().is_some() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).output();
    if installed().is_some() {
        return Ok(());
    }
    let why = match added {
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned(),
        Err(cause) => cause.to_string(),
    };
    Err(format!(
        "the Rust target {TARGET} is missing and can't be added ({why}): run `rustup target add {TARGET}`"
    ))
}

/// The first `name = "…"` of a Cargo.toml, which is its package's.
fn package_name(manifest: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(manifest)
        .map_err(|cause| format!("can't read {}: {cause}", manifest.display()))?;
    let name = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("name")?.trim().strip_prefix('=').map(str::trim));
    name.map(|name| name.trim_matches('"').to_owned())
        .ok_or_else(|| format!("{} names no package", manifest.display()))
}
