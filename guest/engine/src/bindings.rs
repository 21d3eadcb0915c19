//! What the WIT generates: `wasi:nn` from the side that answers.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    unsafe_code,
    unused_qualifications,
    missing_docs,
    reason = "generated from the WIT"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "ampoule:model/engine",
    generate_all,
    // Nothing is called before `prepare`, which does it.
    disable_run_ctors_once_workaround: true,
});
