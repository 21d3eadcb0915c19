//! [`Columns`]: the values of a row as small integers that every branch can be decided from.
//!
//! Per feature the cuts of all trees are sorted; a value's rank is the number of cuts below it, so `x <= cut` holds
//! where the rank is at most the cut's place. A column is a window of 255 ranks, in which codes 0 to 255 fit a byte:
//!
//! ```text
//! code = clamp(rank - 255 · window, 0, 255)        x <= cut  where  code < place of the cut in its window + 1
//! ```
//!
//! A feature with more cuts has several columns. A missing value has code 0 where it goes as `x <= cut` does, and
//! otherwise 255. A branch by membership has a column of 0 and 255. It is exact, whatever the values.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hint::select_unpredictable;
use std::ops::Range;

use super::real::Real;
use super::split::{Membership, Rule, Source, Sources, Split};
use super::{Forest, Node, Set};

/// Rows that are encoded together.
pub(super) const TILE: usize = 64;
/// Rows that go down a tree one after the other at most, in whole tiles: a large forest leaves the processor's caches from
/// one time that its trees are gone through to the next.
pub(super) const BLOCK: usize = 8 * TILE;
/// Ranks in a column.
const WINDOW: usize = 255;
/// More columns than that don't stay in a processor's nearer caches, 64 rows of each.
pub(super) const MAX_COLUMNS: usize = 1024;

/// Where a branch looks: it goes `yes` if the code in this column is below that number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) column: u32,
    pub(super) below: u8,
}

#[derive(Debug)]
pub(super) struct Columns<T> {
    ranked: Vec<Ranked>,
    /// Those of each source one after the other: ascending, and NaN from there on up to a power of two less one
    cuts: Vec<T>,
    /// Whether every source has one column and no other number than NaN is missing
    #[cfg(target_arch = "x86_64")]
    plain: bool,
    memberships: Vec<(Membership<T>, u32)>,
    sets: Vec<Set>,
    /// Column 0 is 0 in every row
    pub(super) count: usize,
}

/// The columns of one source.
#[derive(Debug)]
struct Ranked {
    source: Source,
    first: u32,
    windows: u32,
    /// Where its cuts lie
    cuts: Range<usize>,
}

/// Where the branches of a forest look, by the position of their node; leaves' are of no use.
pub(super) type Places = Vec<Place>;

impl<T: Real> Columns<T> {
    /// `None` if the forest has too many different cuts for codes to pay.
    pub(super) fn of(forest: &Forest, sources: &Sources<T>) -> Option<(Self, Places)> {
        if sources.list.len() > MAX_COLUMNS {
            return None;
        }
        let mut of_source: Vec<Vec<(T, u32)>> = vec![Vec::new(); sources.list.len()];
        let mut others = Vec::new();
        for (at, node) in forest.nodes.iter().enumerate() {
            let Node::Branch(branch) = node else { continue };
            let Split { source, rule, .. } = Split::<T>::of(forest, branch);
            match rule {
                Rule::Cut(cut) => of_source[sources.place(&source)].push((cut, at as u32)),
                _ => others.push((source, rule, at)),
            }
        }
        let mut columns = Self {
            ranked: vec![],
            cuts: vec![],
            #[cfg(target_arch = "x86_64")]
            plain: true,
            memberships: vec![],
            sets: vec![],
            count: 1,
        };
        let mut places = vec![Place { column: 0, below: 1 }; forest.nodes.len()];
        for (source, mut cuts) in sources.list.iter().zip(of_source) {
            // None is NaN; 0.0 and -0.0 are the same cut.
            cuts.sort_unstable_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
            let (first, from) = (columns.count, columns.cuts.len());
            for (cut, at) in cuts {
                if columns.cuts[from..].last() != Some(&cut) {
                    columns.cuts.push(cut);
                }
                let rank = columns.cuts.len() - from - 1;
                places[at as usize] =
                    Place { column: (first + rank / WINDOW) as u32, below: (rank % WINDOW) as u8 + 1 };
            }
            let different = columns.cuts.len() - from;
            let windows = different.div_ceil(WINDOW);
            columns.cuts.resize(from + (different + 1).next_power_of_two() - 1, T::NAN);
            let cuts = from..columns.cuts.len();
            columns.ranked.push(Ranked {
                source: *source,
                first: first as u32,
                windows: windows as u32,
                cuts,
            });
            columns.count += windows;
            #[cfg(target_arch = "x86_64")]
            {
                columns.plain &= windows == 1 && !source.zero_is_missing;
            }
        }
        let mut members: HashMap<(Source, Option<u32>, u64), u32> = HashMap::new();
        for (source, rule, at) in others {
            let key = match rule {
                Rule::Equal(value) => (source, None, value.wide().to_bits()),
                Rule::Member(set) => (source, Some(set), 0),
                Rule::Cut(_) => continue,
            };
            let column = *members.entry(key).or_insert_with(|| {
                columns.memberships.push((Membership { source, rule }, columns.count as u32));
                columns.count += 1;
                columns.count as u32 - 1
            });
            places[at] = Place { column, below: 1 };
            if columns.count > MAX_COLUMNS {
                return None;
            }
        }
        if columns.count > MAX_COLUMNS {
            return None;
        }
        if !columns.memberships.is_empty() {
            columns.sets = forest.sets.clone();
        }
        assert!(places.iter().all(|place| (place.column as usize) < columns.count), "kernels rely on it");
        Some((columns, places))
    }

    /// Codes of up to [`TILE`] rows, a column's side by side: `[count, TILE]`. Places of rows that aren't there get any.
    #[inline(always)]
    pub(super) fn encode(
        &self,
        rows: &[T],
        width: usize,
        codes: &mut [u8],
        rank: impl Fn(&[T], &[T; TILE], &mut [u32; TILE]),
    ) {
        let count = rows.len() / width;
        codes[..TILE].fill(0);
        let (mut values, mut ranks) = ([T::ZERO; TILE], [0; TILE]);
        for ranked in &self.ranked {
            let feature = ranked.source.feature as usize;
            for (value, row) in values.iter_mut().zip(rows.chunks_exact(width)) {
                *value = row[feature];
            }
            rank(&self.cuts[ranked.cuts.clone()], &values, &mut ranks);
            for window in 0..ranked.windows {
                let codes = &mut codes[(ranked.first + window) as usize * TILE..][..TILE];
                for (code, rank) in codes.iter_mut().zip(&ranks) {
                    *code = rank.saturating_sub(window * WINDOW as u32).min(255) as u8;
                }
            }
            let missing = |x: &T| ranked.source.is_missing(*x);
            if !values.iter().any(missing) {
                continue;
            }
            let code = if ranked.source.missing_goes_yes { 0 } else { 255 };
            for row in (0..count).filter(|row| missing(&values[*row])) {
                for window in 0..ranked.windows {
                    codes[(ranked.first + window) as usize * TILE + row] = code;
                }
            }
        }
        for (membership, column) in &self.memberships {
            let codes = &mut codes[*column as usize * TILE..][..TILE];
            for (code, row) in codes.iter_mut().zip(rows.chunks_exact(width)) {
                let yes = membership.holds(row[membership.source.feature as usize], &self.sets);
                *code = if yes { 0 } else { 255 };
            }
        }
    }

    /// Codes of one row: `[count]`.
    pub(super) fn encode_one(&self, row: &[T], codes: &mut [u8]) {
        codes[0] = 0;
        for ranked in &self.ranked {
            let x = row[ranked.source.feature as usize];
            let rank = rank_of(&self.cuts[ranked.cuts.clone()], x);
            let missing = match (ranked.source.is_missing(x), ranked.source.missing_goes_yes) {
                (false, _) => None,
                (true, true) => Some(0),
                (true, false) => Some(255),
            };
            for window in 0..ranked.windows {
                let code = rank.saturating_sub(window * WINDOW as u32).min(255) as u8;
                codes[(ranked.first + window) as usize] = missing.unwrap_or(code);
            }
        }
        self.encode_members(row, codes);
    }

    fn encode_members(&self, row: &[T], codes: &mut [u8]) {
        for (membership, column) in &self.memberships {
            let yes = membership.holds(row[membership.source.feature as usize], &self.sets);
            codes[*column as usize] = if yes { 0 } else { 255 };
        }
    }
}

/// How many of `cuts`, a power of two less one of them, are below `x`.
#[inline(always)]
fn rank_of<T: Real>(cuts: &[T], x: T) -> u32 {
    let (mut rank, mut half) = (0, cuts.len().div_ceil(2));
    while half > 0 {
        // A branch would be guessed wrong half of the time.
        rank = select_unpredictable(cuts[rank + half - 1] < x, rank + half, rank);
        half /= 2;
    }
    rank as u32
}

/// How many of `cuts`, a power of two less one of them, are below each value of a tile, eight values side by side.
pub(super) fn rank<T: Real>(cuts: &[T], values: &[T; TILE], ranks: &mut [u32; TILE]) {
    const LANES: usize = 8;
    for (values, ranks) in values.chunks_exact(LANES).zip(ranks.chunks_exact_mut(LANES)) {
        let (mut found, mut half) = ([0; LANES], cuts.len().div_ceil(2));
        while half > 0 {
            for (rank, x) in found.iter_mut().zip(values) {
                *rank = select_unpredictable(cuts[*rank + half - 1] < *x, *rank + half, *rank);
            }
            half /= 2;
        }
        ranks.iter_mut().zip(found).for_each(|(rank, found)| *rank = found as u32);
    }
}
