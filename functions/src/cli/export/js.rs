//! The package for Node and browsers: the component as JavaScript and core modules, what it imports, and a page to try it on.

use std::collections::HashMap;

use ampoule_host::{Ampoule, Manifest, seal};
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_component_bindgen::{InstantiationMode, TranspileOpts, transpile};
use serde_json::json;

use super::{MARK, types};
use crate::cli::package::File;

/// A component of the contract's world `embedded`.
const EMBED: &[u8] = include_bytes!(env!("AMPOULE_FRONT_EMBED"));

const BASE64: &str = include_str!("base64.js");
const INDEX: &str = include_str!("index.js");
const WASI: &str = include_str!("wasi.js");
const DEMO: &str = include_str!("demo.js");
const WORKER: &str = include_str!("worker.js");
const README: &str = include_str!("README.md.in");

/// The page of `ampoule serve`, which asks a worker here.
const PAGE: &str = include_str!("../../serve/docs.html");

/// The interfaces that `wasi.js` has.
const PROVIDED: [&str; 12] = [
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    // Types alone.
    "ampoule:model/types",
];

/// Modules of fewer bytes stand in the JavaScript: they need no request of their own.
const INLINED_BYTES: usize = 8192;

/// # Errors
/// The ampoule imports what there is nothing for.
pub fn package(ampoule: &Ampoule, name: &str) -> anyhow::Result<Vec<File>> {
    let component = crate::cli::runtime(Some(1))?.block_on(seal::embedded(ampoule, EMBED))?;
    let options = TranspileOpts {
        name: "model".to_owned(),
        no_typescript: true,
        instantiation_mode: Some(InstantiationMode::Async),
        map: Some(HashMap::new()),
        nodejs_compat_disabled: true,
        no_component_error_wrapping: true,
        no_namespaced_exports: true,
        ..TranspileOpts::default()
    };
    let made = transpile(&component, options).context("the component makes no JavaScript")?;
    for import in &made.imports {
        let interface = import.split('@').next().unwrap_or(import);
        ensure!(PROVIDED.contains(&interface), "it imports {import}, which a package has nothing for");
    }
    let (mut files, mut places) = (Vec::new(), String::new());
    for (path, bytes) in made.files {
        if path == "model.js" {
            files.push(glue(bytes)?);
            continue;
        }
        let inlined = bytes.len() < INLINED_BYTES;
        places.push_str(&match inlined {
            true => format!("  \"{path}\": \"{}\",\n", STANDARD.encode(&bytes)),
            // In the words that bundlers look for.
            false => format!("  \"{path}\": new URL(\"./{path}\", import.meta.url),\n"),
        });
        if !inlined {
            files.push(File::plain(path, bytes));
        }
    }
    let manifest = ampoule.manifest();
    files.extend([
        File::plain("sealed.js", sealed(ampoule, &places)),
        File::plain("base64.js", BASE64),
        File::plain("index.js", INDEX),
        File::plain("index.d.ts", types::declarations(manifest)),
        File::plain("wasi.js", WASI),
        File::plain("index.html", page()?),
        File::plain("demo.js", DEMO),
        File::plain("worker.js", WORKER),
        File::plain("README.md", readme(manifest, name)),
    ]);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.insert(0, File::plain("package.json", described(ampoule, name, &files)));
    Ok(files)
}

/// The glue between core modules, without its traces, which look into the environment at every step.
fn glue(bytes: Vec<u8>) -> anyhow::Result<File> {
    const TRACE: &str = "if (!globalThis?.process?.env?.JCO_DEBUG) { return; }";
    let text = String::from_utf8(bytes).context("the JavaScript is no text")?;
    Ok(File::plain("model.js", text.replacen(TRACE, "return;", 1)))
}

/// What was sealed, and its modules: where they lie, or small ones themselves.
fn sealed(ampoule: &Ampoule, modules: &str) -> String {
    let (digest, manifest) = (ampoule.digest(), ampoule.manifest_text());
    format!(
        "export const digest = \"sha256:{digest}\";\n\nexport const manifest = {manifest};\n\n\
         export const modules = {{\n{modules}}};\n"
    )
}

/// package.json.
fn described(ampoule: &Ampoule, name: &str, files: &[File]) -> String {
    let manifest = ampoule.manifest();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut described = json!({
        "name": name,
        "version": version(&manifest.version),
        "type": "module",
        "main": "./index.js",
        "types": "./index.d.ts",
        "exports": {
            ".": { "types": "./index.d.ts", "default": "./index.js" },
            "./package.json": "./package.json",
        },
        "files": paths,
        "sideEffects": false,
        "engines": { "node": ">=18" },
    });
    described[MARK] =
        json!({ "digest": format!("sha256:{}", ampoule.digest()), "version": env!("CARGO_PKG_VERSION") });
    for (key, value) in [("description", &manifest.description), ("license", &manifest.licence)] {
        if let Some(value) = value {
            described[key] = value.as_str().into();
        }
    }
    format!("{described:#}\n")
}

/// The model's version where npm takes it.
fn version(version: &str) -> &str {
    let (numbers, rest) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let number = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    let fits = numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.bytes().all(named)
        && !rest.ends_with(['-', '+', '.']);
    if fits { version } else { "0.1.0" }
}

fn page() -> anyhow::Result<String> {
    let mut page = PAGE.to_owned();
    for (from, to) in [
        (
            "<meta charset=\"utf-8\">\n",
            "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; worker-src 'self'\">\n",
        ),
        ("</style>\n", "#openapi, #metrics, section[aria-labelledby=shell] { display: none; }\n</style>\n"),
        (
            "<strong>Ampoule</strong>\n",
            "<strong>Ampoule</strong>\n  <span class=\"quiet\">It computes in this page. Nothing is sent.</span>\n",
        ),
        ("<script>\n\"use strict\";\n", "<script src=\"demo.js\"></script>\n<script>\n\"use strict\";\n"),
    ] {
        let [before, after] = page.split(from).collect::<Vec<_>>()[..] else {
            bail!("the page has {from:?} not once");
        };
        page = [before, to, after].concat();
    }
    Ok(page)
}

fn readme(manifest: &Manifest, name: &str) -> String {
    let Manifest { description, samples, .. } = manifest;
    let instance = match (manifest.takes_media(), samples.first()) {
        (Some(_), _) => "await readFile(\"picture.png\")".to_owned(),
        (None, Some(sample)) => sample.to_string(),
        (None, None) => "…".to_owned(),
    };
    let reading = match manifest.takes_media() {
        Some(_) => "import { readFile } from \"node:fs/promises\";\n",
        None => "",
    };
    let about = description.as_deref().map(|text| format!("{text}\n\n")).unwrap_or_default();
    README
        .replace("{name}", name)
        .replace("{about}", &about)
        .replace("{reading}", reading)
        .replace("{instance}", &instance)
        .replace("{version}", &manifest.version)
        .replace("{model}", &manifest.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_npm_takes() {
        for taken in ["1.0.0", "0.12.3-rc.1", "1.2.3+build"] {
            assert_eq!(version(taken), taken);
        }
        for other in ["1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "latest", "1.0.0-a b"] {
            assert_eq!(version(other), "0.1.0", "{other}");
        }
    }

    #[test]
    fn the_page_asks_a_worker() {
        let page = page().expect("it has all places");
        assert_eq!(page.matches("demo.js").count(), 1);
        assert_eq!(page.matches("Content-Security-Policy").count(), 1);
    }

    #[test]
    fn traces_are_taken_out_of_the_glue() {
        let traced =
            "const f = () => {\n    if (!globalThis?.process?.env?.JCO_DEBUG) { return; }\n    log();\n};";
        let file = glue(traced.into()).expect("it is text");
        assert!(!String::from_utf8_lossy(&file.bytes).contains("JCO_DEBUG"));
    }
}
