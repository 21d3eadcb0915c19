//! [`Cache`]: plans for concrete shapes, built when first asked for, the least recently used given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::Error;
use crate::plan::Plan;
use crate::read::Reader;

pub(crate) struct Cache {
    reader: Reader,
    /// Readers take no lock; a writer replaces the list.
    entries: ArcSwap<Vec<Arc<Entry>>>,
    /// Held to replace the list, never to build.
    writing: Mutex<()>,
    clock: AtomicU64,
    capacity: usize,
}

struct Entry {
    shapes: Vec<Vec<usize>>,
    /// Built by whoever comes first; others with the same shapes wait for it, and only they.
    plan: OnceLock<Result<Plan, Error>>,
    used: AtomicU64,
    /// Prepared at load, kept for good.
    kept: bool,
}

impl Cache {
    pub(crate) fn new(reader: Reader, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            reader,
            entries: ArcSwap::default(),
            writing: Mutex::new(()),
            clock: AtomicU64::new(0),
            capacity,
        }
    }

    /// Calls `run` with the plan for `shapes`, one for each input, building it first if need be. A plan that the
    /// cache gives up meanwhile lives until its last run ends.
    pub(crate) fn with<T>(
        &self,
        shapes: &[&[usize]],
        run: impl FnOnce(&Plan) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.get(shapes, false, run)
    }

    /// Builds the plan for `shapes` and never gives it up; it does not count towards the capacity.
    pub(crate) fn keep(&self, shapes: &[&[usize]]) -> Result<(), Error> {
        self.get(shapes, true, |_| Ok(()))
    }

    fn get<T>(
        &self,
        shapes: &[&[usize]],
        kept: bool,
        run: impl FnOnce(&Plan) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let found = find(&self.entries.load(), shapes);
        let entry = found.unwrap_or_else(|| self.insert(shapes, kept));
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        match entry.plan.get_or_init(|| Plan::build(&self.reader, Some(shapes))) {
            Ok(plan) => run(plan),
            Err(error) => {
                // A failure is not worth the place of a plan that works.
                self.replace(|entries| entries.retain(|e| !Arc::ptr_eq(e, &entry)));
                let message = format!("the graph takes no input of {}", list(shapes));
                Err(Error::input(message).caused_by(error))
            }
        }
    }

    fn insert(&self, shapes: &[&[usize]], kept: bool) -> Arc<Entry> {
        self.replace(|entries| {
            // Another thread may have been here since the look-up.
            if let Some(entry) = find(entries, shapes) {
                return entry;
            }
            let loose = entries.iter().filter(|e| !e.kept);
            if !kept && loose.clone().count() >= self.capacity {
                let oldest = loose.min_by_key(|e| e.used.load(Ordering::Relaxed)).cloned();
                entries.retain(|e| oldest.as_ref().is_none_or(|oldest| !Arc::ptr_eq(e, oldest)));
            }
            let entry = Arc::new(Entry {
                shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
                plan: OnceLock::new(),
                used: AtomicU64::new(self.clock.load(Ordering::Relaxed)),
                kept,
            });
            entries.push(entry.clone());
            entry
        })
    }

    fn replace<T>(&self, change: impl FnOnce(&mut Vec<Arc<Entry>>) -> T) -> T {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::clone(&self.entries.load());
        let result = change(&mut entries);
        self.entries.store(Arc::new(entries));
        result
    }
}

fn find(entries: &[Arc<Entry>], shapes: &[&[usize]]) -> Option<Arc<Entry>> {
    entries.iter().find(|e| e.shapes.iter().map(Vec::as_slice).eq(shapes.iter().copied())).cloned()
}

/// `[1, 4, 256, 256] and [1]`.
fn list(shapes: &[&[usize]]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
    shapes.join(" and ")
}
