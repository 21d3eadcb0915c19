//! `ampoule profile`: where a model's time goes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ampoule_host::profile::profile;
use ampoule_host::{Ampoule, GraphFacts};
use anyhow::{Context as _, bail};

use super::engine::EngineOptions;
use super::seal::seal_path;
use super::{Exit, outcome};

/// Measures a model's graph, node by node, outside of the sandbox.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule profile iris.wasm
  ampoule profile model.onnx --shape image=1,3,320,320 --svg profile.svg
  ampoule profile model.onnx --engine onnxruntime --onnxruntime-library libonnxruntime.so.1.31.1
                                     as a whole in ONNX Runtime, to compare")]
pub struct Profile {
    /// An ampoule, or what `ampoule seal` takes
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The graph, where there are several
    #[arg(long, value_name = "NAME")]
    graph: Option<String>,
    /// An input's shape, where an axis is open
    #[arg(long, value_name = "INPUT=N,N,...", value_parser = shape)]
    shape: Vec<(String, Vec<usize>)>,
    /// How often it is run
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Draws the times into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineOptions,
}

impl Profile {
    pub fn run(self) -> anyhow::Result<Exit> {
        let sealed = self.model.extension().is_some_and(|ending| ending == "wasm");
        let ampoule = if sealed { Ampoule::open(&self.model)? } else { seal_path(&self.model, None)? };
        let (index, facts) = self.chosen(&ampoule.manifest().graphs)?;
        let shapes: BTreeMap<String, Vec<usize>> = self.shape.iter().cloned().collect();
        let (runs, engine) = (self.runs as usize, self.engine.open()?);
        let measured = profile(&facts.name, ampoule.graph(index), &shapes, runs, engine)
            .context("can't be measured (--shape says how large an input is)")?;
        outcome::print(measured.to_string().as_bytes())?;
        if let Some(file) = &self.svg {
            outcome::publish(file, measured.to_svg().as_bytes())?;
        }
        Ok(Exit::Done)
    }

    fn chosen<'g>(&self, graphs: &'g [GraphFacts]) -> anyhow::Result<(usize, &'g GraphFacts)> {
        let names = || graphs.iter().map(|graph| graph.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match (&self.graph, graphs) {
            (None, [only]) => Some((0, only)),
            (None, []) => bail!("{} holds no graph", self.model.display()),
            (None, _) => bail!("expected --graph with one of {}, got none", names()),
            (Some(name), _) => graphs.iter().enumerate().find(|(_, graph)| graph.name == *name),
        };
        let asked = self.graph.as_deref().unwrap_or_default();
        found.with_context(|| format!("expected --graph with one of {}, got {asked:?}", names()))
    }
}

/// `image=1,3,320,320`.
fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let expected = || format!("expected INPUT=N,N,..., got {text:?}");
    let (name, sizes) = text.rsplit_once('=').ok_or_else(expected)?;
    let sizes = sizes.split(',').map(|size| size.trim().parse().map_err(|_| expected()));
    Ok((name.to_owned(), sizes.collect::<Result<_, _>>()?))
}
