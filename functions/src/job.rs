//! One run over objects: which there are, and what becomes of each.
//!
//! Whoever is told of objects (a queue's message, an upload's event, a schedule, a terminal) asks
//! [`Work`]; what the answer means to the platform is the asker's affair. [`Job`] is the work: an
//! object's way through it stands in `job/object.rs`, all objects' in `job/sweep.rs`.
//!
//! What always holds, whatever answers are lost and wherever the process is killed:
//! - **No loss.** An input leaves only when its prediction, or its record among the dead letters, is
//!   there, names this state of it, and is whole.
//! - **One output** for an input, a model and settings: written once, or the same bytes again.
//! - **Nothing foreign is removed**, no newer upload, and nothing outside the input's prefix.
//! - **Progress.** An object ends done, or refused with a reason, within a bounded number of tries.
//! - **Pinned.** All predictions of a job are of one model.
//! - **Bounded.** Memory, tries and what is held on disk have limits.

mod dead;
mod identity;
mod input;
mod keys;
mod listing;
mod object;
mod pace;
mod predict;
mod publish;
mod record;
mod run;
mod settings;
mod spool;
mod sweep;
mod trouble;

pub use run::Job;
pub use settings::JobSettings;
pub use sweep::{Step, Sweep};

use std::time::Instant;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

/// An object as an event names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub bucket: String,
    /// The raw key: whatever encoding the event used has been undone, once.
    pub key: String,
    /// The state that the event speaks of, where it says so: an S3 ETag without quotes, a GCS generation.
    pub version: Option<String>,
    /// Orders S3's events of one key.
    pub sequencer: Option<String>,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its prediction is safe, and the input was treated as the job says.
    Done { instances: usize },
    /// There is nothing to do: already done, gone, replaced by a newer upload, or an output of ours.
    Skipped { why: String },
    /// It can't be predicted, now or later. It is on record under the dead-letter prefix.
    Refused { code: &'static str, error: String },
    /// It may succeed another time: the store, the machine, or the time ran out.
    Failed { error: String },
    /// No object can succeed as things are: credentials, permissions, a missing bucket.
    Denied { error: String },
}

impl Outcome {
    /// Logs what became of the object `key`.
    pub fn log(&self, key: &str) {
        match self {
            Self::Done { instances } => tracing::info!(key, instances, "done"),
            Self::Skipped { why } => tracing::info!(key, why, "skipped"),
            Self::Refused { code, error } => tracing::warn!(key, code, error, "refused"),
            Self::Failed { error } => tracing::warn!(key, error, "failed"),
            Self::Denied { error } => tracing::error!(key, error, "denied"),
        }
    }
}

/// The time ended first.
fn too_late() -> Outcome {
    Outcome::Failed { error: "the time was up before it was done".to_owned() }
}

/// What a run over all objects of a place came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    pub done: usize,
    pub skipped: usize,
    pub refused: usize,
    pub failed: usize,
    pub instances: usize,
    /// Whether objects are left: the time was up, or too many were refused.
    pub unfinished: bool,
}

impl Totals {
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { instances } => {
                self.done += 1;
                self.instances += instances;
            }
            Outcome::Skipped { .. } => self.skipped += 1,
            Outcome::Refused { .. } => self.refused += 1,
            Outcome::Failed { .. } | Outcome::Denied { .. } => self.failed += 1,
        }
    }

    /// Objects that were counted.
    pub fn objects(&self) -> usize {
        self.done + self.skipped + self.refused + self.failed
    }

    /// Whether no object is left for another time.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && !self.unfinished
    }
}

/// Work on objects.
#[async_trait]
pub trait Work: Send + Sync {
    /// Does one object. Ends by `until`, with [`Outcome::Failed`] where it isn't done then.
    async fn object(&self, object: &ObjectName, until: Instant) -> Outcome;

    /// Does every object of the input place that isn't done and is in `share`, until `until`.
    async fn sweep(&self, share: Share, until: Instant) -> anyhow::Result<Totals>;
}

/// The objects that are one's own where several sweep one place: `index` of `count`, by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// Every object.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Share `index` of `count`, the first being 0; `None` where there is no such share.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count).then_some(Self { index, count })
    }

    pub fn index(self) -> u32 {
        self.index
    }

    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether the object is in this share. Each is in exactly one, on every machine the same.
    pub fn has(self, key: &str) -> bool {
        let digest = Sha256::digest(key.as_bytes());
        let first = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        first % u64::from(self.count) == u64::from(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_exactly_one_share() {
        for count in [1, 2, 7, 100] {
            let shares: Vec<Share> = (0..count).filter_map(|index| Share::new(index, count)).collect();
            let mut sizes = vec![0; shares.len()];
            for number in 0..2000 {
                let key = format!("folder/{number}.png");
                let own: Vec<usize> = (0..shares.len()).filter(|&index| shares[index].has(&key)).collect();
                assert_eq!(own.len(), 1, "{key} of {count}");
                sizes[own[0]] += 1;
            }
            let fair = 2000 / shares.len();
            assert!(sizes.iter().all(|&size| size > fair / 4 && size < fair * 4), "{sizes:?}");
        }
        assert_eq!(Share::new(1, 1), None);
        assert_eq!(Share::new(0, 0), None);
        assert!(Share::WHOLE.has(""));
    }
}
