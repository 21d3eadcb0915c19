//! The compact form of an [`Import`]: what is sealed in place of a library's file, and read many times faster.
//!
//! Little-endian. [`MAGIC`], then the fields in the order of [`write`]; a list is its length in 32 bits and its elements,
//! text is a list of bytes. A forest's nodes are columns rather than records, its numbers f32 where all of them fit. The
//! bytes are as untrusted as any: lengths are held against what is left, and the whole against [`Import::check`].

mod forest;

use super::{Answer, Decision, Feature, FeatureKind, Import, Labels, Linear, Model, Probabilities, Task};
use crate::Error;
use crate::forest::Link;

/// The last byte is the version.
pub(super) const MAGIC: &[u8; 8] = b"\x00ampfst\x01";

pub(super) fn write(import: &Import) -> Vec<u8> {
    let mut out = Writer(MAGIC.to_vec());
    out.text(&import.producer);
    out.text(&import.objective);
    out.byte(code(&TASKS, import.task));
    out.list(&import.features, |out, feature| {
        out.text(&feature.name);
        out.byte(code(&KINDS, feature.kind));
        out.list(&feature.categories, |out, category| out.text(category));
    });
    match &import.answer {
        Answer::Predictions => out.byte(0),
        Answer::Classes { labels, decided_by, probabilities } => {
            out.byte(1);
            out.byte(code(&DECISIONS, *decided_by));
            out.byte(code(&PROBABILITIES, *probabilities));
            match labels {
                Labels::Integers(labels) => {
                    out.byte(0);
                    out.list(labels, |out, label| out.bytes(&label.to_le_bytes()));
                }
                Labels::Strings(labels) => {
                    out.byte(1);
                    out.list(labels, |out, label| out.text(label));
                }
            }
        }
    }
    match &import.model {
        Model::Trees(forest) => {
            out.byte(0);
            forest::write(&mut out, forest);
        }
        Model::Linear(Linear { features, outputs, weights, bias, link }) => {
            out.byte(1);
            out.count(*features);
            out.count(*outputs);
            out.link(*link);
            out.list(weights, |out, weight| out.bytes(&weight.to_le_bytes()));
            out.list(bias, |out, weight| out.bytes(&weight.to_le_bytes()));
        }
    }
    out.0
}

/// # Errors
///
/// `InvalidModel` for bytes that [`write`] did not make. What they say is not yet checked.
pub(super) fn read(bytes: &[u8]) -> Result<Import, Error> {
    let mut input = Reader(bytes);
    if input.take::<8>()? != *MAGIC {
        return Err(wrong("expected version 1 of the compact form"));
    }
    let producer = input.text()?;
    let objective = input.text()?;
    let task = input.one_of(&TASKS)?;
    let features = input.list(9, |input| {
        Ok(Feature {
            name: input.text()?,
            kind: input.one_of(&KINDS)?,
            categories: input.list(4, Reader::text)?,
        })
    })?;
    let answer = match input.byte()? {
        0 => Answer::Predictions,
        1 => Answer::Classes {
            decided_by: input.one_of(&DECISIONS)?,
            probabilities: input.one_of(&PROBABILITIES)?,
            labels: match input.byte()? {
                0 => Labels::Integers(input.list(8, |input| input.take().map(i64::from_le_bytes))?),
                1 => Labels::Strings(input.list(4, Reader::text)?),
                other => return Err(wrong(&format!("expected labels of kind 0 or 1, got {other}"))),
            },
        },
        other => return Err(wrong(&format!("expected an answer of kind 0 or 1, got {other}"))),
    };
    let model = match input.byte()? {
        0 => Model::Trees(forest::read(&mut input)?.check()?),
        1 => Model::Linear(Linear {
            features: input.count()?,
            outputs: input.count()?,
            link: input.link()?,
            weights: input.list(4, |input| input.take().map(f32::from_le_bytes))?,
            bias: input.list(4, |input| input.take().map(f32::from_le_bytes))?,
        }),
        other => return Err(wrong(&format!("expected a model of kind 0 or 1, got {other}"))),
    };
    if !input.0.is_empty() {
        return Err(wrong(&format!("{} bytes are left over", input.0.len())));
    }
    Ok(Import { model, producer, objective, task, features, answer })
}

// What stands for a value is its position.
const TASKS: [Task; 4] = [Task::Classification, Task::Regression, Task::Ranking, Task::Survival];
const KINDS: [FeatureKind; 4] =
    [FeatureKind::Float, FeatureKind::Integer, FeatureKind::Indicator, FeatureKind::Categorical];
const DECISIONS: [Decision; 2] = [Decision::Scores, Decision::Probabilities];
const PROBABILITIES: [Probabilities; 2] = [Probabilities::Given, Probabilities::Unknown];
const LINKS: [Link; 9] = [
    Link::Identity,
    Link::Sigmoid { slope: 0.0 },
    Link::SigmoidShares { slope: 0.0 },
    Link::Softmax,
    Link::Exp,
    Link::Softplus,
    Link::SignedSquare,
    Link::Positive,
    Link::Argmax,
];

fn code<T: PartialEq + Copy>(all: &[T], value: T) -> u8 {
    all.iter().position(|other| *other == value).map_or(u8::MAX, |at| at as u8)
}

fn wrong(message: &str) -> Error {
    Error::model(format!("compact model: {message}"))
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// What is checked to fit 32 bits: see [`crate::forest::Forest::check`], and the importers' limits for the rest.
    fn count(&mut self, count: usize) {
        self.bytes(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(list.len());
        list.iter().for_each(|element| write(self, element));
    }

    fn link(&mut self, link: Link) {
        let (kind, slope) = match link {
            Link::Sigmoid { slope } => (Link::Sigmoid { slope: 0.0 }, slope),
            Link::SigmoidShares { slope } => (Link::SigmoidShares { slope: 0.0 }, slope),
            other => (other, 0.0),
        };
        self.byte(code(&LINKS, kind));
        self.bytes(&slope.to_le_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (slice, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| wrong(&format!("expected {length} more bytes, got {}", self.0.len())))?;
        self.0 = rest;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (chunk, rest) =
            self.0.split_first_chunk().ok_or_else(|| wrong("the bytes end before the model does"))?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.take().map(|[byte]| byte)
    }

    fn count(&mut self) -> Result<usize, Error> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn number(&mut self) -> Result<f64, Error> {
        self.take().map(f64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = self.count()?;
        String::from_utf8(self.slice(length)?.to_vec()).map_err(|_| wrong("expected UTF-8"))
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, Error> {
        let code = self.byte()?;
        all.get(code as usize)
            .copied()
            .ok_or_else(|| wrong(&format!("expected a code below {}, got {code}", all.len())))
    }

    /// A length, each element of which takes at least `least` bytes.
    fn length(&mut self, least: usize) -> Result<usize, Error> {
        let (length, left) = (self.count()?, self.0.len());
        match length.checked_mul(least) {
            Some(bytes) if bytes <= left => Ok(length),
            _ => Err(wrong(&format!("expected a list of {length} elements, got {left} bytes"))),
        }
    }

    fn list<T>(
        &mut self,
        least: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let length = self.length(least)?;
        let mut list = Vec::with_capacity(length);
        for _ in 0..length {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn link(&mut self) -> Result<Link, Error> {
        let (link, slope) = (self.one_of(&LINKS)?, self.number()?);
        if !slope.is_finite() {
            return Err(wrong(&format!("expected a finite slope, got {slope}")));
        }
        Ok(match link {
            Link::Sigmoid { .. } => Link::Sigmoid { slope },
            Link::SigmoidShares { .. } => Link::SigmoidShares { slope },
            other => other,
        })
    }
}
