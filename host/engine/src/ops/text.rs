//! Operators on strings: StringNormalizer (10), StringConcat (20), StringSplit (20) and RegexFullMatch (20).

use regex::Regex;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, elements, tensor};
use super::pattern::full_match;

pub(super) fn string_normalizer(context: &ParsingContext, node: &NodeProto) -> Built {
    let case = match node.get_attr_opt("case_change_action")?.unwrap_or("NONE") {
        "NONE" => Case::Kept,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        other => bail!("case_change_action: expected NONE, LOWER or UPPER, got {other:?}"),
    };
    let sensitive = node.get_attr_opt::<i64>("is_case_sensitive")?.unwrap_or(0) != 0;
    let mut stopwords: Vec<String> = node.get_attr_opt_vec("stopwords")?.unwrap_or_default();
    if !sensitive {
        stopwords = stopwords.iter().map(|word| Case::Lower.of(word)).collect();
    }
    stopwords.sort_unstable();
    let kept = context.template.symbols.new_with_prefix("kept");
    built(node, Normalizer { case, sensitive, stopwords, kept })
}

pub(super) fn string_concat(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, Concat)
}

pub(super) fn string_split(context: &ParsingContext, node: &NodeProto) -> Built {
    let delimiter: String = node.get_attr_opt("delimiter")?.unwrap_or_default();
    let most = node.get_attr_opt::<i64>("maxsplit")?.and_then(|most| usize::try_from(most).ok());
    let parts = context.template.symbols.new_with_prefix("parts");
    built(node, Split { delimiter, most, parts })
}

pub(super) fn regex_full_match(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, FullMatch { pattern: full_match(&node.get_attr::<String>("pattern")?)? })
}

pub(super) fn strings(fact: &TypedFact) -> TractResult<()> {
    ensure!(fact.datum_type == DatumType::String, "expected strings, got {:?}", fact.datum_type);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Self::Kept => text.to_owned(),
            Self::Lower => text.chars().map(|c| single(c, c.to_lowercase())).collect(),
            Self::Upper => text.chars().map(|c| single(c, c.to_uppercase())).collect(),
        }
    }
}

/// What a letter becomes, where that is one letter: as the C library does, ß stays ß.
fn single(letter: char, mut changed: impl Iterator<Item = char>) -> char {
    match (changed.next(), changed.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

/// `[C]` or `[1, C]`: drops stopwords, then changes the case of the others; if none is left, one empty string is.
/// Letters change as Unicode says, whatever the attribute `locale`.
#[derive(Debug)]
struct Normalizer {
    case: Case,
    sensitive: bool,
    /// Sorted; in lower case unless `sensitive`
    stopwords: Vec<String>,
    kept: Symbol,
}

impl Kernel for Normalizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        strings(&inputs[0])?;
        let shape = &inputs[0].shape;
        ensure!((1..=2).contains(&shape.rank()), "expected [C] or [1, C], got {shape:?}");
        if self.stopwords.is_empty() {
            return Ok(tvec!(inputs[0].clone()));
        }
        let mut shape = shape.to_tvec();
        if let Some(last) = shape.last_mut() {
            *last = longest_of(&inputs[0].shape, &self.kept);
        }
        Ok(tvec!(DatumType::String.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        ensure!(shape.len() == 1 || shape[0] == 1, "expected [C] or [1, C], got {shape:?}");
        let stops = |word: &&String| {
            let found = |word: &str| self.stopwords.binary_search_by(|stop| stop.as_str().cmp(word)).is_ok();
            if self.sensitive { found(word) } else { found(&Case::Lower.of(word)) }
        };
        let words = elements::<String>(&inputs[0])?.iter();
        let mut kept: Vec<String> = if self.stopwords.is_empty() {
            words.map(|word| self.case.of(word)).collect()
        } else {
            words.filter(|word| !stops(word)).map(|word| self.case.of(word)).collect()
        };
        if kept.is_empty() && inputs[0].len() > 0 {
            kept.push(String::new());
        }
        if let Some(last) = shape.last_mut() {
            *last = kept.len();
        }
        Ok(tvec!(tensor(&shape, kept)?))
    }
}

/// Element by element, both broadcast to one shape.
#[derive(Debug)]
struct Concat;

impl Kernel for Concat {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, b] = inputs else { bail!("expected 2 inputs, got {}", inputs.len()) };
        strings(a)?;
        strings(b)?;
        let shape = multi_broadcast(&[a.shape.to_tvec(), b.shape.to_tvec()])?;
        Ok(tvec!(DatumType::String.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let shape = multi_broadcast(&[inputs[0].shape(), inputs[1].shape()])?;
        let (a, b) = (inputs[0].broadcast_to_shape(&shape)?, inputs[1].broadcast_to_shape(&shape)?);
        let joined =
            elements::<String>(&a)?.iter().zip(elements::<String>(&b)?).map(|(a, b)| format!("{a}{b}"));
        Ok(tvec!(tensor(&shape, joined.collect())?))
    }
}

/// `[...]` gives parts `[..., P]`, padded with empty strings, and their numbers `[...]`.
#[derive(Debug)]
struct Split {
    /// Empty: runs of white space
    delimiter: String,
    most: Option<usize>,
    parts: Symbol,
}

impl Split {
    fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        if !self.delimiter.is_empty() {
            let pieces = self.most.map_or(usize::MAX, |most| most.saturating_add(1));
            return if text.is_empty() { vec![] } else { text.splitn(pieces, &self.delimiter).collect() };
        }
        let (mut parts, mut rest) = (vec![], text.trim_start_matches(blank));
        while !rest.is_empty() {
            let end = if self.most == Some(parts.len()) { None } else { rest.find(blank) };
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            parts.push(part);
            rest = after.trim_start_matches(blank);
        }
        parts
    }
}

fn blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

impl Kernel for Split {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        strings(&inputs[0])?;
        let mut shape = inputs[0].shape.to_tvec();
        let numbers = DatumType::I64.fact(shape.clone());
        shape.push(longest_of(&shape, &self.parts));
        Ok(tvec!(DatumType::String.fact(shape), numbers))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let split: Vec<Vec<&str>> =
            elements::<String>(&inputs[0])?.iter().map(|text| self.split(text)).collect();
        let numbers = tensor(inputs[0].shape(), split.iter().map(|parts| parts.len() as i64).collect())?;
        Ok(tvec!(padded(inputs[0].shape(), &split, "")?, numbers))
    }
}

/// The number of the longest row's strings, which values decide where there are rows.
pub(super) fn longest_of(shape: &[TDim], longest: &Symbol) -> TDim {
    if shape.iter().any(|dim| *dim == 0.to_dim()) { 0.to_dim() } else { longest.clone().into() }
}

/// Rows of strings as `[..., longest]`.
pub(super) fn padded(shape: &[usize], rows: &[Vec<&str>], pad: &str) -> TractResult<Tensor> {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let size = rows.len().checked_mul(longest).filter(|size| *size <= MOST_PARTS);
    ensure!(size.is_some(), "{} strings of up to {longest} parts are more than {MOST_PARTS}", rows.len());
    let filled = rows.iter().flat_map(|row| {
        let pads = std::iter::repeat_n(pad, longest - row.len());
        row.iter().copied().chain(pads).map(str::to_owned)
    });
    let shape: TVec<usize> = shape.iter().copied().chain([longest]).collect();
    tensor(&shape, filled.collect())
}

/// One long text makes every row of its batch long: more strings than this are refused.
const MOST_PARTS: usize = 1 << 24;

#[derive(Debug)]
struct FullMatch {
    pattern: Regex,
}

impl Kernel for FullMatch {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        strings(&inputs[0])?;
        Ok(tvec!(DatumType::Bool.fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let matched =
            elements::<String>(&inputs[0])?.iter().map(|text| self.pattern.is_match(text)).collect();
        Ok(tvec!(tensor::<bool>(inputs[0].shape(), matched)?))
    }
}
