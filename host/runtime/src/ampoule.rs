//! [`Ampoule`]: the sealed file, read without running it.
//!
//! An ampoule is a WebAssembly component with custom sections behind it:
//! `ampoule:manifest` (canonical JSON), one `ampoule:graph/NAME` per graph (the model's file), and
//! `ampoule:loaded` where the predictor's `load` was run at seal time.
//!
//! A portable one is put together from components: an engine with the graphs ready in its memory, and the predictor,
//! in which an empty `ampoule:predictor` stands, so that a host can take it out.
//!
//! A package holds it without the predictor, whose precompiled code lies beside it: then `ampoule:packed`
//! is the digest of the sealed file.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

#[cfg(feature = "seal")]
use crate::Checked;
use crate::{Error, Manifest};

pub(crate) const MANIFEST_SECTION: &str = "ampoule:manifest";
pub(crate) const GRAPH_SECTION: &str = "ampoule:graph/";
/// Stands in a file whose predictor was snapshotted after its `load`; it is empty.
pub(crate) const LOADED_SECTION: &str = "ampoule:loaded";
/// Stands in the predictor of a portable file; it is empty.
pub(crate) const PREDICTOR_SECTION: &str = "ampoule:predictor";
/// Stands in a file without a predictor: the digest of the one that had it.
pub(crate) const PACKED_SECTION: &str = "ampoule:packed";
/// Characters of a digest.
pub(crate) const DIGEST_CHARS: usize = 64;

/// A sealed file and what stands in it.
pub struct Ampoule {
    bytes: Vec<u8>,
    /// Taken when it is first asked for, unless precompiled code tells it.
    digest: OnceLock<String>,
    manifest: Manifest,
    manifest_text: Range<usize>,
    /// Its section, with what stands before its content.
    #[cfg_attr(not(feature = "seal"), allow(dead_code, reason = "nothing is written"))]
    manifest_section: Range<usize>,
    /// Where the file of each of `manifest.graphs` lies.
    graphs: Vec<Range<usize>>,
    loaded: bool,
    packed: bool,
    /// Where the predictor lies in a portable file.
    predictor: Option<Range<usize>>,
    exports: Vec<String>,
}

impl Ampoule {
    /// Reads a sealed file.
    ///
    /// # Errors
    /// [`Error::Io`], and whatever [`Ampoule::from_bytes`] says.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(bytes, &path.display().to_string())
    }

    /// Takes a sealed file apart; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::NotAnAmpoule`] for anything that is not a component with our sections in it,
    /// [`Error::Manifest`] for a manifest that can't be read.
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::NotAnAmpoule { name: name.to_owned(), why };
        if !wasmparser::Parser::is_component(&bytes) {
            let why = match bytes.get(..4) {
                Some(b"\0asm") => "expected a component, got a core module".to_owned(),
                Some(b"\x7fELF") => "expected a component, got precompiled or native code".to_owned(),
                _ => "expected a WebAssembly component".to_owned(),
            };
            return Err(refuse(why));
        }
        let mut manifest_at = None;
        let mut named = Vec::new();
        let (mut loaded, mut code) = (false, false);
        let mut packed = None;
        let (mut part, mut predictor) = (0..0, None);
        let mut depth = 0usize;
        let mut exports = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
            match payload.map_err(|cause| refuse(cause.to_string()))? {
                wasmparser::Payload::ModuleSection { unchecked_range, .. }
                | wasmparser::Payload::ComponentSection { unchecked_range, .. } => {
                    code = true;
                    if depth == 0 {
                        part = unchecked_range;
                    }
                    depth += 1;
                }
                wasmparser::Payload::CustomSection(section)
                    if depth == 1
                        && section.name() == PREDICTOR_SECTION
                        && predictor.replace(part.clone()).is_some() =>
                {
                    return Err(refuse("two predictors".to_owned()));
                }
                wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
                wasmparser::Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        exports.push(export.map_err(|cause| refuse(cause.to_string()))?.name.name.to_owned());
                    }
                }
                wasmparser::Payload::CustomSection(section) if depth == 0 => {
                    let start = section.data_offset();
                    let range = start..start + section.data().len();
                    if section.name() == MANIFEST_SECTION {
                        let section = start_of_section(&bytes, section.range().start)..section.range().end;
                        if manifest_at.replace((range, section)).is_some() {
                            return Err(refuse("two manifests".to_owned()));
                        }
                    } else if section.name() == LOADED_SECTION {
                        loaded = true;
                    } else if section.name() == PACKED_SECTION {
                        packed = Some(section.data());
                    } else if let Some(graph) = section.name().strip_prefix(GRAPH_SECTION) {
                        named.push((graph.to_owned(), range));
                    }
                }
                _ => {}
            }
        }
        let (manifest_text, manifest_section) = manifest_at.ok_or_else(|| {
            refuse("a component without a manifest (make an ampoule of it with `ampoule seal`)".to_owned())
        })?;
        let manifest = Manifest::from_json(&bytes[manifest_text.clone()])?;
        let mut graphs = Vec::with_capacity(manifest.graphs.len());
        for facts in &manifest.graphs {
            let mut found = named.iter().filter(|(name, _)| *name == facts.name);
            match (found.next(), found.next()) {
                (Some((_, range)), None) => graphs.push(range.clone()),
                (None, _) => return Err(refuse(format!("the file of graph \"{}\" is missing", facts.name))),
                (Some(_), Some(_)) => return Err(refuse(format!("graph \"{}\" stands twice", facts.name))),
            }
        }
        let digest = OnceLock::new();
        if let Some(text) = packed {
            let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if code || text.len() != DIGEST_CHARS || !text.iter().all(is_hex) {
                return Err(refuse(
                    "it says that it was packed, and is not as `ampoule package` makes it".to_owned(),
                ));
            }
            let _ = digest.set(String::from_utf8_lossy(text).into_owned());
        }
        let packed = packed.is_some();
        Ok(Self {
            bytes,
            digest,
            manifest,
            manifest_text,
            manifest_section,
            graphs,
            loaded,
            packed,
            predictor,
            exports,
        })
    }

    /// Sha256 of the whole sealed file, lower-case hex.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| sha256_hex(&self.bytes))
    }

    /// Takes the digest from who had these same bytes before.
    pub(crate) fn set_digest(&self, digest: String) {
        let _ = self.digest.set(digest);
    }

    /// The file with another record of a check, or with none.
    #[cfg(feature = "seal")]
    pub fn with_record(&self, checked: Option<Checked>) -> Vec<u8> {
        use wasm_encoder::ComponentSection as _;
        let manifest = Manifest { checked, ..self.manifest.clone() }.to_json();
        let mut section = Vec::new();
        wasm_encoder::CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() }
            .append_to_component(&mut section);
        let Range { start, end } = self.manifest_section;
        [&self.bytes[..start], &section, &self.bytes[end..]].concat()
    }

    /// Sha256 of the whole file as it was before a check was put on record, lower-case hex: what a record names. None where
    /// that file isn't here any more: in one from a package, and in one whose manifest is written otherwise than by sealing.
    #[cfg(feature = "seal")]
    pub fn unrecorded_digest(&self) -> Option<String> {
        let without = self.with_record(None);
        let canonical = self.manifest.checked.is_some() || without == self.bytes;
        (canonical && !self.packed).then(|| sha256_hex(&without))
    }

    /// Whether a check is on record, and of this very file; none where that can't be told.
    #[cfg(feature = "seal")]
    pub fn is_checked(&self) -> Option<bool> {
        let checked = self.manifest.checked.as_ref()?;
        self.unrecorded_digest().map(|digest| digest == checked.sha256)
    }

    /// Checks that each graph's file is the one that the manifest was sealed with.
    ///
    /// # Errors
    /// [`Error::Manifest`] with the first that is another.
    pub(crate) fn check_graphs(&self) -> Result<(), Error> {
        for (index, facts) in self.manifest.graphs.iter().enumerate() {
            if sha256_hex(self.graph(index)) != facts.sha256 {
                return Err(Error::Manifest(format!(
                    "graphs.{}: its file is not the one that was sealed",
                    facts.name
                )));
            }
        }
        Ok(())
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's text, as sealed.
    pub fn manifest_text(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.manifest_text.clone()]).expect("JSON that was read is UTF-8")
    }

    /// Whether the predictor was snapshotted after its `load`.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether it came without its predictor.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Whether it brings an engine along.
    pub fn is_portable(&self) -> bool {
        self.predictor.is_some()
    }

    /// Names of what the component exports, such as `wasi:cli/run@0.2.6`.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// The component that a host with engines of its own runs.
    #[cfg(feature = "seal")]
    pub(crate) fn predictor(&self) -> &[u8] {
        self.predictor.clone().map_or(&self.bytes, |range| &self.bytes[range])
    }

    /// The file without its predictor, for a package.
    #[cfg(feature = "seal")]
    pub(crate) fn packed(&self) -> Vec<u8> {
        use wasm_encoder::ComponentSection as _;
        let mut packed = wasm_encoder::Component::HEADER.to_vec();
        let mut append = |name: &str, data: &[u8]| {
            wasm_encoder::CustomSection { name: name.into(), data: data.into() }
                .append_to_component(&mut packed);
        };
        append(PACKED_SECTION, self.digest().as_bytes());
        if self.loaded {
            append(LOADED_SECTION, &[]);
        }
        append(MANIFEST_SECTION, self.manifest_text().as_bytes());
        for (index, facts) in self.manifest.graphs.iter().enumerate() {
            append(&format!("{GRAPH_SECTION}{}", facts.name), self.graph(index));
        }
        packed
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file of the `index`th of the manifest's graphs.
    pub fn graph(&self, index: usize) -> &[u8] {
        &self.bytes[self.graphs[index].clone()]
    }
}

/// Where a section begins whose content does at `content`: in between stand its kind, 0 for a custom one, and its size in LEB128,
/// of which all bytes but the last have their highest bit set.
fn start_of_section(bytes: &[u8], content: usize) -> usize {
    let mut start = content - 1;
    while bytes[start - 1] & 0x80 != 0 {
        start -= 1;
    }
    start - 1
}

/// Sha256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
