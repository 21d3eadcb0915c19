//! Precompiled code: found in the cache and verified before it is loaded, or compiled now.
//!
//! Native code from a file is run outside every sandbox, so a file is believed only if this cache
//! wrote it: behind the code, each entry carries a BLAKE3 hash, under a key that only the owner can read,
//! of the ampoule's own hash, its digest and the code. Anything else is as if it weren't there. The code is
//! then mapped rather than read: an entry is replaced by renaming, never written over.
//!
//! An entry also stands for what was checked when it was made: the ampoule's digest and those of its graphs.
//! So a start hashes the ampoule and its code once, with the fastest hash there is.
//!
//! A package for a machine without compiler brings such a folder along, key and all (`package`):
//! whoever can change it can change the program beside it as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::ampoule::DIGEST_CHARS;
use crate::{Ampoule, Error, Host};

/// What follows the code in its file: this, the ampoule's digest, and the hash of it all.
const MAGIC: &[u8; 8] = b"AMPCODE3";
const TRAILER_BYTES: usize = MAGIC.len() + DIGEST_CHARS + blake3::OUT_LEN;
/// The file of the key in a cache's folder.
const KEY_NAME: &str = "key";

/// A folder of precompiled code and the key that vouches for it.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the cache in `folder`, making the folder and its key on first use.
    pub fn open(folder: PathBuf) -> Result<Self, Error> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(failed("make the folder", &folder))?;
        let path = folder.join(KEY_NAME);
        if !path.exists() {
            let mut key = [0u8; 32];
            getrandom::fill(&mut key)
                .map_err(|cause| Error::Sandbox(format!("no random numbers: {cause}")))?;
            publish(&path, &[&key]).map_err(failed("write", &path))?;
        }
        let read = fs::read(&path).map_err(failed("read", &path))?;
        let key = read.try_into().map_err(|read: Vec<u8>| {
            Error::Sandbox(format!(
                "{}: expected a key of 32 bytes, got {} (remove it)",
                path.display(),
                read.len()
            ))
        })?;
        Ok(Self { folder, key })
    }

    fn path(&self, name: &blake3::Hash, code: Code) -> PathBuf {
        self.folder.join(entry_name(name, code))
    }

    /// The file of the code kept for the ampoule with this hash, and its digest, if that is there and whole;
    /// otherwise why not.
    fn find(&self, ampoule: &blake3::Hash, code: Code) -> Result<(PathBuf, String), String> {
        let path = self.path(ampoule, code);
        match digest_of_whole(&path, hasher(&self.key, ampoule)) {
            Ok(Some(digest)) => Ok((path, digest)),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "precompiled code was changed; it is not used");
                Err(format!("{} was changed", path.display()))
            }
            Err(cause) => Err(format!("can't read {}: {cause}", path.display())),
        }
    }

    #[cfg(feature = "seal")]
    fn put(&self, ampoule: &Ampoule, of: Code, code: &[u8]) -> std::io::Result<()> {
        let hash = blake3::hash(ampoule.bytes());
        publish(&self.path(&hash, of), &[code, &trailer(&self.key, &hash, ampoule.digest(), code)])
    }
}

/// What of an ampoule's code is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The predictor alone: its graphs are run outside of the sandbox.
    Predictor,
    /// All of a portable ampoule.
    Whole,
}

/// An entry's file name: the ampoule, this version and the processors that the code is for.
fn entry_name(ampoule: &blake3::Hash, code: Code) -> String {
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let code = if code == Code::Whole { "-portable" } else { "" };
    format!("{ampoule}-{version}-{arch}{code}.cwasm")
}

fn hasher(key: &[u8; 32], ampoule: &blake3::Hash) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(ampoule.as_bytes());
    hasher
}

/// What follows the code in its file.
#[cfg(feature = "seal")]
fn trailer(key: &[u8; 32], ampoule: &blake3::Hash, digest: &str, code: &[u8]) -> Vec<u8> {
    let hash = hasher(key, ampoule).update(code).update(digest.as_bytes()).finalize();
    [MAGIC.as_slice(), digest.as_bytes(), hash.as_bytes()].concat()
}

/// The digest that the file ends with, if the hash of what is before it follows.
fn digest_of_whole(path: &Path, mut hasher: blake3::Hasher) -> std::io::Result<Option<String>> {
    let mut file = fs::File::open(path)?;
    let Some(code) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    hasher.update_reader((&mut file).take(code))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer)?;
    let (magic, rest) = trailer.split_at(MAGIC.len());
    let (digest, hash) = rest.split_at(DIGEST_CHARS);
    hasher.update(digest);
    // `blake3::Hash` compares in constant time.
    let whole = magic == MAGIC && blake3::Hash::from_slice(hash).is_ok_and(|hash| hash == hasher.finalize());
    Ok(if whole { String::from_utf8(digest.to_vec()).ok() } else { None })
}

/// Writes a file that is whole or not there, readable by its owner only.
fn publish(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The file of an ampoule's precompiled code, or why there is none.
pub(crate) struct Kept {
    code: Code,
    path: Result<PathBuf, String>,
}

impl Kept {
    pub fn is_there(&self) -> bool {
        self.path.is_ok()
    }
}

/// Looks for the ampoule's code and verifies it; what was checked when that was made need not be checked again.
pub(crate) fn find(cache: Option<&Cache>, ampoule: &Ampoule, code: Code) -> Kept {
    let found = cache.ok_or_else(|| "no cache was named".to_owned());
    let path = found.and_then(|cache| {
        let (path, digest) = cache.find(&blake3::hash(ampoule.bytes()), code)?;
        ampoule.set_digest(digest);
        Ok(path)
    });
    Kept { code, path }
}

/// The ampoule's code, and whether it was precompiled. The ampoule's graphs have been checked, where no code is kept.
pub(crate) fn component(host: &Host, ampoule: &Ampoule, kept: Kept) -> Result<(Component, bool), Error> {
    match kept.path.and_then(|path| load(&host.inner.engine, &path)) {
        Ok(component) => Ok((component, true)),
        Err(why) => {
            tracing::debug!(why, "no precompiled code");
            compile(host, ampoule, kept.code, why).map(|component| (component, false))
        }
    }
}

/// The code of a file that was found, or why it is none.
fn load(engine: &wasmtime::Engine, path: &Path) -> Result<Component, String> {
    map(engine, path)
        .map_err(|cause| format!("{} is of another build or for other processors: {cause:#}", path.display()))
}

#[expect(unsafe_code, reason = "the one place where native code is taken from a file")]
fn map(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `path` comes from `Cache::find` alone: it holds what `Cache::put` wrote under the owner's key,
    // the unmodified output of `Engine::precompile_component`, in a folder that only the owner can change and
    // where files are replaced, never written over. The engine itself refuses code of another version,
    // configuration or processor.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(not(feature = "seal"))]
fn compile(_: &Host, _: &Ampoule, _: Code, why: String) -> Result<Component, Error> {
    Err(Error::NotPrecompiled(why))
}

#[cfg(feature = "seal")]
fn compile(host: &Host, ampoule: &Ampoule, of: Code, why: String) -> Result<Component, Error> {
    if ampoule.is_packed() {
        let why =
            format!("{why}, and this is a file out of a package, without the predictor: use the sealed file");
        return Err(Error::NotPrecompiled(why));
    }
    let engine = &host.inner.engine;
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let component = match of {
        Code::Predictor => ampoule.predictor(),
        Code::Whole => ampoule.bytes(),
    };
    let Some(cache) = &host.inner.cache else {
        return Component::new(engine, component).map_err(contract);
    };
    let code = engine.precompile_component(component).map_err(contract)?;
    if let Err(cause) = cache.put(ampoule, of, &code) {
        tracing::warn!(%cause, folder = %cache.folder.display(), "can't keep precompiled code");
    }
    deserialize_own(engine, &code)
}

#[cfg(feature = "seal")]
#[expect(unsafe_code, reason = "code that this process has just made")]
fn deserialize_own(engine: &wasmtime::Engine, code: &[u8]) -> Result<Component, Error> {
    // SAFETY: `code` was made a moment ago by this engine's `precompile_component`.
    let component = unsafe { Component::deserialize(engine, code) };
    // What is refused here has more parts than a sandbox has places for.
    component.map_err(|cause| Error::Contract(format!("{cause:#}")))
}

/// What a program without a compiler opens an ampoule with.
#[cfg(feature = "seal")]
pub struct Package {
    /// The ampoule's file, without the predictor that the code was made from.
    pub ampoule: Vec<u8>,
    /// The files of a folder of precompiled code: names and contents.
    pub cache: Vec<(String, Vec<u8>)>,
}

/// Packs an ampoule for programs without a compiler, on machines of this architecture. The same ampoule
/// always gives the same bytes.
///
/// On x86-64 the code asks for the level v3 (AVX2, FMA, BMI2), which every machine of the large clouds
/// has; on others for what the architecture always has. This machine's own processor doesn't matter.
///
/// # Errors
/// By kind: an ampoule out of a package, a predictor that doesn't keep to the contract, or a machine that
/// can't compile.
#[cfg(feature = "seal")]
pub fn package(ampoule: &Ampoule) -> Result<Package, Error> {
    if ampoule.is_packed() {
        let why = "expected a sealed file, got one out of a package".to_owned();
        return Err(Error::NotAnAmpoule { name: ampoule.manifest().name.clone(), why });
    }
    let engine = wasmtime::Engine::new(&portable_config()?).map_err(|cause| Error::sandbox(&cause))?;
    ampoule.check_graphs()?;
    let code = engine
        .precompile_component(ampoule.predictor())
        .map_err(|cause| Error::Contract(format!("{cause:#}")))?;
    let packed = ampoule.packed();
    let (hash, digest) = (blake3::hash(&packed), ampoule.digest());
    // The key vouches for nobody; it ties the code to the ampoule and shows damage.
    let key = blake3::derive_key("ampoule package", digest.as_bytes());
    let entry = [code.as_slice(), &trailer(&key, &hash, digest, &code)].concat();
    let cache = vec![(entry_name(&hash, Code::Predictor), entry), (KEY_NAME.to_owned(), key.to_vec())];
    Ok(Package { ampoule: packed, cache })
}

/// The settings of the engine that will run the code, but for processors in general.
#[cfg(feature = "seal")]
#[expect(unsafe_code, reason = "a compiler flag is set")]
fn portable_config() -> Result<wasmtime::Config, Error> {
    let mut config = crate::host::engine_config(&crate::Limits::default(), crate::Reuse::Never);
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    config.target(&triple).map_err(|cause| Error::sandbox(&cause))?;
    if cfg!(target_arch = "x86_64") {
        // SAFETY: the flag is a level of the architecture, and no invariant of the engine; an engine
        // on a processor that lacks it refuses the code.
        unsafe { config.cranelift_flag_enable("x86-64-v3") };
    }
    Ok(config)
}
