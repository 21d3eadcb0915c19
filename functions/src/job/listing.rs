//! [`Listing`]: a place's objects page by page, from where the sweep before was stopped, once round.

use std::collections::VecDeque;

use anyhow::bail;

use super::Share;
use super::record::{Checkpoint, checkpoint, set_checkpoint};
use super::run::Job;
use crate::store::{Object, Page, StoreError, Version};

/// How often a listing that breaks begins anew.
const RESTARTS: u32 = 2;

/// A place's objects page by page.
pub struct Listing {
    job: Job,
    share: Share,
    /// The page that comes next.
    token: Option<String>,
    /// The last key that came.
    after: String,
    round: Round,
    restarts: u32,
    /// Pages that came and aren't done, the oldest first, and the number of that one.
    pages: VecDeque<Listed>,
    first: usize,
    version: Option<Version>,
}

/// How a listing goes round.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// To the end, and from the beginning to this key.
    First {
        then_to: Option<String>,
    },
    /// To this key.
    Second {
        to: String,
    },
    Ended,
}

/// A page that came.
struct Listed {
    /// The one after it.
    next: Option<String>,
    /// Its last key.
    last: String,
    /// Objects of it that aren't done.
    left: usize,
    /// Whether it came on the way to the end, and not after it.
    is_first_round: bool,
}

impl Listing {
    /// Begins where the last sweep's checkpoint says.
    pub async fn begin(job: &Job, share: Share) -> Self {
        let (Checkpoint { page, after }, version) = checkpoint(job, &name(share)).await;
        let then_to = page.is_some().then(|| after.clone());
        Self {
            job: job.clone(),
            share,
            token: page,
            after,
            round: Round::First { then_to },
            restarts: 0,
            pages: VecDeque::new(),
            first: 0,
            version,
        }
    }

    /// Whether there are no more pages.
    pub fn has_ended(&self) -> bool {
        self.round == Round::Ended
    }

    /// The next page's objects of this share, and the page's number.
    ///
    /// # Errors
    /// The place can't be listed.
    pub async fn next(&mut self) -> anyhow::Result<(usize, Vec<Object>)> {
        let page = self.page().await?;
        let number = self.first + self.pages.len();
        let last = page.objects.last().map_or_else(|| self.after.clone(), |object| object.key.clone());
        let mut objects = page.objects;
        objects.retain(|object| self.share.has(&object.key));
        self.token.clone_from(&page.next);
        if let Round::Second { to } = &self.round {
            objects.retain(|object| object.key <= *to);
            if last >= *to {
                self.token = None;
            }
        }
        self.after.clone_from(&last);
        let is_first_round = matches!(self.round, Round::First { .. });
        let next = self.token.clone();
        self.pages.push_back(Listed { next, last, left: objects.len(), is_first_round });
        if self.token.is_none() {
            self.round = match std::mem::replace(&mut self.round, Round::Ended) {
                Round::First { then_to: Some(to) } => Round::Second { to },
                _ => Round::Ended,
            };
        }
        Ok((number, objects))
    }

    async fn page(&mut self) -> anyhow::Result<Page> {
        let (input, prefix) = (&self.job.input, &self.job.settings.input_prefix);
        loop {
            let cause = match self.job.input_retry.run(|| input.list(prefix, self.token.as_deref())).await {
                Ok(page) => return Ok(page),
                Err(cause) => cause,
            };
            // A page's name may have become void. What was done is seen to be done.
            if self.token.is_none() || matches!(cause, StoreError::Denied { .. }) || self.restarts == RESTARTS
            {
                bail!("{} can't be listed: {cause}", input.name());
            }
            tracing::warn!(job = self.job.id(), %cause, "the listing begins anew");
            self.restarts += 1;
            self.token = None;
            self.round = Round::First { then_to: None };
        }
    }

    /// An object of that page is done. Writes how far the sweep has come when that changes.
    pub async fn done(&mut self, page: usize) {
        if let Some(listed) = page.checked_sub(self.first).and_then(|index| self.pages.get_mut(index)) {
            listed.left -= 1;
        }
        let mut done = None;
        while self.pages.front().is_some_and(|listed| listed.left == 0) {
            done = self.pages.pop_front();
            self.first += 1;
        }
        if let Some(Listed { next: Some(next), last, is_first_round: true, .. }) = done {
            self.set(Checkpoint { page: Some(next), after: last }).await;
        }
    }

    /// Everything is done: the next sweep begins at the beginning.
    pub async fn close(mut self) {
        if self.version.is_some() {
            self.set(Checkpoint::default()).await;
        }
    }

    async fn set(&mut self, checkpoint: Checkpoint) {
        self.version = set_checkpoint(&self.job, &name(self.share), &checkpoint, self.version.take()).await;
    }
}

/// What a share adds to a checkpoint's name.
fn name(share: Share) -> String {
    if share == Share::WHOLE { String::new() } else { format!("-{}-of-{}", share.index, share.count) }
}
