//! What the contract's WIT generates: the types that cross the sandbox's wall.

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
    world: "ampoule:model/ampoule",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "ampoule_guest::bindings",
    generate_all,
});
