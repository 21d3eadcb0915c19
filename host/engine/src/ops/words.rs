//! From texts to numbers: Tokenizer (`com.microsoft` 1), which skl2onnx writes, and TfIdfVectorizer (9).

use std::collections::HashMap;

use regex::Regex;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, elements, rows_of, tensor};
use super::pattern::search;
use super::text::{longest_of, padded, strings};

pub(super) fn tokenizer(context: &ParsingContext, node: &NodeProto) -> Built {
    let shortest = usize::try_from(node.get_attr_opt::<i64>("mincharnum")?.unwrap_or(1))?;
    ensure!(shortest > 0, "mincharnum: expected at least 1, got 0");
    let separators: Vec<String> = node.get_attr_opt_vec("separators")?.unwrap_or_default();
    let expression: String = node.get_attr_opt("tokenexp")?.unwrap_or_default();
    let cut = match (&separators[..], &expression[..]) {
        ([one], "") if one.is_empty() => Cut::Letters,
        ([], expression) if !expression.is_empty() => Cut::At(search(expression)?),
        (separators, "") if !separators.is_empty() => {
            Cut::Between(separators.iter().map(|s| search(s)).collect::<TractResult<_>>()?)
        }
        _ => bail!("expected either separators or tokenexp"),
    };
    let letters = matches!(cut, Cut::Letters) || expression == ".";
    ensure!(!letters || shortest == 1, "mincharnum: expected 1 where letters are tokens, got {shortest}");
    let tokens = context.template.symbols.new_with_prefix("tokens");
    let mark = node.get_attr_opt::<i64>("mark")?.unwrap_or(0) != 0;
    let pad = node.get_attr_opt("pad_value")?.unwrap_or_default();
    built(node, Tokenizer { cut, shortest, mark, pad, tokens })
}

pub(super) fn tf_idf_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let length = |name| -> TractResult<usize> {
        let length: i64 = node.get_attr(name)?;
        usize::try_from(length).with_context(|| format!("{name}: expected at least 0, got {length}"))
    };
    let (min, max, skips) =
        (length("min_gram_length")?, length("max_gram_length")?, length("max_skip_count")?);
    ensure!(0 < min && min <= max, "expected gram lengths from 1, got {min} to {max}");
    let starts: Vec<i64> = node.get_attr_vec("ngram_counts")?;
    ensure!(max <= starts.len(), "ngram_counts: expected at least {max}, got {}", starts.len());
    let columns: Vec<i64> = node.get_attr_vec("ngram_indexes")?;
    let widest = SPARSEST.saturating_mul(columns.len());
    let columns: Vec<usize> = columns
        .iter()
        .map(|at| usize::try_from(*at).ok().filter(|at| *at < widest).context("ngram_indexes: out of range"))
        .collect::<TractResult<_>>()?;
    let weights: Option<Vec<f32>> = node.get_attr_opt_vec("weights")?;
    let width = columns.iter().max().map_or(0, |most| most + 1);
    let mode = match node.get_attr::<&str>("mode")? {
        "TF" => Mode::Counts,
        "IDF" => Mode::Presence,
        "TFIDF" => Mode::Weighted,
        other => bail!("mode: expected TF, IDF or TFIDF, got {other:?}"),
    };
    let weights = weights.filter(|_| mode != Mode::Counts);
    if let Some(weights) = &weights {
        let (expected, got) = (columns.len(), weights.len());
        ensure!(got == expected && width <= got, "weights: expected {expected}, got {got}");
    }
    let mut grams = HashMap::new();
    let (words, numbers): (Option<Vec<String>>, Option<Vec<i64>>) =
        (node.get_attr_opt_vec("pool_strings")?, node.get_attr_opt_vec("pool_int64s")?);
    let (items, ids) = match (words, numbers) {
        (Some(words), None) => {
            let (items, ids) = numbered(words);
            (items, Ids::Words(ids))
        }
        (None, Some(numbers)) => {
            let (items, ids) = numbered(numbers);
            (items, Ids::Numbers(ids))
        }
        _ => bail!("expected either pool_strings or pool_int64s"),
    };
    let mut gram = 0;
    for (at, start) in starts.iter().enumerate() {
        let (start, end) = (*start, starts.get(at + 1).copied().unwrap_or(items.len() as i64));
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = range.and_then(|(start, end)| items.get(start..end));
        let part = part.filter(|part| part.len().is_multiple_of(at + 1));
        let part = part.with_context(|| format!("ngram_counts: {start}..{end} holds no {}-grams", at + 1))?;
        for words in part.chunks(at + 1) {
            let column = *columns.get(gram).context("ngram_indexes: fewer than n-grams in the pool")?;
            if (min..=max).contains(&(at + 1)) {
                grams.insert(words.into(), column);
            }
            gram += 1;
        }
    }
    built(node, Vectorizer { ids, grams, min, max, skips, mode, weights, width })
}

/// Columns that a vectoriser may have for each n-gram, so that no file asks for more memory than it is worth.
const SPARSEST: usize = 1024;

/// How a text becomes tokens.
#[derive(Debug)]
enum Cut {
    Letters,
    /// What matches is a token.
    At(Regex),
    /// What matches one of them separates tokens.
    Between(Vec<Regex>),
}

/// `[C]` or `[N, C]` gives `[..., T]`, padded to the longest.
#[derive(Debug)]
struct Tokenizer {
    cut: Cut,
    /// Letters
    shortest: usize,
    /// Between a token of U+0002 and one of U+0003
    mark: bool,
    pad: String,
    tokens: Symbol,
}

impl Tokenizer {
    fn cut<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match &self.cut {
            Cut::Letters => text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect(),
            Cut::At(expression) => self.matches(expression, text),
            Cut::Between(separators) => separators.iter().fold(vec![text], |parts, separator| {
                parts.into_iter().flat_map(|part| self.between(separator, part)).collect()
            }),
        }
    }

    fn matches<'a>(&self, expression: &Regex, text: &'a str) -> Vec<&'a str> {
        let (mut tokens, mut start) = (vec![], 0);
        while let Some(found) = expression.find_at(text, start) {
            if self.is_long(found.as_str()) {
                tokens.push(found.as_str());
                start = found.end();
            } else {
                // Too short: the search goes on within it.
                let Some(first) = text[found.start()..].chars().next() else { break };
                start = found.start() + first.len_utf8();
            }
        }
        tokens
    }

    fn between<'a>(&self, separator: &Regex, text: &'a str) -> Vec<&'a str> {
        separator.split(text).filter(|part| self.is_long(part)).collect()
    }

    fn is_long(&self, token: &str) -> bool {
        token.chars().take(self.shortest).count() == self.shortest
    }
}

impl Kernel for Tokenizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        strings(&inputs[0])?;
        let mut shape = inputs[0].shape.to_tvec();
        ensure!((1..=2).contains(&shape.len()), "expected [C] or [N, C], got {shape:?}");
        shape.push(longest_of(&shape, &self.tokens));
        Ok(tvec!(DatumType::String.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut rows: Vec<Vec<&str>> =
            elements::<String>(&inputs[0])?.iter().map(|text| self.cut(text)).collect();
        if self.mark && rows.iter().any(|row| !row.is_empty()) {
            for row in &mut rows {
                row.insert(0, "\u{2}");
                row.push("\u{3}");
            }
        }
        Ok(tvec!(padded(inputs[0].shape(), &rows, &self.pad)?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Counts,
    Presence,
    Weighted,
}

/// The words that occur in n-grams, and their numbers.
#[derive(Debug)]
enum Ids {
    Words(HashMap<String, u32>),
    Numbers(HashMap<i64, u32>),
}

/// The number of each item, and of which item it is.
fn numbered<T: Hash + Eq>(items: Vec<T>) -> (Vec<u32>, HashMap<T, u32>) {
    let mut ids = HashMap::new();
    let numbers = items.into_iter().map(|item| {
        let next = ids.len() as u32;
        *ids.entry(item).or_insert(next)
    });
    (numbers.collect(), ids)
}

/// `[C]` gives `[W]`, `[N, C]` gives `[N, W]`: how often each n-gram is in a row, skips allowed between its words.
#[derive(Debug)]
struct Vectorizer {
    ids: Ids,
    /// Column of an n-gram, which is the numbers of its words
    grams: HashMap<Box<[u32]>, usize>,
    min: usize,
    max: usize,
    skips: usize,
    mode: Mode,
    /// By column
    weights: Option<Vec<f32>>,
    width: usize,
}

impl Vectorizer {
    /// Counts the n-grams of a row; words that are in none are `None`.
    fn count(&self, row: &[Option<u32>], counts: &mut [f32]) {
        let mut gram = Vec::with_capacity(self.max);
        for distance in 1..=self.skips.min(row.len()) + 1 {
            for start in 0..row.len() {
                gram.clear();
                for item in row[start..].iter().step_by(distance).take(self.max) {
                    let Some(id) = item else { break };
                    gram.push(*id);
                    // A single word has nothing between that could be skipped.
                    let counts_now = gram.len() >= self.min && (gram.len() > 1 || distance == 1);
                    if let (true, Some(column)) = (counts_now, self.grams.get(&gram[..])) {
                        counts[*column] += 1.0;
                    }
                }
            }
        }
    }

    fn weigh(&self, row: &mut [f32]) {
        for (at, count) in row.iter_mut().enumerate() {
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[at]);
            *count = match self.mode {
                Mode::Counts => *count,
                Mode::Presence if *count > 0.0 => weight,
                Mode::Presence => 0.0,
                Mode::Weighted => *count * weight,
            };
        }
    }

    fn ids(&self, input: &Tensor) -> TractResult<Vec<Option<u32>>> {
        Ok(match &self.ids {
            Ids::Words(ids) => elements::<String>(input)?.iter().map(|word| ids.get(word).copied()).collect(),
            Ids::Numbers(ids) => elements::<i64>(&*input.cast_to::<i64>()?)?
                .iter()
                .map(|number| ids.get(number).copied())
                .collect(),
        })
    }
}

impl Kernel for Vectorizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let datum = inputs[0].datum_type;
        match &self.ids {
            Ids::Words(_) => strings(&inputs[0])?,
            Ids::Numbers(_) => ensure!(datum.is_integer(), "expected integers as in the pool, got {datum:?}"),
        }
        let mut shape = inputs[0].shape.to_tvec();
        ensure!(shape.len() <= 2, "expected [C] or [N, C], got {shape:?}");
        shape.pop();
        shape.push(self.width.to_dim());
        Ok(tvec!(DatumType::F32.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, length) = rows_of(inputs[0].shape());
        let ids = self.ids(&inputs[0])?;
        let mut counts = vec![0f32; rows.checked_mul(self.width).context("too many rows")?];
        for (at, counts) in counts.chunks_mut(self.width.max(1)).enumerate() {
            self.count(&ids[at * length..(at + 1) * length], counts);
            self.weigh(counts);
        }
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape.pop();
        shape.push(self.width);
        Ok(tvec!(tensor(&shape, counts)?))
    }
}
