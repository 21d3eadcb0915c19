//! Faults, and the script that says which request meets which.

use std::sync::Mutex;

/// What a store's client can be asked to do, in either protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    List,
    Head,
    Read,
    /// An object whole in one request.
    Write,
    Delete,
    /// Setting tags, or metadata of an object that is there.
    Tag,
    Tags,
    /// The beginning of an upload in parts.
    Begin,
    Part,
    /// The last request of an upload in parts, which makes the object.
    Complete,
    Abort,
    /// Anything about buckets.
    Bucket,
}

/// What goes wrong with a request.
///
/// *Before* means that the store has done nothing, *after* that it has done what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 500 before.
    Internal,
    /// 500 after.
    InternalAfter,
    /// 503 `SlowDown` before, with `Retry-After` in seconds where given.
    SlowDown { retry_after: Option<u32> },
    /// 429 before.
    TooManyRequests,
    /// 408 before.
    Timeout,
    /// 409 `ConditionalRequestConflict` before: nothing is stored.
    Conflict,
    /// 412 after: the writer's own write is what it collides with.
    PreconditionAfter,
    /// The credentials have expired: 400 `ExpiredToken` in S3, 401 in Cloud Storage.
    ExpiredToken,
    /// 403 `RequestTimeTooSkewed` before.
    ClockSkew,
    /// 403 to everything that writes.
    ReadOnly,
    /// 507 before.
    Full,
    /// A redirect to another region.
    Elsewhere,
    /// Connection reset before.
    ResetBefore,
    /// Connection reset after: the answer is lost.
    ResetAfter,
    /// Connection closed in order, before, without an answer.
    CloseBefore,
    /// Connection closed in order, after, without an answer.
    CloseAfter,
    /// No answer before the client gives up; nothing is done.
    HangBefore,
    /// No answer before the client gives up; it was done.
    HangAfter,
    /// The answer comes late by this many milliseconds.
    Delay { ms: u64 },
    /// The answer's body comes in small pieces with pauses.
    Trickle,
    /// The connection is reset in the middle of the answer's body.
    ResetInBody,
    /// The connection is closed in the middle of the answer's body, whose head told its whole length.
    CloseInBody,
    /// The answer's body lacks its second half, and its head tells the short length.
    Truncated,
    /// One bit of the answer's body is turned.
    FlippedDown,
    /// One bit of the request's body is turned.
    FlippedUp,
    /// What is stored has one bit turned.
    FlippedAtRest,
    /// The answer's checksums are those of other bytes.
    WrongChecksum,
    /// The answer tells another ETag or generation than the object's.
    WrongVersion,
    /// 200 before, with neither a body nor the headers that belong to the answer.
    Empty,
    /// 200 before, with an error for its body.
    ErrorIn200,
    /// A rival writes the object anew just before this request is done.
    Replaced,
    /// A rival deletes the object just before this request is done.
    Gone,
    /// A listing gives its first object twice.
    ListedTwice,
    /// A listing gives its objects backwards.
    ListedBackwards,
    /// A listing doesn't know its own page's token.
    TokenRefused,
}

impl Fault {
    /// Each, once.
    pub const ALL: [Self; 35] = [
        Self::Internal,
        Self::InternalAfter,
        Self::SlowDown { retry_after: None },
        Self::TooManyRequests,
        Self::Timeout,
        Self::Conflict,
        Self::PreconditionAfter,
        Self::ExpiredToken,
        Self::ClockSkew,
        Self::ReadOnly,
        Self::Full,
        Self::Elsewhere,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::CloseBefore,
        Self::CloseAfter,
        Self::HangBefore,
        Self::HangAfter,
        Self::Delay { ms: 200 },
        Self::Trickle,
        Self::ResetInBody,
        Self::CloseInBody,
        Self::Truncated,
        Self::FlippedDown,
        Self::FlippedUp,
        Self::FlippedAtRest,
        Self::WrongChecksum,
        Self::WrongVersion,
        Self::Empty,
        Self::ErrorIn200,
        Self::Replaced,
        Self::Gone,
        Self::ListedTwice,
        Self::ListedBackwards,
        Self::TokenRefused,
    ];

    /// This fault for the first request of any kind.
    pub fn rule(self) -> Rule {
        Rule { fault: self, operations: Vec::new(), keys: "*".to_owned(), when: When::First(1), matched: 0 }
    }

    /// This fault for the first request that does `operation`.
    pub fn on(self, operation: Operation) -> Rule {
        self.rule().on(operation)
    }
}

/// A line of the script: which requests meet a fault.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    /// Empty is any.
    operations: Vec<Operation>,
    keys: String,
    when: When,
    /// How many requests have matched so far.
    matched: u64,
}

#[derive(Clone, Copy, Debug)]
enum When {
    First(u64),
    Nth(u64),
    Always,
    Share { share: f64, seed: u64 },
}

impl Rule {
    /// Only requests that do this; called again, or that.
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Only keys (prefixes of listings) of this form, where `*` is anything.
    pub fn keys(mut self, form: &str) -> Self {
        self.keys = form.to_owned();
        self
    }

    /// The first `count` that match.
    pub fn first(mut self, count: u64) -> Self {
        self.when = When::First(count);
        self
    }

    /// Only the `number`-th that matches, from 1.
    pub fn nth(mut self, number: u64) -> Self {
        self.when = When::Nth(number);
        self
    }

    pub fn always(mut self) -> Self {
        self.when = When::Always;
        self
    }

    /// A share of those that match, from 0 to 1, chosen by `seed`.
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        self.when = When::Share { share, seed };
        self
    }

    fn meets(&mut self, operation: Operation, key: &str) -> bool {
        if !(self.operations.is_empty() || self.operations.contains(&operation)) || !has_form(key, &self.keys)
        {
            return false;
        }
        self.matched += 1;
        match self.when {
            When::First(count) => self.matched <= count,
            When::Nth(number) => self.matched == number,
            When::Always => true,
            When::Share { share, seed } => unit(seed.wrapping_add(self.matched)) < share,
        }
    }
}

/// A request that met a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    pub fault: Fault,
    pub operation: Operation,
    pub bucket: String,
    pub key: String,
}

/// A request, whether it met a fault or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub operation: Operation,
    pub bucket: String,
    pub key: String,
    pub who: String,
}

#[derive(Default)]
pub struct Script {
    state: Mutex<(Vec<Rule>, Vec<Met>, Vec<Asked>)>,
}

impl Script {
    /// Replaces the rules. The first that matches a request decides.
    pub fn set(&self, rules: Vec<Rule>) {
        self.state.lock().expect("no holder of the lock panics").0 = rules;
    }

    pub fn met(&self) -> Vec<Met> {
        self.state.lock().expect("no holder of the lock panics").1.clone()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().expect("no holder of the lock panics").2.clone()
    }

    /// Notes a request and gives the fault that it meets.
    pub fn next(&self, asked: Asked) -> Option<Fault> {
        let mut state = self.state.lock().expect("no holder of the lock panics");
        let (rules, met, requests) = &mut *state;
        // Every rule counts what it matches, so that the order of rules doesn't shift their numbers.
        let mut fault = None;
        for rule in rules {
            if rule.meets(asked.operation, &asked.key) && fault.is_none() {
                fault = Some(rule.fault);
            }
        }
        if let Some(fault) = fault {
            let Asked { operation, bucket, key, .. } = asked.clone();
            met.push(Met { fault, operation, bucket, key });
        }
        requests.push(asked);
        fault
    }
}

/// Whether a text has a form in which `*` is anything.
fn has_form(text: &str, form: &str) -> bool {
    let mut parts = form.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// A number from 0 to 1 that depends on nothing but `seed` (splitmix64).
fn unit(seed: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything() {
        for (text, form, holds) in [
            ("a/b", "*", true),
            ("", "*", true),
            ("a/b", "a/*", true),
            ("a/b", "*b", true),
            ("a/b/c", "a*c", true),
            ("a/b/c", "a*b*c", true),
            ("a/c", "a*b*c", false),
            ("ab", "a", false),
            ("a", "a", true),
        ] {
            assert_eq!(has_form(text, form), holds, "{text} {form}");
        }
    }

    #[test]
    fn a_share_is_about_that_share_and_the_same_each_time() {
        let count = |seed| {
            let mut rule = Fault::Internal.rule().share(0.3, seed);
            (0..10_000).filter(|_| rule.meets(Operation::Read, "k")).count()
        };
        assert_eq!(count(7), count(7));
        assert!((2_800..3_200).contains(&count(7)), "{}", count(7));
    }
}
