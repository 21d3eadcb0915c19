//! `wasi:cli/run`: predictions for standard input or files, as `ampoule predict` makes them.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ampoule_wire::rows::{self, Bounds, Format, Keep, Layout, Rows, Writer};
use ampoule_wire::{Batch, Manifest};

use crate::bindings::ampoule::model::predictor;
use crate::{Component, manifest};

/// Bytes of one instance, and of the batch of a call.
const MAX_INPUT_BYTES: usize = 64 << 20;

/// Instances of one call.
const MAX_INSTANCES: usize = 100_000;

wasip2::cli::command::export!(Component);

impl wasip2::exports::cli::run::Guest for Component {
    fn run() -> Result<(), ()> {
        let manifest = manifest();
        match Options::parse(std::env::args().skip(1)).and_then(|options| run(manifest, &options)) {
            Ok(0) => Ok(()),
            Ok(refused) => {
                eprintln!("refused rows: {refused}");
                Err(())
            }
            Err(why) => {
                eprintln!("error: {why}");
                Err(())
            }
        }
    }
}

/// What the command was called with.
#[derive(Debug, Default)]
struct Options {
    inputs: Vec<PathBuf>,
    output: Option<PathBuf>,
    format: Option<Format>,
    layout: Option<Layout>,
    parameters: Option<String>,
    help: bool,
    manifest: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let (name, joined) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument.clone(), None),
            };
            let mut value = || {
                let value = joined.clone().or_else(|| arguments.next());
                value.ok_or_else(|| format!("{name}: expected a value, got none"))
            };
            match name.as_str() {
                "-h" | "--help" => options.help = true,
                "--manifest" => options.manifest = true,
                "-o" | "--output" => options.output = Some(value()?.into()),
                "-f" | "--format" => options.format = Some(format(&value()?)?),
                "--layout" => options.layout = Some(layout(&value()?)?),
                "-p" | "--parameters" => {
                    let text = value()?;
                    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text)
                        .map_err(|cause| format!("--parameters: expected a JSON object: {cause}"))?;
                    options.parameters = Some(text);
                }
                option if option.starts_with('-') && option != "-" => {
                    return Err(format!("{option}: no such option (see --help)"));
                }
                _ => options.inputs.push(argument.into()),
            }
        }
        Ok(options)
    }
}

fn format(name: &str) -> Result<Format, String> {
    match name {
        "json" => Ok(Format::Json),
        "jsonl" => Ok(Format::Jsonl),
        "csv" => Ok(Format::Csv),
        "image" => Ok(Format::Image),
        other => Err(format!("--format: expected json, jsonl, csv or image, got {other:?}")),
    }
}

fn layout(name: &str) -> Result<Layout, String> {
    match name {
        "own" => Ok(Layout::Own),
        "csv" => Ok(Layout::Csv),
        other => Err(format!("--layout: expected own or csv, got {other:?}")),
    }
}

/// What --help says.
fn help(manifest: &Manifest) -> String {
    let fields = |fields: &[ampoule_wire::Field]| {
        fields.iter().map(|field| format!("  {}: {}\n", field.name, field.type_name())).collect::<String>()
    };
    let Manifest { name, version, description, inputs, outputs, samples, .. } = manifest;
    let description = description.as_deref().map(|text| format!("{text}\n\n")).unwrap_or_default();
    let sample = samples.first().map(|sample| format!("\nAn instance:\n  {sample}\n")).unwrap_or_default();
    format!(
        "{name} {version}\n\n{description}Usage: {name} [OPTIONS] [INPUT]...\n\n\
         Predicts for files, or for standard input (\"-\", or no INPUT at all). Predictions are printed one to a line as \
         JSON; a picture is written as it is. A runtime lets files be seen by an option of its own, such as wasmtime's \
         --dir.\n\n\
         Inputs:\n{}\nOutputs:\n{}{sample}\n\
         Options:\n\
         \x20 -o, --output FILE       where predictions go [default: standard output]\n\
         \x20 -f, --format FORMAT     json, jsonl, csv or image, where the input's name doesn't show it\n\
         \x20     --layout LAYOUT     own or csv [default: own]\n\
         \x20 -p, --parameters JSON   goes with every call\n\
         \x20     --manifest          prints the ampoule's manifest\n\
         \x20 -h, --help              prints this\n",
        fields(inputs),
        fields(outputs),
    )
}

/// Gives how many rows were refused.
fn run(manifest: &Manifest, options: &Options) -> Result<usize, String> {
    if options.help || options.manifest {
        let text = if options.help { help(manifest) } else { manifest.to_json() + "\n" };
        io::stdout().write_all(text.as_bytes()).map_err(|cause| format!("standard output: {cause}"))?;
        return Ok(0);
    }
    let standard = [PathBuf::from("-")];
    let inputs = if options.inputs.is_empty() { standard.as_slice() } else { &options.inputs };
    if manifest.takes_media().is_some() && inputs.len() > 1 {
        return Err(format!("expected one picture at a time, got {}", inputs.len()));
    }
    let mut out: Box<dyn Write + Send> = match &options.output {
        None => Box::new(io::stdout()),
        Some(path) => {
            Box::new(File::create(path).map_err(|cause| format!("can't write {}: {cause}", path.display()))?)
        }
    };
    let mut refused = 0;
    for input in inputs {
        refused +=
            one(manifest, options, input, &mut out).map_err(|why| format!("{}: {why}", input.display()))?;
    }
    out.flush().map_err(|cause| format!("can't write: {cause}"))?;
    Ok(refused)
}

/// Writes the predictions of one input to `out`, and gives how many of its rows were refused.
fn one(
    manifest: &Manifest,
    options: &Options,
    input: &Path,
    out: &mut (dyn Write + Send),
) -> Result<usize, String> {
    let usual = if manifest.takes_media().is_some() { Format::Image } else { Format::Jsonl };
    let named = options.format.or_else(|| Format::of(&input.to_string_lossy()));
    let standard = input == Path::new("-");
    let format = named
        .or(standard.then_some(usual))
        .ok_or_else(|| format!("its name shows no format: expected {} (or say --format)", Format::ENDINGS))?;
    let layout = options.layout.clone().unwrap_or(Layout::Own);
    let keep: Keep = layout.keeps();
    let bounds = Bounds::of(MAX_INSTANCES, MAX_INPUT_BYTES);
    let batches = if standard {
        rows::read(manifest, format, bounds, keep, io::stdin())
    } else {
        let file = File::open(input).map_err(|cause| {
            format!(
                "can't read it: {cause} (a runtime lets files be seen by an option, such as wasmtime's --dir)"
            )
        })?;
        rows::read(manifest, format, bounds, keep, file)
    };
    let mut writer = Writer::new(&layout, manifest, format, out).map_err(|cause| cause.to_string())?;
    for rows in batches.map_err(|cause| cause.to_string())? {
        let mut rows = rows.map_err(|cause| cause.to_string())?;
        let predictions = predict(&mut rows, options.parameters.as_deref())?;
        for row in &rows.rows {
            if let Some(refusal) = &row.refused {
                eprintln!("{}: {}: {refusal}", input.display(), row.place);
            }
        }
        writer.write(&rows, &predictions).map_err(|cause| cause.to_string())?;
    }
    writer.finish().map(|written| written.refused).map_err(|cause| cause.to_string())
}

/// The predictions for the rows that were not refused; the predictor may refuse more of them.
fn predict(rows: &mut Rows, parameters: Option<&str>) -> Result<Batch, String> {
    loop {
        let instances = rows.batch.instances();
        if instances == 0 {
            return Ok(Batch::Json(Vec::new()));
        }
        match predictor::predict(&rows.batch, parameters) {
            Ok(predictions) => {
                predictions.check(instances)?;
                return Ok(predictions);
            }
            Err(failure) if rows.refuse_failed(&failure, instances) => {}
            Err(failure) => return Err(failure.describe()),
        }
    }
}
