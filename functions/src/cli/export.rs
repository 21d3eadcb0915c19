//! `ampoule export`: a portable ampoule in the form that another runtime takes.

#[cfg(feature = "portable")]
mod js;
#[cfg(not(feature = "portable"))]
#[path = "export/absent.rs"]
mod js;
#[cfg(feature = "portable")]
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ampoule_host::Ampoule;
use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::outcome::{print, publish};
use super::package::File;
use super::{Exit, progress};

/// Writes a portable ampoule as a folder that another runtime takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule seal models/iris --portable
  ampoule export js iris.wasm                     writes the folder iris-js
  ampoule export js iris.wasm -o web --name @me/iris
  python3 -m http.server --directory iris-js      its page, to try it on
  npm install ./iris-js                           import { open } from \"iris\"")]
pub struct Export {
    #[command(subcommand)]
    form: FormArgument,
}

#[derive(Debug, Subcommand)]
enum FormArgument {
    /// A package for Node and browsers, with a page to try it on
    Js(Js),
}

#[derive(Debug, clap::Args)]
struct Js {
    /// A file that was sealed with --portable
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The folder to write [default: NAME-js]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The package's name [default: the model's]
    #[arg(long, value_name = "PACKAGE", value_parser = package_name)]
    name: Option<String>,
    /// Write into a folder that holds other files too
    #[arg(long)]
    force: bool,
}

/// A name that npm takes.
fn package_name(name: &str) -> Result<String, String> {
    let part = |part: &str| {
        let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-~".contains(&byte);
        !part.starts_with(['.', '_']) && !part.is_empty() && part.bytes().all(tail)
    };
    let fits = match name.strip_prefix('@').map(|rest| rest.split_once('/')) {
        Some(Some((scope, name))) => part(scope) && part(name),
        Some(None) => false,
        None => part(name),
    };
    if fits && name.len() <= 214 {
        return Ok(name.to_owned());
    }
    Err("expected a-z, 0-9, \".\", \"_\" and \"-\", with or without @SCOPE/, such as iris or @me/iris"
        .to_owned())
}

impl Export {
    pub fn run(self) -> anyhow::Result<Exit> {
        match self.form {
            FormArgument::Js(js) => js.run(),
        }
    }
}

impl Js {
    fn run(self) -> anyhow::Result<Exit> {
        let ampoule = Ampoule::open(&self.ampoule)?;
        let name = ampoule.manifest().name.clone();
        let folder = self.output.unwrap_or_else(|| PathBuf::from(format!("{name}-js")));
        let earlier = earlier(&folder, self.force)?;
        let spinner = progress::spinner(format!("exporting {}", self.ampoule.display()));
        let files = package(&ampoule, self.name.as_deref())
            .with_context(|| format!("can't export {}", self.ampoule.display()))?;
        spinner.finish_and_clear();
        write(&folder, &files)?;
        for left in earlier.iter().filter(|left| !files.iter().any(|file| file.path == **left)) {
            let path = folder.join(left);
            if path.exists() {
                fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
            }
        }
        let line =
            |file: &File| format!("{}  {} bytes\n", folder.join(&file.path).display(), file.bytes.len());
        let mut said: String = files.iter().map(line).collect();
        let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
        said.push_str(&format!("{}  {bytes} bytes in {} files\n", folder.display(), files.len()));
        print(said.as_bytes())?;
        Ok(Exit::Done)
    }
}

/// The files of a package for Node and browsers.
///
/// # Errors
/// The ampoule isn't portable, or imports what there is nothing for.
pub fn package(ampoule: &Ampoule, name: Option<&str>) -> anyhow::Result<Vec<File>> {
    if ampoule.is_packed() {
        bail!("expected a sealed file, got one from a package");
    }
    if !ampoule.is_portable() {
        bail!("expected a portable ampoule, got one without an engine (seal it with --portable)");
    }
    js::package(ampoule, name.unwrap_or(&ampoule.manifest().name))
}

/// Writes files into a folder, which is made if it isn't there.
///
/// # Errors
/// They can't be written.
pub fn write(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    files.iter().try_for_each(|file| publish(&folder.join(&file.path), &file.bytes))
}

/// The key of package.json that tells an export from other packages.
const MARK: &str = "ampoule";

/// The files of an earlier export in `folder`.
///
/// # Errors
/// The folder holds something else, and that isn't forced.
fn earlier(folder: &Path, force: bool) -> anyhow::Result<BTreeSet<String>> {
    if !folder.exists() {
        return Ok(BTreeSet::new());
    }
    let mut entries =
        fs::read_dir(folder).with_context(|| format!("can't look into {}", folder.display()))?;
    let described = fs::read(folder.join("package.json")).ok();
    let described: Option<serde_json::Value> = described.and_then(|text| serde_json::from_slice(&text).ok());
    match described.filter(|described| described.get(MARK).is_some()) {
        Some(described) => {
            let files = described.get("files").and_then(serde_json::Value::as_array);
            let names = files.into_iter().flatten().filter_map(serde_json::Value::as_str);
            // Nothing beyond the folder is touched, whatever stands there.
            Ok(names.filter(|name| !name.contains(['/', '\\'])).map(str::to_owned).collect())
        }
        None if force || entries.next().is_none() => Ok(BTreeSet::new()),
        None => bail!(
            "{} holds other files: expected a new folder, an empty one or an earlier export (or --force)",
            folder.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_as_npm_wants_it() {
        for name in ["iris", "@me/iris.v2", "a_b-c~1"] {
            assert_eq!(package_name(name).as_deref(), Ok(name));
        }
        for name in ["", "Iris", ".iris", "_iris", "@me", "@/iris", "@me/", "a/b", "a b", &"a".repeat(215)] {
            assert!(package_name(name).is_err(), "{name}");
        }
    }
}
