//! [`Retry`]: the one place where a call to a store is tried again.
//!
//! Reads, listings and tags go through [`Retry::run`] and [`Retry::read`]. A write or a deletion
//! whose answer was lost may have been done: who wrote looks first, and takes only the time to wait
//! from [`Retry::delay`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};

use super::{Reading, Store, StoreError, Version};

/// How often and how soon a store is asked again, and how much of that it has to bear in all.
///
/// Waiting times are drawn from zero to a bound that doubles with each try ("full jitter"). Each
/// call earns a tenth of a retry and each retry spends one, from a stock of a hundred: in the long
/// run a tenth of the calls are retries, so that a store that fails isn't asked ten times as much.
/// Ten retries a second are always there: no store feels them, and the few calls at a job's end earn
/// next to nothing. One `Retry` stands for one store, and is shared by all who call it.
#[derive(Debug)]
pub struct Retry {
    pace: Pace,
    stock: Mutex<Stock>,
}

/// The retries that may still be spent.
#[derive(Debug)]
struct Stock {
    retries: f64,
    /// Until when time has added to them.
    counted: Instant,
}

/// The bounds of one call's tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tries in all, the first among them.
    pub tries: u32,
    /// The bound of the first waiting time.
    pub first: Duration,
    /// The bound of every waiting time, and what a store may ask for.
    pub longest: Duration,
}

/// What a call earns, what a second adds, and the most that is kept. Retries.
const EARNED: f64 = 0.1;
const EACH_SECOND: f64 = 10.0;
const MOST: f64 = 100.0;

impl Stock {
    /// What there is at `now`.
    fn at(&mut self, now: Instant) -> &mut f64 {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.retries = (self.retries + passed * EACH_SECOND).min(MOST);
        self.counted = self.counted.max(now);
        &mut self.retries
    }

    fn earn(&mut self, now: Instant) {
        let retries = self.at(now);
        *retries = (*retries + EARNED).min(MOST);
    }

    fn spend(&mut self, now: Instant) -> bool {
        let retries = self.at(now);
        let enough = *retries >= 1.0;
        if enough {
            *retries -= 1.0;
        }
        enough
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { tries: 8, first: Duration::from_millis(100), longest: Duration::from_secs(20) }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Retry {
    pub fn new(pace: Pace) -> Self {
        Self { pace, stock: Mutex::new(Stock { retries: MOST, counted: Instant::now() }) }
    }

    /// How long to wait after `error`, the outcome of try number `tried` (the first is 1), until the
    /// next; none where it is no use, the tries are over or the stock is spent. The answer spends a retry.
    pub fn delay(&self, tried: u32, error: &StoreError) -> Option<Duration> {
        if !is_transient(error) || self.is_last(tried) {
            return None;
        }
        let asked = match error {
            StoreError::Throttled { retry_after: Some(asked) } => *asked,
            _ => Duration::ZERO,
        };
        if asked > self.pace.longest || !self.with_stock(Stock::spend) {
            return None;
        }
        let bound =
            self.pace.first.saturating_mul(1 << tried.saturating_sub(1).min(20)).min(self.pace.longest);
        // What the store asked for, and then not all at once.
        Some(asked + bound.mul_f64(fastrand::f64()))
    }

    /// Whether no try follows this one, however well the store does.
    pub fn is_last(&self, tried: u32) -> bool {
        tried >= self.pace.tries
    }

    /// Counts a call that isn't a retry.
    pub fn earn(&self) {
        self.with_stock(Stock::earn);
    }

    fn with_stock<T>(&self, does: impl FnOnce(&mut Stock, Instant) -> T) -> T {
        does(&mut self.stock.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Calls until it succeeds or another try is no use. For what may be done twice: reads, listings, tags.
    ///
    /// # Errors
    /// The last try's.
    pub async fn run<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.earn();
        let mut tried = 1;
        loop {
            let error = match call().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(delay) = self.delay(tried, &error) else { return Err(error) };
            tokio::time::sleep(delay).await;
            tried += 1;
        }
    }

    /// Reads an object; where its bytes break off, it goes on there, with the same version.
    ///
    /// # Errors
    /// The last try's, here or as the end of the stream.
    pub async fn read(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        key: &str,
        start: u64,
        version: Option<&Version>,
    ) -> Result<Reading, StoreError> {
        let Reading { object, bytes } = self.run(|| store.read(key, start, version)).await?;
        let version = object.version.clone();
        let source = Source {
            retry: Arc::clone(self),
            store: Arc::clone(store),
            key: key.to_owned(),
            version,
            at: start,
            tried: 1,
            bytes: Some(bytes),
        };
        let bytes = stream::try_unfold(source, |mut source| async move {
            Ok(source.next().await?.map(|piece| (piece, source)))
        });
        Ok(Reading { object, bytes: bytes.boxed() })
    }
}

/// Whether the same call may have another answer later.
pub fn is_transient(error: &StoreError) -> bool {
    matches!(error, StoreError::Lost { .. } | StoreError::Throttled { .. } | StoreError::Conflict { .. })
}

/// An object on its way.
struct Source {
    retry: Arc<Retry>,
    store: Arc<dyn Store>,
    key: String,
    version: Version,
    at: u64,
    /// Tries since the last byte came.
    tried: u32,
    bytes: Option<stream::BoxStream<'static, Result<bytes::Bytes, StoreError>>>,
}

impl Source {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, StoreError> {
        loop {
            let piece = match &mut self.bytes {
                Some(bytes) => bytes.next().await.transpose(),
                None => match self.store.read(&self.key, self.at, Some(&self.version)).await {
                    Ok(reading) => {
                        self.bytes = Some(reading.bytes);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let error = match piece {
                Ok(piece) => {
                    self.at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                    self.tried = 1;
                    return Ok(piece);
                }
                Err(error) => error,
            };
            self.bytes = None;
            let Some(delay) = self.retry.delay(self.tried, &error) else { return Err(error) };
            tokio::time::sleep(delay).await;
            self.tried += 1;
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} from {}", self.key, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: fn() -> StoreError = || StoreError::Lost { cause: "reset".to_owned() };

    fn quick() -> Retry {
        Retry::new(Pace { tries: 8, first: Duration::from_micros(1), longest: Duration::from_micros(10) })
    }

    #[test]
    fn waiting_times_double_up_to_the_longest() {
        let bounds = [100, 200, 400, 800, 1_600, 3_200, 6_400];
        for (tried, bound) in (1..).zip(bounds) {
            let retry = Retry::default();
            let times: Vec<_> =
                (0..100).map(|_| retry.delay(tried, &LOST()).expect("some are left")).collect();
            assert!(times.iter().all(|time| *time <= Duration::from_millis(bound)), "{tried}: {times:?}");
            // A hundred draws that all lie in the lower half come once in 2^100.
            assert!(times.iter().any(|time| *time > Duration::from_millis(bound / 2)), "{tried}: {times:?}");
        }
        let patient = Retry::new(Pace { tries: 100, ..Pace::default() });
        assert!((1..99).all(|tried| patient.delay(tried, &LOST()).is_some_and(|time| time.as_secs() <= 20)));
    }

    #[test]
    fn tries_are_counted_and_only_what_may_pass_is_tried_again() {
        let retry = Retry::default();
        assert!(retry.delay(7, &LOST()).is_some());
        assert_eq!(retry.delay(8, &LOST()), None);
        let key = || "k".to_owned();
        let final_ones = [
            StoreError::NotFound { key: key() },
            StoreError::Changed { key: key() },
            StoreError::Denied { cause: key() },
            StoreError::Corrupt { key: key(), expected: key(), actual: key() },
            StoreError::Unsupported { key: key(), cause: key() },
        ];
        for error in final_ones {
            assert_eq!(retry.delay(1, &error), None, "{error}");
        }
        assert!(retry.delay(1, &StoreError::Conflict { key: key() }).is_some());
    }

    #[test]
    fn a_store_that_asks_for_time_gets_it() {
        let retry = Retry::default();
        let throttled = |seconds| StoreError::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        let delay = retry.delay(1, &throttled(7)).expect("it may be tried again");
        assert!(delay >= Duration::from_secs(7) && delay <= Duration::from_millis(7_100), "{delay:?}");
        assert_eq!(retry.delay(1, &throttled(21)), None);
    }

    #[test]
    fn a_tenth_of_the_calls_may_be_retries_and_ten_a_second() {
        let start = Instant::now();
        let mut stock = Stock { retries: MOST, counted: start };
        let spent = |stock: &mut Stock, calls: u32, now| {
            (0..calls)
                .map(|_| {
                    stock.earn(now);
                    u32::from(stock.spend(now))
                })
                .sum::<u32>()
        };
        // A hundred from the stock, and a tenth of ten thousand: the last of each is a matter of rounding.
        let at_once = spent(&mut stock, 10_000, start);
        assert!((1_098..=1_100).contains(&at_once), "{at_once} of 10,000 calls were tried again");
        let later = start + Duration::from_secs(3);
        let (mut waited, mut few) = (0, 0);
        while stock.spend(later) {
            waited += 1;
        }
        while stock.spend(start) {
            few += 1;
        }
        assert!((30..=31).contains(&waited), "{waited} after three seconds");
        assert_eq!(few, 0, "a clock that another thread read before adds nothing");
    }

    #[tokio::test]
    async fn a_call_is_tried_until_it_succeeds() {
        let (retry, mut calls) = (quick(), 0);
        let outcome = retry.run(|| {
            calls += 1;
            std::future::ready(if calls < 5 { Err(LOST()) } else { Ok(calls) })
        });
        assert_eq!(outcome.await.expect("the fifth succeeds"), 5);
        let mut calls = 0;
        let outcome: Result<(), _> = retry
            .run(|| {
                calls += 1;
                std::future::ready(Err(LOST()))
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Lost { .. })));
        assert_eq!(calls, 8);
    }
}
