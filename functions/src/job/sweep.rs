//! [`Sweep`]: every object of the input place, as many at one time as the stores bear.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::{Id, JoinSet};

use super::listing::Listing;
use super::object::Visited;
use super::pace::Place;
use super::run::Job;
use super::{Outcome, Share, Totals};
use crate::store::Object;

/// Objects that must have been refused before their share stops a sweep: a few may be so by chance.
const MIN_REFUSED: usize = 20;

/// How often an object is visited that failed, or that another replaced meanwhile: while no other
/// ends in between, and in all.
const VISITS: u32 = 5;
const MAX_VISITS: u32 = 50;

/// The bound of the time between an object's first visit and its second; later ones take more.
const BREATH: Duration = Duration::from_secs(1);

/// Objects that wait for another visit; more are left for the next sweep.
const MAX_WAITING: usize = 10_000;

/// Before the end of its time a sweep begins nothing more for this long, or for a tenth of its time.
const MARGIN: Duration = Duration::from_secs(10);

/// Visits whose time is remembered.
const REMEMBERED: usize = 128;

/// What a sweep tells of an object when it is done with it.
#[derive(Debug)]
pub struct Step<'a> {
    pub key: &'a str,
    pub outcome: &'a Outcome,
}

/// One walk over the input place.
pub struct Sweep {
    job: Job,
    until: Instant,
    margin: Duration,
    totals: Totals,
    listing: Listing,
    /// What a listing gave and nobody has begun.
    queue: VecDeque<Next>,
    /// What is to be visited again.
    waiting: VecDeque<Next>,
    running: HashMap<Id, (Next, Instant)>,
    running_keys: HashSet<String>,
    /// What the last visits took.
    took: VecDeque<Duration>,
}

/// An object to visit.
struct Next {
    key: String,
    /// As it was listed; nothing on a later visit.
    listed: Option<Object>,
    page: usize,
    /// How often it was visited, and how often of that since another ended.
    visits: u32,
    in_vain: u32,
    /// How many had ended at its last visit.
    ended: usize,
}

impl Sweep {
    /// Puts the job on record, and begins a sweep over the objects of `share` that ends by `until`.
    ///
    /// # Errors
    /// The record can't be written, or is another model's.
    pub async fn begin(job: &Job, share: Share, until: Instant) -> anyhow::Result<Self> {
        job.begin().await?;
        Ok(Self {
            job: job.clone(),
            until,
            margin: MARGIN.min(until.saturating_duration_since(Instant::now()) / 10),
            totals: Totals::default(),
            listing: Listing::begin(job, share).await,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            running: HashMap::new(),
            running_keys: HashSet::new(),
            took: VecDeque::new(),
        })
    }

    /// Sweeps until all is done, the time is up, too much was refused, or `stop` is ready. What is
    /// begun is ended. `told` hears of each object once.
    ///
    /// # Errors
    /// No object can succeed, or the input can't be listed.
    pub async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        mut told: impl FnMut(Step<'_>),
    ) -> anyhow::Result<Totals> {
        let mut visits: JoinSet<Visited> = JoinSet::new();
        let mut stopped = false;
        tokio::pin!(stop);
        loop {
            let open = !stopped && !self.is_too_late() && !self.is_too_much_refused();
            if open && self.queue.is_empty() && !self.listing.has_ended() {
                tokio::select! {
                    biased;
                    () = &mut stop => stopped = true,
                    page = self.listing.next() => {
                        let (page, objects) = page?;
                        self.take(page, objects).await;
                    }
                }
                continue;
            }
            let more = open && !(self.queue.is_empty() && self.waiting.is_empty());
            if !more && visits.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = &mut stop, if !stopped => stopped = true,
                Some(ended) = visits.join_next_with_id() => match ended {
                    Ok((id, visited)) => self.end(id, visited, &mut told).await?,
                    Err(cause) => {
                        let outcome = Outcome::Failed { error: format!("a worker failed: {cause}") };
                        self.end(cause.id(), Visited { outcome, replaced: false }, &mut told).await?;
                    }
                },
                place = self.job.pace.place(), if more => self.visit(&mut visits, place),
            }
        }
        self.totals.unfinished =
            !(self.queue.is_empty() && self.waiting.is_empty() && self.listing.has_ended());
        if !self.totals.unfinished {
            self.listing.close().await;
        }
        Ok(self.totals)
    }

    async fn take(&mut self, page: usize, objects: Vec<Object>) {
        if objects.is_empty() {
            return self.listing.done(page).await;
        }
        self.queue.extend(objects.into_iter().map(|object| Next {
            key: object.key.clone(),
            listed: Some(object),
            page,
            visits: 0,
            in_vain: 0,
            ended: 0,
        }));
    }

    fn visit(&mut self, visits: &mut JoinSet<Visited>, place: Place) {
        let Some(mut next) = self.queue.pop_front().or_else(|| self.waiting.pop_front()) else { return };
        let (job, key, listed, until) = (self.job.clone(), next.key.clone(), next.listed.take(), self.until);
        let before = next.in_vain;
        // A listing may name one object twice; its twin is seen to be done.
        let twin = !self.running_keys.insert(key.clone());
        let id = visits
            .spawn(async move {
                let _place = place;
                if before > 0 || twin {
                    tokio::time::sleep((BREATH * (before + 1)).mul_f64(fastrand::f64())).await;
                }
                match tokio::time::timeout_at(until.into(), job.visit(&key, listed.as_ref())).await {
                    Ok(visited) => visited,
                    Err(_) => Visited { outcome: super::too_late(), replaced: false },
                }
            })
            .id();
        self.running.insert(id, (next, Instant::now()));
    }

    async fn end(&mut self, id: Id, visited: Visited, told: &mut impl FnMut(Step<'_>)) -> anyhow::Result<()> {
        let Some((mut next, begun)) = self.running.remove(&id) else { return Ok(()) };
        self.running_keys.remove(&next.key);
        if self.took.len() == REMEMBERED {
            self.took.pop_front();
        }
        self.took.push_back(begun.elapsed());
        next.visits += 1;
        if next.visits == 1 {
            self.listing.done(next.page).await;
        }
        let Visited { outcome, replaced } = visited;
        let again = matches!(outcome, Outcome::Failed { .. }) || replaced;
        if let Outcome::Denied { error } = &outcome {
            told(Step { key: &next.key, outcome: &outcome });
            return Err(anyhow!("{error}"));
        }
        let ended = self.totals.objects() - self.totals.failed;
        next.in_vain = if ended > next.ended { 1 } else { next.in_vain + 1 };
        next.ended = ended;
        let more = next.in_vain < VISITS && next.visits < MAX_VISITS && self.waiting.len() < MAX_WAITING;
        if again && more && !self.is_too_late() {
            self.waiting.push_back(next);
            return Ok(());
        }
        self.totals.count(&outcome);
        if matches!(outcome, Outcome::Done { .. }) {
            self.job.pace.went_well();
        }
        told(Step { key: &next.key, outcome: &outcome });
        Ok(())
    }

    /// Whether an object that is begun now might not be done in time.
    fn is_too_late(&self) -> bool {
        let longest = self.took.iter().max().copied().unwrap_or_default();
        let left = self.until.saturating_duration_since(Instant::now());
        left < self.margin.max(longest * 2)
    }

    /// Whether so much was refused that the model or the place must be the wrong one.
    pub fn is_too_much_refused(&self) -> bool {
        let (refused, all) = (self.totals.refused, self.totals.objects());
        refused >= MIN_REFUSED && refused as f64 > self.job.settings.max_refused_share * all as f64
    }
}
