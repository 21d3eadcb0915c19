//! [`Pace`]: how many objects are worked on at one time, which follows what the stores bear.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::store::{About, Content, Expect, Object, Page, Reading, Store, StoreError, Version};

/// Objects that are begun with at one time before anything is known.
const FIRST: usize = 8;

/// Refusals within this time of another are one.
const ONE_REFUSAL: Duration = Duration::from_millis(500);

/// Adds one place for each round of objects that went well, and halves the places where a store asks
/// for fewer requests.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    places: f64,
    taken: usize,
    cut: Option<Instant>,
}

impl Pace {
    /// At most `most` objects at one time.
    pub fn new(most: usize) -> Arc<Self> {
        let most = most.max(1);
        let state = State { places: FIRST.min(most) as f64, taken: 0, cut: None };
        Arc::new(Self { most, state: Mutex::new(state), freed: Notify::new() })
    }

    /// Waits for a place.
    pub async fn place(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if (state.taken as f64) < state.places.floor().max(1.0) {
                    state.taken += 1;
                    return Place(self.clone());
                }
            }
            freed.await;
        }
    }

    /// An object went well.
    pub fn went_well(&self) {
        let mut state = self.state();
        state.places = (state.places + 1.0 / state.places).min(self.most as f64);
    }

    /// A store asks for fewer requests.
    pub fn throttled(&self) {
        let mut state = self.state();
        if state.cut.is_none_or(|cut| cut.elapsed() > ONE_REFUSAL) {
            state.places = (state.places / 2.0).max(1.0);
            state.cut = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Pace>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
        self.0.freed.notify_waiters();
    }
}

/// A store whose refusals set the pace.
#[derive(Debug)]
pub struct Paced {
    pub store: Arc<dyn Store>,
    pub pace: Arc<Pace>,
}

impl Paced {
    fn hear<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Throttled { .. }) = &answer {
            self.pace.throttled();
        }
        answer
    }
}

#[async_trait]
impl Store for Paced {
    fn name(&self) -> &str {
        self.store.name()
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError> {
        self.hear(self.store.list(prefix, page).await)
    }

    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        self.hear(self.store.head(key).await)
    }

    async fn read(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError> {
        self.hear(self.store.read(key, start, version).await)
    }

    async fn write(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        self.hear(self.store.write(key, content, about, expect).await)
    }

    async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        self.hear(self.store.delete(key, version).await)
    }

    async fn tag(&self, key: &str, version: &Version, name: &str, value: &str) -> Result<(), StoreError> {
        self.hear(self.store.tag(key, version, name, value).await)
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, StoreError> {
        self.hear(self.store.tags(key).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pace: &Pace) -> usize {
        (1..=pace.most).rev().find(|&count| count as f64 <= pace.state().places).unwrap_or(0)
    }

    #[tokio::test]
    async fn places_grow_by_one_a_round_and_halve_when_the_store_asks() {
        let pace = Pace::new(20);
        assert_eq!(places(&pace), FIRST);
        for _ in 0..9 {
            pace.went_well();
        }
        assert_eq!(places(&pace), 9);
        pace.throttled();
        pace.throttled();
        assert_eq!(places(&pace), 4, "two refusals at once are one");
        for _ in 0..1000 {
            pace.went_well();
        }
        assert_eq!(places(&pace), 20);
    }

    #[tokio::test]
    async fn no_more_than_the_places_are_taken() {
        let pace = Pace::new(2);
        let first = pace.place().await;
        let _second = pace.place().await;
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.place().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.expect("it gets the place");
    }
}
