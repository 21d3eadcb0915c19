//! Files and folders that commands read instances from, and the layouts of their outputs.

use std::fs::File;
use std::path::{Path, PathBuf};

use ampoule_host::Manifest;
use anyhow::{Context as _, bail};

use ampoule_wire::rows::{self, Batches, Bounds, Format, Keep, Layout};

/// How predictions are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Laid {
    /// The prediction alone: a picture, or a line of JSON for each row
    Own,
    /// The input's columns, the predictions and what is wrong with a row, as CSV
    Csv,
    /// The same as typed columns
    Parquet,
}

impl Laid {
    pub fn layout(self) -> Layout {
        match self {
            Self::Own => Layout::Own,
            Self::Csv => Layout::Csv,
            Self::Parquet => Layout::Parquet,
        }
    }
}

/// The format of `path` (`-` is standard input), where `said` doesn't tell.
///
/// # Errors
/// Its name shows none.
pub fn format(path: &Path, said: Option<Format>, manifest: &Manifest) -> anyhow::Result<Format> {
    let default = if manifest.takes_media().is_some() { Format::Image } else { Format::Jsonl };
    match said.or_else(|| Format::of(&path.to_string_lossy())) {
        Some(format) => Ok(format),
        None if path == Path::new("-") => Ok(default),
        None => bail!(
            "{}: its name shows no format: expected {} (or say --format)",
            path.display(),
            Format::ENDINGS
        ),
    }
}

/// Reads `path` (`-` is standard input) as rows.
///
/// # Errors
/// The file can't be read, or doesn't begin as its format asks.
pub fn rows<'a>(
    path: &Path,
    format: Format,
    manifest: &'a Manifest,
    bounds: Bounds,
    keep: Keep,
) -> anyhow::Result<Batches<'a>> {
    if path != Path::new("-") {
        let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        return Ok(rows::read_file(manifest, format, bounds, keep, file)?);
    }
    if format == Format::Parquet {
        let mut file = tempfile::tempfile().context("can't make a temporary file")?;
        std::io::copy(&mut std::io::stdin(), &mut file).context("can't read standard input")?;
        return Ok(rows::read_file(manifest, format, bounds, keep, file)?);
    }
    Ok(rows::read(manifest, format, bounds, keep, std::io::stdin())?)
}

/// Every file of `inputs`, with the folder that it was found in. Of a folder, those that the model takes: pictures or
/// tables.
///
/// # Errors
/// A folder can't be listed, or holds none.
pub fn listed(inputs: &[PathBuf], manifest: &Manifest) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut listed = Vec::new();
    for path in inputs {
        if !path.is_dir() {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            listed.push((folder, path.clone()));
            continue;
        }
        let pictures = manifest.takes_media().is_some();
        let wanted = |file: &PathBuf| match Format::of(&file.to_string_lossy()) {
            Some(Format::Image) => pictures,
            Some(_) => !pictures,
            None => false,
        };
        let before = listed.len();
        listed.extend(files(path)?.into_iter().filter(wanted).map(|file| (path.clone(), file)));
        if listed.len() == before {
            let expected = if pictures { "pictures" } else { "tables (.json, .jsonl, .csv, .parquet)" };
            bail!("{}: expected {expected}, found none", path.display());
        }
    }
    Ok(listed)
}

/// The files of a folder and of the folders in it, in the order of their names. What is no regular
/// file (a link, a pipe, a device) and what is hidden is passed over.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let hidden = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && entry.file_name().as_encoded_bytes().first() == Some(&b'.')
    };
    let mut files = Vec::new();
    for entry in
        walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| !hidden(entry))
    {
        let entry = entry.with_context(|| format!("can't list {}", folder.display()))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}
