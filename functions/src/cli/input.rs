//! Files of instances, read as batches.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use ampoule_host::{Batch, Manifest};
use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::wire::{self, Decoder, media};

/// What a file of instances is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// {"instances": […]}, or an array of instances
    Json,
    /// One instance on each line
    Jsonl,
    /// A table, with or without a header
    Csv,
    /// A picture: PNG, JPEG, WebP or TIFF
    Image,
}

impl Format {
    /// The format that a file's name shows.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            _ if media::is_picture(path) => Self::Image,
            _ => return None,
        })
    }
}

/// How many rows of a table go into one call.
pub const ROWS: usize = 1024;

/// One batch after another of a file.
pub type Batches<'a> = Box<dyn Iterator<Item = anyhow::Result<Batch>> + Send + 'a>;

/// Reads `path` (`-` is standard input) as batches; `max_bytes` bounds what is held at one time.
///
/// # Errors
/// The file can't be read, or its format can't be told.
pub fn batches<'a>(
    path: &Path,
    format: Option<Format>,
    manifest: &'a Manifest,
    max_bytes: usize,
) -> anyhow::Result<Batches<'a>> {
    let stdin = path == Path::new("-");
    let default = if manifest.takes_media().is_some() { Format::Image } else { Format::Jsonl };
    let format = match format.or_else(|| Format::of(path)) {
        Some(format) => format,
        None if stdin => default,
        None => bail!(
            "{}: its name shows no format: expected .json, .jsonl, .csv, .png, .jpg, .webp or .tif (or say --format)",
            path.display()
        ),
    };
    let input: Box<dyn Read + Send> = if stdin {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("can't read {}", path.display()))?)
    };
    match format {
        Format::Image | Format::Json => {
            let mut bytes = Vec::new();
            input
                .take(max_bytes as u64 + 1)
                .read_to_end(&mut bytes)
                .with_context(|| format!("can't read {}", path.display()))?;
            if bytes.len() > max_bytes {
                bail!("{}: expected at most {max_bytes} bytes (--max-input-bytes), got more", path.display());
            }
            let batch = if format == Format::Image {
                wire::blob(manifest, bytes, None)?
            } else {
                json(manifest, &bytes)?
            };
            Ok(Box::new(std::iter::once(Ok(batch))))
        }
        Format::Jsonl => Ok(Box::new(lines(input, manifest, max_bytes))),
        Format::Csv => {
            let mut table = wire::csv::Table::new(manifest, input)?;
            Ok(Box::new(std::iter::from_fn(move || table.next(ROWS).map_err(anyhow::Error::new).transpose())))
        }
    }
}

fn json(manifest: &Manifest, bytes: &[u8]) -> anyhow::Result<Batch> {
    let decoder = Decoder::new(manifest, usize::MAX);
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let mut request = b"{\"instances\":".to_vec();
        request.extend_from_slice(bytes);
        request.push(b'}');
        return Ok(decoder.request(&request)?.instances);
    }
    Ok(decoder.request(bytes)?.instances)
}

/// The lines of a JSONL file, some at a time; empty lines are passed over.
fn lines<'a>(
    input: Box<dyn Read + Send>,
    manifest: &'a Manifest,
    max_bytes: usize,
) -> impl Iterator<Item = anyhow::Result<Batch>> + Send + 'a {
    let mut reader = BufReader::new(input);
    let mut first = 0;
    std::iter::from_fn(move || {
        let mut texts: Vec<String> = Vec::new();
        let mut bytes = 0;
        while texts.len() < ROWS && bytes < max_bytes / 2 {
            let mut line = String::new();
            match (&mut reader).take(max_bytes as u64 + 1).read_line(&mut line) {
                Ok(0) => break,
                Ok(read) if read > max_bytes => {
                    return Some(Err(anyhow::anyhow!(
                        "a line is longer than {max_bytes} bytes (--max-input-bytes)"
                    )));
                }
                Ok(read) => bytes += read,
                Err(cause) => return Some(Err(anyhow::Error::new(cause).context("can't read a line"))),
            }
            if !line.trim().is_empty() {
                texts.push(line);
            }
        }
        if texts.is_empty() {
            return None;
        }
        let count = texts.len();
        let batch = Decoder::new(manifest, ROWS).texts(texts.iter().map(String::as_str), first);
        first += count;
        Some(batch.map_err(anyhow::Error::new))
    })
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
