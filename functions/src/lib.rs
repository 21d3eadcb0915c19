//! The ampoule command, its server and its cloud functions.
//!
//! A caller's bytes enter through [`wire`], go to a model, and leave through it again; [`serve`]
//! does so over HTTP, [`cli`] at a terminal. This crate is the only one that knows of HTTP, of
//! folders of files and of environment variables.

pub mod cli;
pub mod guest_build;
pub mod serve;
pub mod wire;
