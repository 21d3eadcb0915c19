//! Where the time of an ampoule's graphs goes, measured outside of the sandbox.

use std::collections::BTreeMap;

use ampoule_engine::{Graph, LoadOptions};

pub use ampoule_engine::Profile;

use crate::{Engine, Error};

/// Runs the graph in `file` `runs` times by `engine` on values that are made up, and measures each of its nodes.
///
/// `shapes` names inputs' shapes; without one, the first axis is 1 where it is open, and the others must be fixed.
///
/// # Errors
/// [`Error::Graph`] for a file that is no graph, and for a shape that is missing or doesn't fit;
/// [`Error::NotPortable`] for [`Engine::Portable`], which runs in the sandbox alone.
pub fn profile(
    name: &str,
    file: &[u8],
    shapes: &BTreeMap<String, Vec<usize>>,
    runs: usize,
    engine: Engine,
) -> Result<Profile, Error> {
    let engine = engine.outside().ok_or_else(|| Error::NotPortable(name.to_owned()))?;
    let measured = Graph::load(file, &LoadOptions { engine, ..LoadOptions::default() })
        .and_then(|graph| graph.sample(shapes).and_then(|inputs| graph.profile(inputs, runs)));
    measured.map_err(|source| Error::Graph { name: name.to_owned(), source })
}
