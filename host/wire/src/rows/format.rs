//! [`Format`]: what a file of instances is.

use std::path::Path;

use crate::media;

/// What a file of instances is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Format {
    /// {"instances": […]}, or an array of instances
    Json,
    /// One instance on each line
    Jsonl,
    /// A table, with or without a header
    Csv,
    /// Columns (Apache Parquet)
    Parquet,
    /// A picture: PNG, JPEG, WebP or TIFF
    Image,
}

impl Format {
    /// The endings that show a format, for messages.
    pub const ENDINGS: &str = ".json, .jsonl, .csv, .parquet, .png, .jpg, .webp or .tif";

    /// The format that a file's name or an object's key shows; text may end in `.gz` too.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let text = name.strip_suffix(".gz").unwrap_or(&name);
        let ending = |name: &str| Path::new(name).extension()?.to_str().map(str::to_owned);
        Some(match ending(text).as_deref() {
            Some("json") => Self::Json,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            Some("csv") => Self::Csv,
            _ if ending(&name).as_deref() == Some("parquet") => Self::Parquet,
            _ if media::is_picture(Path::new(&name)) => Self::Image,
            _ => return None,
        })
    }
}
