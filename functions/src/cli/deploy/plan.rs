//! [`Plan`]: what is filled into a platform's files.

use ampoule_host::{Ampoule, Field, Form, Manifest};
use anyhow::ensure;

use super::InputAction;
use crate::cli::package::image;

/// What is filled into a platform's files.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    /// The name as every platform takes it: `[a-z][a-z0-9-]*`, 40 characters at most.
    pub resource: String,
    /// The version, as an image's tag.
    pub version: String,
    pub digest: String,
    pub memory_mib: u64,
    /// Uploads that one call of a batch function works on.
    pub uploads_per_call: u32,
    /// Whether an answer may be larger than what a function gives back whole.
    pub streams: bool,
    pub input: String,
    pub output: String,
    pub input_action: InputAction,
    pub image: String,
    pub project: String,
    pub region: String,
}

impl Plan {
    /// What the ampoule says about itself, and names made from its own.
    pub fn of(ampoule: &Ampoule) -> Self {
        let manifest = ampoule.manifest();
        let resource = resource(&manifest.name);
        let pictures = takes_blobs(&manifest.inputs);
        Self {
            name: manifest.name.clone(),
            version: image::tag(&manifest.version),
            digest: ampoule.digest().to_owned(),
            memory_mib: memory_mib(manifest),
            // A picture takes seconds where a table takes milliseconds.
            uploads_per_call: if pictures { 4 } else { 10 },
            streams: takes_blobs(&manifest.outputs),
            input: format!("{resource}-input"),
            output: format!("{resource}-output"),
            input_action: InputAction::Keep,
            image: String::new(),
            project: String::new(),
            region: String::new(),
            resource,
        }
    }

    /// How HTTP answers leave a Lambda function.
    pub fn response_mode(&self) -> &'static str {
        if self.streams { "stream" } else { "buffered" }
    }

    /// Checks what people gave, so that it is a value wherever it is filled in.
    ///
    /// # Errors
    /// The first value that is none.
    pub fn check(&self) -> anyhow::Result<()> {
        for (what, value, more) in [
            ("--input", &self.input, "._"),
            ("--output", &self.output, "._"),
            ("--project", &self.project, ":."),
            ("--region", &self.region, ""),
            ("--image", &self.image, "._:/@"),
        ] {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || more.contains(c);
            let begins = value.starts_with(|c: char| c.is_ascii_alphanumeric());
            ensure!(
                begins && value.len() <= 255 && value.chars().all(fits),
                "{what}: expected letters, digits and any of \"-{more}\", got {value:?}"
            );
        }
        ensure!(
            self.input != self.output,
            "--input and --output: expected two buckets, got {} twice (outputs would start the batch again)",
            self.input
        );
        Ok(())
    }
}

/// Memory to begin with, an estimate: the process, its graphs as they lie in the file and as they are
/// run, and for pictures what a decoded one takes. Processors come with memory on Lambda: one whole one
/// at 1,769 MiB, which is what a network on pictures is bound by.
fn memory_mib(manifest: &Manifest) -> u64 {
    let graphs: u64 = manifest.graphs.iter().map(|graph| graph.bytes).sum();
    let least = if takes_blobs(&manifest.inputs) { 1_769 } else { 512 };
    let needs = 128 + 4 * (graphs >> 20);
    needs.max(least).min(10_240)
}

fn takes_blobs(fields: &[Field]) -> bool {
    fields.iter().any(|field| matches!(field.form(), Form::Media(_)))
}

/// `iris_v2.1` as `iris-v2-1`.
fn resource(name: &str) -> String {
    let lower = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = name.chars().map(lower).take(38).collect();
    let name = name.trim_matches('-');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name.to_owned() } else { format!("m-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_that_every_platform_takes() {
        for (name, expected) in [
            ("iris", "iris"),
            ("iris_v2.1", "iris-v2-1"),
            ("3d", "m-3d"),
            ("a..", "a"),
            ("9", "m-9"),
            (&"a".repeat(64), &"a".repeat(38)),
        ] {
            assert_eq!(resource(name), expected, "{name}");
        }
    }
}
