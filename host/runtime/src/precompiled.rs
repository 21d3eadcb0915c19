//! Precompiled code: found in the cache and verified before it is loaded, or compiled now.
//!
//! Native code from a file is run outside every sandbox, so a file is believed only if this cache
//! wrote it: each entry carries an HMAC-SHA256, under a key that only the owner can read, over the
//! ampoule's digest and the code. Anything else is as if it weren't there.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wasmtime::component::Component;

use crate::{Ampoule, Error, Host};

const MAGIC: &[u8; 8] = b"AMPCODE1";
const MAC_BYTES: usize = 32;

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
        let path = folder.join("key");
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
        let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        self.folder.join(format!("{digest}-{version}-{arch}.cwasm"))
    }

    fn mac(&self, digest: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("an HMAC key has any length");
        mac.update(digest.as_bytes());
        mac.update(code);
        mac
    }

    /// The code kept for the ampoule with this digest, if it is there and whole.
    fn get(&self, digest: &str) -> Option<Vec<u8>> {
        let mut entry = fs::read(self.path(digest)).ok()?;
        let code = entry.strip_prefix(MAGIC.as_slice())?;
        let (mac, code) = code.split_at_checked(MAC_BYTES)?;
        if self.mac(digest, code).verify_slice(mac).is_err() {
            tracing::warn!(path = %self.path(digest).display(), "precompiled code was changed; it is not used");
            return None;
        }
        entry.drain(..MAGIC.len() + MAC_BYTES);
        Some(entry)
    }

    #[cfg(feature = "seal")]
    fn put(&self, digest: &str, code: &[u8]) -> std::io::Result<()> {
        let mac = self.mac(digest, code).finalize().into_bytes();
        publish(&self.path(digest), &[MAGIC, &mac, code])
    }
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
    let engine = &host.inner.engine;
    let kept = host.inner.cache.as_ref().and_then(|cache| cache.get(ampoule.digest()));
    if let Some(code) = kept {
        match deserialize(engine, &code) {
            Ok(component) => return Ok((component, true)),
            Err(cause) => tracing::debug!(%cause, "precompiled code is of another build"),
        }
    }
    compile(host, ampoule).map(|component| (component, false))
}

#[expect(unsafe_code, reason = "the one place where native code is taken from a file")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` comes from `Cache::get` alone, which returns only what `Cache::put` wrote under
    // the owner's key: the unmodified output of `Engine::precompile_component`. The engine itself
    // refuses code of another version, configuration or processor.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(not(feature = "seal"))]
fn compile(host: &Host, _: &Ampoule) -> Result<Component, Error> {
    Err(Error::NotPrecompiled(match &host.inner.cache {
        Some(cache) => format!("none of this build in {}", cache.folder.display()),
        None => "no cache was named".to_owned(),
    }))
}

#[cfg(feature = "seal")]
fn compile(host: &Host, ampoule: &Ampoule) -> Result<Component, Error> {
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
