//! A container image, as an archive in the OCI image layout that `docker load` takes as well.
//!
//! Nothing is pulled: the program's own libraries, the certificates and the files that a C library
//! looks for are the whole system. They lie in layers of their own, below the ampoule's, so that a new
//! model is a small push.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ampoule_host::{Ampoule, sha256_hex};
use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use std::io::Write as _;

use super::program::{BOOTSTRAP, Linking, Program};
use super::{File, archive};

/// Where the certificates of common systems lie.
const CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The user that the program runs as: nobody in particular, and not root.
const USER: u32 = 65532;

/// The certificates that the image is to trust.
///
/// # Errors
/// There are none, or they can't be read.
pub fn certificates(named: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let path = named
        .map(Path::to_owned)
        .or_else(|| CERTIFICATES.iter().map(PathBuf::from).find(|path| path.is_file()));
    let path = path.context("no certificates on this machine: name a file with --certificates")?;
    std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))
}

/// The name that an image of an ampoule has: the model's, and its version.
pub fn name(ampoule: &Ampoule) -> String {
    let manifest = ampoule.manifest();
    format!("{}:{}", manifest.name, tag(&manifest.version))
}

/// The image `name` of `files`, which lie together in one folder of it.
///
/// # Errors
/// A library of the program is not on this machine.
pub fn archive(
    ampoule: &Ampoule,
    program: &Program,
    files: Vec<File>,
    certificates: Vec<u8>,
    name: &str,
) -> anyhow::Result<Vec<u8>> {
    // Lambda's runtime expects what it runs where it unpacks a zip.
    let home = if program.name == BOOTSTRAP { "var/task" } else { "ampoule" };
    let (programs, model): (Vec<File>, Vec<File>) = files
        .into_iter()
        .map(|file| file.under(home))
        .partition(|file| file.path.ends_with(&format!("/{}", program.name)));
    let layers = [
        ("the C library and certificates", system(program, certificates)?),
        ("the program", programs),
        ("the ampoule", model),
    ];
    let mut blobs = Blobs::default();
    let mut descriptors = Vec::new();
    let mut diff_ids = Vec::new();
    let mut history = Vec::new();
    for (what, files) in &layers {
        let tar = archive::tar(files)?;
        diff_ids.push(format!("sha256:{}", sha256_hex(&tar)));
        let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        gzip.write_all(&tar)?;
        descriptors.push(blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip.finish()?));
        history.push(json!({"created": CREATED, "created_by": format!("ampoule package image: {what}")}));
    }
    let labels = labels(ampoule);
    let config = json!({
        "created": CREATED,
        "architecture": program.linking.architecture(),
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": {"8080/tcp": {}},
            "Env": ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "Entrypoint": [format!("/{home}/{}", program.name)],
            "WorkingDir": format!("/{home}"),
            "Labels": &labels,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    let config = blobs.add("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let image = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": &config,
        "layers": &descriptors,
        "annotations": &labels,
    });
    let mut image = blobs.add("application/vnd.oci.image.manifest.v1+json", image.to_string().into_bytes());
    // Docker's newer store of images goes by a name with its registry.
    let full =
        if name.contains('/') { format!("docker.io/{name}") } else { format!("docker.io/library/{name}") };
    image["annotations"] =
        json!({"org.opencontainers.image.ref.name": name, "io.containerd.image.name": full});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [image],
    });
    // What `docker load` reads of the same blobs.
    let docker = json!([{
        "Config": blob_path(&config),
        "RepoTags": [name],
        "Layers": descriptors.iter().map(blob_path).collect::<Vec<_>>(),
    }]);
    let mut files: Vec<File> = blobs.files;
    for (path, content) in [
        ("index.json", index.to_string()),
        ("manifest.json", docker.to_string()),
        ("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string()),
    ] {
        files.push(File::plain(path, content));
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    archive::tar(&files)
}

/// An image has no time of its own: the same inputs give the same digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The content-addressed part of the layout.
#[derive(Default)]
struct Blobs {
    files: Vec<File>,
}

impl Blobs {
    /// Adds a blob and gives its descriptor.
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = sha256_hex(&bytes);
        let descriptor =
            json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()});
        let path = format!("blobs/sha256/{digest}");
        if !self.files.iter().any(|file| file.path == path) {
            self.files.push(File::plain(path, bytes));
        }
        descriptor
    }
}

fn blob_path(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

fn labels(ampoule: &Ampoule) -> BTreeMap<&'static str, String> {
    let manifest = ampoule.manifest();
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title", manifest.name.clone()),
        ("org.opencontainers.image.version", manifest.version.clone()),
        ("ampoule.digest", format!("sha256:{}", ampoule.digest())),
    ]);
    let further = [
        ("org.opencontainers.image.description", &manifest.description),
        ("org.opencontainers.image.licenses", &manifest.licence),
        ("org.opencontainers.image.source", &manifest.source),
    ];
    labels.extend(further.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    labels
}

/// A version as an image's tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
pub fn tag(version: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let tag: String = version.chars().take(128).map(|c| if allowed(c) { c } else { '-' }).collect();
    let begins_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well { tag } else { format!("v{}", tag.trim_start_matches(['.', '-'])) }
}

/// What the program finds around it: its loader and libraries, where it looks for them, and the files
/// that a C library reads.
fn system(program: &Program, certificates: Vec<u8>) -> anyhow::Result<Vec<File>> {
    let mut files = vec![
        File::plain("etc/passwd", format!("nonroot:x:{USER}:{USER}:nonroot:/nonexistent:/none\n")),
        File::plain("etc/group", format!("nonroot:x:{USER}:\n")),
        File::plain("etc/nsswitch.conf", "hosts: files dns\n"),
        File::plain("etc/ssl/certs/ca-certificates.crt", certificates),
        File { path: "tmp/".to_owned(), mode: 0o1777, bytes: Vec::new() },
    ];
    let mut libraries = BTreeMap::new();
    if let Some(loader) = &program.linking.loader {
        add_library(Path::new(loader), &mut libraries)?;
    }
    for name in &program.linking.needed {
        add_library(&find_library(name, program.linking.architecture())?, &mut libraries)?;
    }
    files.extend(libraries.into_iter().map(|(path, bytes)| File {
        path: path.trim_start_matches('/').to_owned(),
        mode: 0o755,
        bytes,
    }));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Adds the library at `path` and all that it needs.
fn add_library(path: &Path, libraries: &mut BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    let named = path.to_string_lossy().into_owned();
    let name = path.file_name();
    if libraries.keys().any(|known| Path::new(known).file_name() == name) {
        return Ok(());
    }
    let bytes = std::fs::read(path).with_context(|| format!("can't read the library {named}"))?;
    let linking = Linking::read(&bytes).with_context(|| format!("{named} can't be used"))?;
    libraries.insert(named, bytes);
    for needed in &linking.needed {
        add_library(&find_library(needed, linking.architecture())?, libraries)?;
    }
    Ok(())
}

/// Where this machine's own loader finds a library.
fn find_library(name: &str, architecture: &str) -> anyhow::Result<PathBuf> {
    let triple = if architecture == "arm64" { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" };
    let folders = [format!("/lib/{triple}"), format!("/usr/lib/{triple}")];
    let folders = folders.iter().map(String::as_str).chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"]);
    let mut places = folders.map(|folder| Path::new(folder).join(name));
    places.find(|path| path.is_file()).with_context(|| format!("the library {name} is not on this machine"))
}
