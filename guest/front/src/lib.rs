//! What asks a portable ampoule's predictor where no host of ours does. Built once for each way in: as a command (`run`),
//! as an HTTP server's handler (`http`), and for a program that holds it (`embed`). Instances and predictions have the forms
//! that they have everywhere.

#![cfg(target_family = "wasm")]

mod bindings;
#[cfg(feature = "embed")]
mod embed;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "embed", feature = "http"))]
mod refused;
#[cfg(feature = "run")]
mod run;

use std::sync::OnceLock;

use ampoule_wire::Manifest;

struct Component;

static MANIFEST: OnceLock<Manifest> = OnceLock::new();

impl bindings::Guest for Component {
    fn load(manifest: String) -> Result<(), String> {
        let manifest = Manifest::from_json(manifest.as_bytes()).map_err(|cause| cause.to_string())?;
        MANIFEST.set(manifest).map_err(|_| "the manifest is loaded already".to_owned())
    }
}

/// The ampoule's manifest.
fn manifest() -> &'static Manifest {
    MANIFEST.get().expect("it is loaded when the ampoule is sealed")
}

bindings::export!(Component with_types_in bindings);
