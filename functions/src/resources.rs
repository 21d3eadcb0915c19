//! What a cloud function opens: its model's files at the start, its buckets when they are first needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampoule_host::{Host, HostConfig, Model};
use anyhow::{Context as _, bail};

use crate::job::{Job, Work};
use crate::lazy::Lazy;
use crate::settings::{Environment, Settings};
use crate::store::{Cloud, Store};

/// What most functions never need, and none to start.
pub struct Resources {
    /// The job over the input bucket.
    pub work: Lazy<dyn Work>,
    /// The bucket of predictions.
    pub output: Lazy<dyn Store>,
}

impl Resources {
    /// Those that the settings name, opened as a program of `cloud` does.
    pub fn of(settings: &Settings, model: &Model, cloud: Cloud) -> Self {
        let (told, model, output) = (settings.clone(), model.clone(), settings.output.clone());
        Self {
            work: Lazy::new(move || {
                let (told, model) = (told.clone(), model.clone());
                async move {
                    let job: Arc<dyn Work> = Arc::new(Job::open(&model, &told, &cloud).await?);
                    Ok(job)
                }
            }),
            output: Lazy::new(move || {
                let output = output.clone();
                async move {
                    let place = output.context("expected OUTPUT_BUCKET_NAME, which is not set")?;
                    Ok(place.location(&cloud).context("OUTPUT_BUCKET_NAME")?.open_from(&cloud).await?)
                }
            }),
        }
    }
}

/// What every function begins with: its settings, and the log at the level that they name.
///
/// # Errors
/// A variable isn't what it should be.
pub fn begin() -> anyhow::Result<(Environment, Settings)> {
    let environment = Environment::of_process();
    let settings = Settings::read(&environment)?;
    crate::log::start(&settings.log)?;
    for name in environment.unknown() {
        tracing::warn!(name, "no such setting");
    }
    Ok((environment, settings))
}

impl Settings {
    /// Opens the sealed file that is named, or else the only one of `folder`, by default of the
    /// program's own.
    ///
    /// # Errors
    /// There is none, or there are several; or it can't be opened.
    pub fn open_model(&self, folder: Option<&Path>) -> anyhow::Result<Model> {
        let file = match (&self.model, folder) {
            (Some(file), _) => file.clone(),
            (None, Some(folder)) => only_model(folder)?,
            (None, None) => {
                let program = std::env::current_exe()?;
                only_model(program.parent().context("the program lies in no folder")?)?
            }
        };
        let cache = Some(self.cache_folder(&file)?);
        let config =
            HostConfig { limits: self.limits.clone(), reuse: self.reuse, cache, ..HostConfig::default() };
        let model =
            Host::with_model(config, &file).with_context(|| format!("can't open {}", file.display()))?;
        let opening = model.opening();
        tracing::info!(
            model = model.name(),
            version = model.manifest().version,
            digest = model.digest(),
            code_ms = opening.code.as_secs_f64() * 1e3,
            graphs_ms = opening.graphs.as_secs_f64() * 1e3,
            "model opened"
        );
        Ok(model)
    }

    /// The folder of precompiled code, which has to be there: nothing here could fill it.
    ///
    /// # Errors
    /// It isn't there.
    fn cache_folder(&self, model: &Path) -> anyhow::Result<PathBuf> {
        let beside = || model.parent().unwrap_or(Path::new(".")).join("cache");
        let folder = self.cache.clone().unwrap_or_else(beside);
        if !folder.join("key").is_file() {
            bail!(
                "no precompiled code: expected the folder {} as `ampoule package` fills it (AMPOULE_CACHE names \
                 another); this program has no compiler",
                folder.display()
            );
        }
        Ok(folder)
    }
}

/// The only sealed file of a folder.
///
/// # Errors
/// There is none, or there are several.
fn only_model(folder: &Path) -> anyhow::Result<PathBuf> {
    let read = || format!("can't read the folder {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            found.push(path);
        }
    }
    let place = folder.display();
    match found.as_slice() {
        [file] => Ok(file.clone()),
        [] => bail!("expected a sealed file (.wasm) in {place}, got none (AMPOULE_MODEL names one)"),
        several => {
            let count = several.len();
            bail!("expected one sealed file (.wasm) in {place}, got {count} (AMPOULE_MODEL names one)")
        }
    }
}
