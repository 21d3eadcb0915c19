//! The ampoule command, its server and its cloud functions.
//!
//! A caller's bytes enter through [`ampoule_wire`], go to a model, and leave through it again; [`serve`]
//! does so over HTTP, `cli` at a terminal, [`lambda`] for the [`event`]s of AWS and [`cloud`] for those
//! of Google Cloud and Azure. Whole files go through [`rows`]. This crate is the only one that knows of
//! HTTP, of folders of files and of environment variables.

#[cfg(feature = "cli")]
pub mod cli;
pub mod cloud;
pub mod event;
#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "cli")))]
mod glibc;
#[cfg(feature = "cli")]
#[cfg(feature = "cli")]
mod guest_build;
#[cfg(feature = "cli")]
mod guest_close;
#[cfg(feature = "cli")]
mod guest_references;
pub mod job;
pub mod lambda;
pub mod lazy;
pub mod log;
pub mod resources;
pub mod rows;
pub mod serve;
pub mod settings;
pub mod store;
mod threads;
