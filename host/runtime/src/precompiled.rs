//! Precompiled code: found in the cache and verified before it is loaded, or compiled now.
//!
//! Native code from a file is run outside every sandbox, so a file is believed only if this cache
//! wrote it: behind the code, each entry carries a BLAKE3 hash, under a key that only the owner can read,
//! of the ampoule's digest and the code. Anything else is as if it weren't there. The code is then mapped
//! rather than read: an entry is replaced by renaming, never written over.
//!
//! A package for a machine without compiler brings such a folder along, key and all ([`package`]):
//! whoever can change it can change the program beside it as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::{Ampoule, Error, Host};

/// What stands between the code and its hash.
const MAGIC: &[u8; 8] = b"AMPCODE2";
const TRAILER_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;
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

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(entry_name(digest))
    }

    /// The file of the code kept for the ampoule with this digest, if it is there and whole; otherwise why not.
    fn find(&self, digest: &str) -> Result<PathBuf, String> {
        let path = self.path(digest);
        match is_whole(&path, hasher(&self.key, digest)) {
            Ok(true) => Ok(path),
            Ok(false) => {
                tracing::warn!(path = %path.display(), "precompiled code was changed; it is not used");
                Err(format!("{} was changed", path.display()))
            }
            Err(cause) => Err(format!("can't read {}: {cause}", path.display())),
        }
    }

    #[cfg(feature = "seal")]
    fn put(&self, digest: &str, code: &[u8]) -> std::io::Result<()> {
        publish(&self.path(digest), &[code, &trailer(&self.key, digest, code)])
    }
}

/// An entry's file name: the ampoule, this version and the processors that the code is for.
fn entry_name(digest: &str) -> String {
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    format!("{digest}-{version}-{arch}.cwasm")
}

fn hasher(key: &[u8; 32], digest: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(digest.as_bytes());
    hasher
}

/// What follows the code in its file.
#[cfg(feature = "seal")]
fn trailer(key: &[u8; 32], digest: &str, code: &[u8]) -> Vec<u8> {
    let hash = hasher(key, digest).update(code).finalize();
    [MAGIC.as_slice(), hash.as_bytes()].concat()
}

/// Whether the file ends with the hash of what is before it.
fn is_whole(path: &Path, mut hasher: blake3::Hasher) -> std::io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let Some(code) = file.metadata()?.len().checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    hasher.update_reader((&mut file).take(code))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer)?;
    let (magic, hash) = trailer.split_at(MAGIC.len());
    // `blake3::Hash` compares in constant time.
    Ok(magic == MAGIC && blake3::Hash::from_slice(hash).is_ok_and(|hash| hash == hasher.finalize()))
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

/// The ampoule's code, and whether it was precompiled.
pub(crate) fn component(host: &Host, ampoule: &Ampoule) -> Result<(Component, bool), Error> {
    match kept(host, ampoule) {
        Ok(component) => Ok((component, true)),
        Err(why) => {
            tracing::debug!(why, "no precompiled code");
            compile(host, ampoule, why).map(|component| (component, false))
        }
    }
}

/// The component that the cache keeps, or why there is none.
fn kept(host: &Host, ampoule: &Ampoule) -> Result<Component, String> {
    let cache = host.inner.cache.as_ref().ok_or("no cache was named")?;
    let path = cache.find(ampoule.digest())?;
    map(&host.inner.engine, &path)
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
fn compile(_: &Host, _: &Ampoule, why: String) -> Result<Component, Error> {
    Err(Error::NotPrecompiled(why))
}

#[cfg(feature = "seal")]
fn compile(host: &Host, ampoule: &Ampoule, _: String) -> Result<Component, Error> {
    let engine = &host.inner.engine;
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let Some(cache) = &host.inner.cache else {
        return Component::new(engine, ampoule.bytes()).map_err(contract);
    };
    let code = engine.precompile_component(ampoule.bytes()).map_err(contract)?;
    if let Err(cause) = cache.put(ampoule.digest(), &code) {
        tracing::warn!(%cause, folder = %cache.folder.display(), "can't keep precompiled code");
    }
    deserialize_own(engine, &code)
}

#[cfg(feature = "seal")]
#[expect(unsafe_code, reason = "code that this process has just made")]
fn deserialize_own(engine: &wasmtime::Engine, code: &[u8]) -> Result<Component, Error> {
    // SAFETY: `code` was made a moment ago by this engine's `precompile_component`.
    unsafe { Component::deserialize(engine, code) }.map_err(|cause| Error::sandbox(&cause))
}

/// A folder of precompiled code for machines of this architecture, to be put beside a program that
/// has no compiler: names and contents. The same ampoule always gives the same bytes.
///
/// On x86-64 the code asks for the level v3 (AVX2, FMA, BMI2), which every machine of the large clouds
/// has; on others for what the architecture always has. This machine's own processor doesn't matter.
///
/// # Errors
/// By kind: a predictor that doesn't keep to the contract, or a machine that can't compile.
#[cfg(feature = "seal")]
pub fn package(ampoule: &Ampoule) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let engine = wasmtime::Engine::new(&portable_config()?).map_err(|cause| Error::sandbox(&cause))?;
    let code = engine
        .precompile_component(ampoule.bytes())
        .map_err(|cause| Error::Contract(format!("{cause:#}")))?;
    let digest = ampoule.digest();
    // The key vouches for nobody; it ties the code to the ampoule and shows damage.
    let key = blake3::derive_key("ampoule package", digest.as_bytes());
    let entry = [code.as_slice(), &trailer(&key, digest, &code)].concat();
    Ok(vec![(entry_name(digest), entry), (KEY_NAME.to_owned(), key.to_vec())])
}

/// The settings of the engine that will run the code, but for processors in general.
#[cfg(feature = "seal")]
#[expect(unsafe_code, reason = "a compiler flag is set")]
fn portable_config() -> Result<wasmtime::Config, Error> {
    let mut config = crate::host::engine_config(&crate::Limits::default());
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    config.target(&triple).map_err(|cause| Error::sandbox(&cause))?;
    if cfg!(target_arch = "x86_64") {
        // SAFETY: the flag is a level of the architecture, and no invariant of the engine; an engine
        // on a processor that lacks it refuses the code.
        unsafe { config.cranelift_flag_enable("x86-64-v3") };
    }
    Ok(config)
}
