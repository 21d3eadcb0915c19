//! What the WIT generates: the predictor from the side that asks.

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

#[cfg(not(feature = "embed"))]
wit_bindgen::generate!({
    path: "../wit",
    world: "ampoule:model/front",
    with: { "ampoule:model/types@0.1.0": ampoule_wire::types },
    generate_all,
});

#[cfg(feature = "embed")]
wit_bindgen::generate!({
    path: "../wit",
    world: "ampoule:model/embedded",
    with: { "ampoule:model/types@0.1.0": ampoule_wire::types },
    generate_all,
});
