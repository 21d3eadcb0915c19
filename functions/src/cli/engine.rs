//! The options that choose what runs graphs, shared by all commands that run them.

use std::path::PathBuf;

use ampoule_host::{Engine, OnnxRuntime};
use anyhow::Context as _;
use clap::ValueEnum;

/// What runs graphs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineOptions {
    /// What runs the model's graphs
    #[arg(long, env = "AMPOULE_ENGINE", default_value = "native", value_name = "ENGINE")]
    engine: EngineName,
    /// ONNX Runtime's shared library, 1.17 or newer; PyPI's onnxruntime holds it as
    /// onnxruntime/capi/libonnxruntime.so.VERSION
    #[arg(
        long,
        env = "AMPOULE_ONNXRUNTIME_LIBRARY",
        value_name = "FILE",
        required_if_eq("engine", "onnxruntime")
    )]
    onnxruntime_library: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// Ampoule's own
    Native,
    /// ONNX Runtime, from --onnxruntime-library; for graphs in ONNX
    #[value(name = "onnxruntime")]
    OnnxRuntime,
    /// The one that a portable ampoule brings along, in the sandbox: for models whose author is not trusted
    Portable,
}

impl EngineOptions {
    /// Opens the library, where one is asked for.
    pub fn open(&self) -> anyhow::Result<Engine> {
        match (self.engine, &self.onnxruntime_library) {
            (EngineName::OnnxRuntime, Some(library)) => {
                Ok(Engine::OnnxRuntime(OnnxRuntime::open(library).context("--engine onnxruntime")?))
            }
            (EngineName::OnnxRuntime, None) => anyhow::bail!("expected --onnxruntime-library, got none"),
            (EngineName::Native, _) => Ok(Engine::Native),
            (EngineName::Portable, _) => Ok(Engine::Portable),
        }
    }
}
