//! Instances to ask with: the manifest's samples, files, and made-up ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ampoule_host::{Dim, Dtype, Field, Form, Manifest};
use ampoule_wire::encode::Encoder;
use ampoule_wire::media;
use ampoule_wire::rows::{Bounds, Format, InstanceConfig, Keep, Original, Rows};
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Map, Value, json};

use crate::cli::input;

/// Pictures that are made up where there are no others.
const PICTURES: usize = 3;

/// Widths and heights of made-up pictures, in pixels: smaller than a tile, odd, long, and of several tiles.
const SIZES: [(u32, u32); 5] = [(64, 48), (129, 97), (33, 200), (256, 256), (300, 171)];

/// Where instances come from.
pub struct Source<'a> {
    pub inputs: &'a [PathBuf],
    pub format: Option<Format>,
    /// So many are made up, besides the others.
    pub fuzz: usize,
    pub seed: u64,
    pub bounds: Bounds,
}

impl Source<'_> {
    /// The instances as the JSON values that a caller sends.
    ///
    /// # Errors
    /// A file can't be read, there are none at all, or none can be made up for this signature.
    pub fn instances(&self, manifest: &Manifest) -> anyhow::Result<Vec<Value>> {
        let mut instances = Vec::new();
        for (_, file) in input::listed(self.inputs, manifest)? {
            self.file(&file, manifest, &mut instances).with_context(|| file.display().to_string())?;
        }
        if self.inputs.is_empty() {
            instances.extend(manifest.samples.iter().cloned());
        }
        let pictures = manifest.takes_media().is_some();
        let count = match self.fuzz {
            0 if instances.is_empty() && self.inputs.is_empty() && pictures => PICTURES,
            fuzz => fuzz,
        };
        if count > 0 {
            let mut maker = Maker::new(manifest, self.seed);
            for index in 0..count {
                instances.push(maker.instance(index)?);
            }
        }
        if instances.is_empty() && self.inputs.is_empty() {
            bail!(
                "{} has no samples: expected INPUT, or --fuzz N for made-up instances (or seal it with `samples` in \
                 ampoule.toml)",
                manifest.name
            );
        }
        if instances.is_empty() {
            bail!("expected instances, found none in the inputs");
        }
        Ok(instances)
    }

    fn file(&self, file: &Path, manifest: &Manifest, instances: &mut Vec<Value>) -> anyhow::Result<()> {
        let format = input::format(file, self.format, manifest)?;
        if format == Format::Image && file.as_os_str() != "-" {
            let bytes = std::fs::read(file).context("can't read it")?;
            if manifest.takes_media().is_none() {
                bail!("expected a table, got a picture: {} takes none", manifest.name);
            }
            instances.push(blob(&bytes));
            return Ok(());
        }
        let keep = Keep::Originals(InstanceConfig::default());
        for rows in input::rows(file, format, manifest, self.bounds, keep)? {
            let Rows { batch, rows, originals } = rows?;
            let encoder = Encoder::new(&batch, &manifest.inputs);
            let mut accepted = 0;
            for (row, original) in rows.iter().zip(originals) {
                let index = accepted;
                accepted += usize::from(row.refused.is_none());
                let json = match (original, &row.refused) {
                    // As it came: what is refused here has to be refused elsewhere.
                    (Original::Json(text), _) => text.into_bytes(),
                    (_, None) => {
                        let mut text = Vec::new();
                        encoder.write(index, &mut text).map_err(anyhow::Error::msg)?;
                        text
                    }
                    (_, Some(refusal)) => {
                        eprintln!("{}: {}: left out: {refusal}", file.display(), row.place);
                        continue;
                    }
                };
                match serde_json::from_slice(&json) {
                    Ok(instance) => instances.push(instance),
                    Err(cause) => bail!("{}: not JSON: {cause}", row.place),
                }
            }
        }
        Ok(())
    }
}

/// A blob as a caller sends it.
pub fn blob(bytes: &[u8]) -> Value {
    json!({ "b64": STANDARD.encode(bytes) })
}

/// The blob of an instance: under the input's name, or as it is.
pub fn unblob(instance: &Value, manifest: &Manifest) -> Option<Vec<u8>> {
    let name = &manifest.inputs.first()?.name;
    let text = instance.get("b64").or_else(|| instance.get(name)?.get("b64"))?.as_str()?;
    STANDARD.decode(text).ok()
}

/// The value of the input at `position` in an instance.
pub fn member<'v>(manifest: &Manifest, instance: &'v Value, position: usize) -> Option<&'v Value> {
    match instance {
        Value::Object(members) => members.get(&manifest.inputs.get(position)?.name),
        Value::Array(items) if manifest.inputs.len() > 1 => items.get(position),
        other => (manifest.inputs.len() == 1).then_some(other),
    }
}

/// Makes instances up, the same for the same seed.
struct Maker<'a> {
    manifest: &'a Manifest,
    rng: Rng,
    /// What the samples and the pipeline show of a field's values.
    seen: BTreeMap<&'a str, Vec<Value>>,
    /// The size of each named axis. It is one for all instances: those of a call have to have the same.
    sizes: BTreeMap<&'a str, usize>,
}

impl<'a> Maker<'a> {
    fn new(manifest: &'a Manifest, seed: u64) -> Self {
        let mut seen: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (position, field) in manifest.inputs.iter().enumerate() {
            let values = seen.entry(&field.name).or_default();
            if let Some(pipeline) = &manifest.pipeline {
                categories(pipeline, &field.name, values);
            }
            if values.is_empty() {
                let in_samples =
                    manifest.samples.iter().filter_map(|sample| member(manifest, sample, position));
                in_samples.for_each(|value| scalars(value, values));
            }
        }
        Self { manifest, rng: Rng::with_seed(seed), seen, sizes: BTreeMap::new() }
    }

    fn instance(&mut self, index: usize) -> anyhow::Result<Value> {
        let manifest = self.manifest;
        let mut members = Map::new();
        for field in &manifest.inputs {
            let value = match field.form() {
                Form::Tensor(_, []) if field.missing && self.rng.f32() < 0.1 => Value::Null,
                Form::Tensor(dtype, shape) => self.tensor(field, dtype, shape),
                Form::Media(types) => self.picture(types, index)?,
                Form::Json => bail!(
                    "--fuzz: input \"{}\" is any JSON value, for which none can be made up: give INPUT instead",
                    field.name
                ),
            };
            members.insert(field.name.clone(), value);
        }
        Ok(match manifest.inputs.as_slice() {
            [only] => members.remove(&only.name).unwrap_or_default(),
            _ => Value::Object(members),
        })
    }

    fn tensor(&mut self, field: &'a Field, dtype: Dtype, shape: &'a [Dim]) -> Value {
        let Some((axis, inner)) = shape.split_first() else { return self.scalar(field, dtype) };
        let size = match axis {
            Dim::Fixed(size) => *size as usize,
            Dim::Symbol(name) => *self.sizes.entry(name).or_insert_with(|| self.rng.usize(1..=6)),
        };
        (0..size).map(|_| self.tensor(field, dtype, inner)).collect()
    }

    fn scalar(&mut self, field: &Field, dtype: Dtype) -> Value {
        let seen = self.seen.get(field.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        if dtype == Dtype::String {
            let words = ["a", "b", "word", "Zürich", ""].map(Value::from);
            let labels: Vec<Value> = field.labels.iter().map(|label| json!(label)).collect();
            let from = [labels.as_slice(), seen, &words].into_iter().find(|values| !values.is_empty());
            return from.and_then(|values| self.rng.choice(values)).cloned().unwrap_or_default();
        }
        if dtype == Dtype::Bool {
            return json!(self.rng.bool());
        }
        let numbers: Vec<f64> = seen.iter().filter_map(Value::as_f64).collect();
        let [low, high] = field
            .range
            .filter(|range| range.iter().all(|end| end.is_finite()))
            .unwrap_or_else(|| plausible(&numbers, &field.labels));
        let number = low + (high - low) * self.rng.f64();
        match dtype {
            Dtype::F16 | Dtype::F32 | Dtype::F64 => {
                // Few digits, so that every program reads the same number; they stay within the range.
                json!(((number * 1e4).round() / 1e4).clamp(low, high))
            }
            Dtype::U8 => whole(number, low.max(0.0), high.min(255.0)),
            Dtype::I8 => whole(number, low.max(-128.0), high.min(127.0)),
            Dtype::I16 => whole(number, low.max(-32768.0), high.min(32767.0)),
            Dtype::I32 | Dtype::I64 | Dtype::Bool | Dtype::String => whole(number, low, high),
        }
    }

    /// A picture of noise or of a gradient.
    fn picture(&mut self, types: &[String], index: usize) -> anyhow::Result<Value> {
        let takes = |name: &str| types.iter().any(|media| media == name);
        let format = match (takes("image/png"), takes("image/jpeg")) {
            (true, _) => ImageFormat::Png,
            (_, true) => ImageFormat::Jpeg,
            _ => bail!(
                "no picture can be made up: expected a model that takes image/png or image/jpeg, got {}: give INPUT \
                 instead",
                types.join(" or ")
            ),
        };
        let (width, height) = SIZES.get(index % SIZES.len()).copied().unwrap_or((64, 64));
        let mut picture = RgbImage::new(width, height);
        let noise = index.is_multiple_of(2);
        let ends: [[u8; 3]; 2] = [(); 2].map(|()| [(); 3].map(|()| self.rng.u8(..)));
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            for (channel, (from, to)) in pixel.0.iter_mut().zip(ends[0].into_iter().zip(ends[1])) {
                *channel = if noise {
                    self.rng.u8(..)
                } else {
                    let (step, steps) = (x + y, width + height);
                    let mixed = (u32::from(from) * (steps - step) + u32::from(to) * step) / steps;
                    u8::try_from(mixed).unwrap_or(u8::MAX)
                };
            }
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format)?;
        let bytes = bytes.into_inner();
        debug_assert!(media::sniff(&bytes).is_some());
        Ok(blob(&bytes))
    }
}

/// The range of numbers that are like those seen, or of a few units about zero.
fn plausible(seen: &[f64], labels: &[String]) -> [f64; 2] {
    if !labels.is_empty() {
        return [0.0, labels.len() as f64 - 1.0];
    }
    let low = seen.iter().copied().reduce(f64::min);
    let high = seen.iter().copied().reduce(f64::max);
    match (low, high) {
        (Some(low), Some(high)) => {
            let margin = (high - low).max(high.abs() / 2.0).max(1e-3);
            // What was never negative may mean a length or a count.
            [if low >= 0.0 { (low - margin).max(0.0) } else { low - margin }, high + margin]
        }
        _ => [-3.0, 3.0],
    }
}

/// The nearest whole number between `low` and `high`.
fn whole(number: f64, low: f64, high: f64) -> Value {
    json!(number.round().clamp(low.ceil(), high.floor().max(low.ceil())) as i64)
}

/// All numbers and texts in a value.
fn scalars(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| scalars(item, into)),
        Value::Number(_) | Value::String(_) => into.push(value.clone()),
        _ => {}
    }
}

/// The categories that a step of the pipeline knows of a column.
fn categories(pipeline: &Value, column: &str, into: &mut Vec<Value>) {
    match pipeline {
        Value::Array(items) => items.iter().for_each(|item| categories(item, column, into)),
        Value::Object(members) => {
            if members.get("column").and_then(Value::as_str) == Some(column)
                && let Some(Value::Array(known)) = members.get("categories")
            {
                into.extend(known.iter().cloned());
            }
            members.values().for_each(|member| categories(member, column, into));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(inputs: Value) -> Manifest {
        let manifest = json!({ "ampoule": 1, "name": "m", "version": "1", "inputs": inputs, "outputs": [],
            "pipeline": { "table": [{ "ordinal": { "column": "colour", "categories": ["red", "blue"] } }] } });
        Manifest::from_json(manifest.to_string().as_bytes()).expect("a manifest")
    }

    fn source(fuzz: usize, seed: u64) -> Source<'static> {
        Source { inputs: &[], format: None, fuzz, seed, bounds: Bounds::of(100, 1 << 20) }
    }

    #[test]
    fn made_up_instances_fit_the_signature_and_come_again() {
        let manifest = manifest(json!([
            { "name": "age", "dtype": "f32", "range": [17.5, 90], "missing": true },
            { "name": "rooms", "dtype": "u8" },
            { "name": "colour", "dtype": "string" },
            { "name": "grade", "dtype": "string", "labels": ["low", "high"] },
            { "name": "pixels", "dtype": "f64", "shape": [2, "n"] },
        ]));
        let made = source(200, 7).instances(&manifest).expect("made");
        assert_eq!(made, source(200, 7).instances(&manifest).expect("made"));
        assert_ne!(made, source(200, 8).instances(&manifest).expect("made"));
        let body = json!({ "instances": made }).to_string();
        ampoule_wire::Decoder::new(&manifest, 1000).request(body.as_bytes()).expect("they fit");
        assert!(made.iter().any(|instance| instance["age"].is_null()));
        assert!(made.iter().all(|instance| !instance["rooms"].is_null()));
        assert!(made.iter().all(|instance| ["red", "blue"].map(Value::from).contains(&instance["colour"])));
    }

    #[test]
    fn without_samples_it_says_what_to_do() {
        let manifest = manifest(json!([{ "name": "x", "dtype": "f32" }]));
        let error = source(0, 0).instances(&manifest).expect_err("there are none").to_string();
        assert!(error.starts_with("m has no samples: expected INPUT, or --fuzz N"), "{error}");
    }
}
