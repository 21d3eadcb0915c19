//! `ampoule inspect`: what an ampoule says about itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use ampoule_host::{Ampoule, Field, GraphTensor};

use super::{Exit, outcome};

/// Shows what an ampoule takes and gives, without running it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule inspect iris.wasm
  ampoule inspect iris.wasm --json | jq .manifest.inputs")]
pub struct Inspect {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// Print all of it as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(self) -> anyhow::Result<Exit> {
        let ampoule = Ampoule::open(&self.ampoule)?;
        let text = if self.json { json(&ampoule) } else { page(&ampoule) };
        outcome::print(text.as_bytes())?;
        Ok(Exit::Done)
    }
}

fn json(ampoule: &Ampoule) -> String {
    let manifest: serde_json::Value = serde_json::from_str(ampoule.manifest_text()).unwrap_or_default();
    let graphs: u64 = ampoule.manifest().graphs.iter().map(|graph| graph.bytes).sum();
    let facts = serde_json::json!({
        "digest": format!("sha256:{}", ampoule.digest()),
        "bytes": ampoule.bytes().len(),
        "graph_bytes": graphs,
        "loaded": ampoule.is_loaded(),
        "portable": ampoule.is_portable(),
        "checked": ampoule.is_checked(),
        "manifest": manifest,
    });
    format!("{facts:#}\n")
}

fn page(ampoule: &Ampoule) -> String {
    let manifest = ampoule.manifest();
    let mut page = format!("{} {}\n", manifest.name, manifest.version);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "  {name:<12}{value}");
    };
    for (name, value) in
        [("about", &manifest.description), ("licence", &manifest.licence), ("source", &manifest.source)]
    {
        if let Some(value) = value {
            line(name, value);
        }
    }
    line("digest", &format!("sha256:{}", ampoule.digest()));
    let graphs: u64 = manifest.graphs.iter().map(|graph| graph.bytes).sum();
    line("size", &format!("{} bytes, {graphs} of them graphs", ampoule.bytes().len()));
    if ampoule.is_portable() {
        line("engine", "its own: it is portable");
    }
    if let Some(checked) = &manifest.checked {
        let of = &checked.sha256;
        line(
            "checked",
            &match ampoule.unrecorded_digest() {
                Some(digest) if *of == digest => format!("the file without this record, sha256:{of}"),
                Some(digest) => format!("ANOTHER FILE: expected sha256:{digest}, got sha256:{of}"),
                None => format!("sha256:{of}, which this may be made of"),
            },
        );
        for (name, agreement) in &checked.environments {
            let fields = match agreement.fields.as_slice() {
                [] => String::new(),
                fields => format!(", of {} alone", fields.join(", ")),
            };
            let difference = match agreement.largest_difference {
                0.0 => "equal to the bit".to_owned(),
                difference => format!("within {difference:.1e} of {:e}", checked.tolerance),
            };
            line("", &format!("{name}: {} instances{fields}, {difference}", agreement.instances));
        }
    }
    for (title, fields) in [("inputs", &manifest.inputs), ("outputs", &manifest.outputs)] {
        let _ = writeln!(page, "{title}");
        let width = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
        for field in fields {
            let _ = writeln!(page, "  {:<width$}  {}", field.name, about(field));
        }
    }
    let _ = writeln!(page, "graphs");
    for graph in &manifest.graphs {
        let _ = writeln!(page, "  {}  {} bytes, sha256:{}", graph.name, graph.bytes, graph.sha256);
        let _ = writeln!(page, "    ({}) -> ({})", tensors(&graph.inputs), tensors(&graph.outputs));
    }
    if let Some(pipeline) = &manifest.pipeline {
        let _ = writeln!(page, "pipeline");
        for text in format!("{pipeline:#}").lines() {
            let _ = writeln!(page, "  {text}");
        }
    }
    page
}

fn about(field: &Field) -> String {
    let mut about = field.type_name();
    if let Some(unit) = &field.unit {
        about.push_str(&format!(" in {unit}"));
    }
    if let Some([low, high]) = field.range {
        about.push_str(&format!(", {low} to {high}"));
    }
    if !field.labels.is_empty() {
        let more = if field.labels.len() > 8 { ", …" } else { "" };
        let shown: Vec<&str> = field.labels.iter().take(8).map(String::as_str).collect();
        about.push_str(&format!(": {}{more}", shown.join(", ")));
    }
    if field.missing {
        about.push_str(", may be missing");
    }
    if let Some(description) = &field.description {
        about.push_str(&format!("  ({description})"));
    }
    about
}

fn tensors(tensors: &[GraphTensor]) -> String {
    let show = |tensor: &GraphTensor| {
        let axes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        format!("{}: {}[{}]", tensor.name, tensor.dtype, axes.join(", "))
    };
    tensors.iter().map(show).collect::<Vec<_>>().join(", ")
}
