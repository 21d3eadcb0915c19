//! How a predictor is called, generated from `guest/wit`; the types are those of [`ampoule_wire`].

#![allow(
    clippy::pedantic,
    unsafe_code,
    unused_qualifications,
    reason = "generated from the WIT by wasmtime's macro"
)]

wasmtime::component::bindgen!({
    inline: "
        package ampoule:host;
        world opened {
            export ampoule:model/predictor@0.1.0;
        }
    ",
    path: ["../../guest/wit"],
    world: "ampoule:host/opened",
    exports: { default: async },
    with: { "ampoule:model/types@0.1.0": ampoule_wire::types },
});
