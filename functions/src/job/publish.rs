//! [`publish`]: an object that is there once, whole, and says what it is of.
//!
//! A store's answer to a write is a hint. Whatever it is, the object that is then there decides: ours
//! or a twin's, another's, a damaged one, or none.

use std::sync::Arc;

use ampoule_host::hex;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::identity::{Found, Identity};
use super::trouble::Trouble;
use crate::store::retry::Retry;
use crate::store::{About, Content, Expect, Object, Store, StoreError};

/// How often an object is written that is then found damaged, or replaced by an older one.
const WRITES: u32 = 8;

/// An output store, and the patience with it.
#[derive(Clone, Copy)]
pub struct Place<'s> {
    pub store: &'s Arc<dyn Store>,
    pub retry: &'s Arc<Retry>,
}

/// What is to be there.
#[derive(Clone, Debug)]
pub struct Publication {
    pub key: String,
    pub content: Content,
    pub bytes: u64,
    /// Of the content, in lower-case hex.
    pub sha256: String,
    pub about: About,
}

/// How thoroughly a stored object is looked at where the store keeps no checksum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its length will do: the input stays.
    Length,
    /// Its bytes are read back: what they come from is about to go.
    Bytes,
}

/// What two that publish the same must agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The content too: predictions are repeatable.
    Content,
    /// What it is of: a record also says when it was made.
    Identity,
}

/// Writes `publication`, of `identity`, so that it is there once and whole, and is known to be.
///
/// An object of an older state of the input gives way to it, if `current` says that the input still
/// is as it was read.
///
/// # Errors
/// [`Trouble::InTheWay`] where another object stands there and stays, [`Trouble::Replaced`] where a
/// newer state of the input was first, or what the store said last.
pub async fn publish<F>(
    place: Place<'_>,
    publication: &Publication,
    identity: &Identity,
    agreement: Agreement,
    proof: Proof,
    current: impl Fn() -> F,
) -> Result<(), Trouble>
where
    F: Future<Output = Result<bool, Trouble>>,
{
    let Place { store, retry } = place;
    let Publication { key, content, about, .. } = publication;
    let mut expect = Expect::Nothing;
    let (mut tried, mut writes) = (0, 0);
    loop {
        tried += 1;
        writes += 1;
        retry.earn();
        let written = match store.write(key, content, about, &expect).await {
            Err(cause @ (StoreError::Denied { .. } | StoreError::Unsupported { .. })) => {
                return Err(Trouble::of_output(cause));
            }
            written => written.err(),
        };
        // Whatever the answer was, what is there now decides.
        let found = match retry.run(|| store.head(key)).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => {
                expect = Expect::Nothing;
                again(retry, tried, written).await?;
                continue;
            }
            Err(cause) => return Err(Trouble::of_output(cause)),
        };
        match identity.look(&found) {
            Found::Same { sha256 } if sha256 == publication.sha256 => {
                if intact(place, &found, publication.bytes, &sha256, proof).await? {
                    return Ok(());
                }
            }
            Found::Same { .. } if agreement == Agreement::Identity => return Ok(()),
            Found::Same { sha256 } => {
                let error = format!(
                    "{key:?}: expected a prediction with checksum {sha256}, as the one that is there, got {}",
                    publication.sha256
                );
                return Err(Trouble::InTheWay { code: "not_repeatable", error });
            }
            Found::Stale if current().await? => {}
            Found::Stale => return Err(Trouble::Replaced),
            Found::Foreign => {
                let error =
                    format!("{key:?}: expected nothing or a prediction of this input, got another object");
                return Err(Trouble::InTheWay { code: "output_exists", error });
            }
        }
        if writes >= WRITES {
            return Err(Trouble::Failed(format!(
                "{key:?}: {WRITES} writes, and what is stored is not whole"
            )));
        }
        expect = Expect::Version(found.version);
    }
}

/// Waits before another write, if it may be of use.
async fn again(retry: &Retry, tried: u32, written: Option<StoreError>) -> Result<(), Trouble> {
    let cause = match written {
        // Damaged on its way, or done and not to be seen: as good as lost.
        None
        | Some(StoreError::Corrupt { .. } | StoreError::NotFound { .. } | StoreError::Changed { .. }) => {
            StoreError::Lost { cause: "it was written, and is not there".to_owned() }
        }
        Some(cause) => cause,
    };
    match retry.delay(tried, &cause) {
        Some(delay) => {
            tokio::time::sleep(delay).await;
            Ok(())
        }
        None => Err(Trouble::of_output(cause)),
    }
}

/// Whether an object has the length and the content that it should have.
pub async fn intact(
    place: Place<'_>,
    object: &Object,
    bytes: u64,
    sha256: &str,
    proof: Proof,
) -> Result<bool, Trouble> {
    if object.bytes != bytes {
        return Ok(false);
    }
    match (&object.sha256, proof) {
        (Some(stored), _) => Ok(stored == sha256),
        (None, Proof::Length) => Ok(true),
        (None, Proof::Bytes) => match hash(place, object).await {
            Ok(stored) => Ok(stored == sha256),
            Err(StoreError::Corrupt { .. } | StoreError::NotFound { .. } | StoreError::Changed { .. }) => {
                Ok(false)
            }
            Err(cause) => Err(Trouble::of_output(cause)),
        },
    }
}

/// The sha256 of an object's bytes as they are stored.
async fn hash(Place { store, retry }: Place<'_>, object: &Object) -> Result<String, StoreError> {
    let mut reading = retry.read(store, &object.key, 0, Some(&object.version)).await?;
    let mut sha256 = Sha256::new();
    while let Some(piece) = reading.bytes.next().await {
        sha256.update(piece?);
    }
    Ok(hex(&sha256.finalize()))
}
