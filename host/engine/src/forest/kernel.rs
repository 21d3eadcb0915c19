//! [`Kernel`]: a forest made ready to answer, for values of type `T` with sums in `A`.
//!
//! Three ways down the trees, which all add the same weights in the same order: values compared as they are (`walk`), or
//! encoded first (`columns`) and then all branches of shallow trees, or of the top of deep ones, compared for 64 rows at
//! once, or for one row in 64 trees (`masks`), or 16 trees gone down at once (`gathers`). The forest and the processor
//! decide which, tree by tree, when the kernel is made.

use std::ops::Range;

use super::columns::{self, BLOCK, Columns, TILE};
#[cfg(target_arch = "x86_64")]
use super::gathers::{self, Gathers};
use super::leaves::Leaves;
use super::masks::{self, Encoded, Lanes, Masks, Use, Work, signed};
use super::real::Real;
use super::split::Sources;
use super::threads;
use super::walk::Walk;
use super::{Aggregate, Base, Checked, Forest};
use crate::Error;

/// `T` is f32, or f64 if the forest compares in f64 and rows come in f64. `A` is what [`Forest::arithmetic`] says.
#[derive(Debug)]
pub(crate) struct Kernel<T, A> {
    features: usize,
    outputs: usize,
    /// None where codes serve all
    walk: Option<Walk<T>>,
    leaves: Leaves<A>,
    coded: Option<Coded<T, A>>,
    /// Trees that follow each other, and how rows go down them if there are many
    runs: Vec<(Range<usize>, Way)>,
    finish: Finish<A>,
}

/// What goes down the trees by codes.
#[derive(Debug)]
struct Coded<T, A> {
    columns: Columns<T>,
    lanes: Lanes,
    masks: Masks<A>,
    /// One row down trees that masks take
    one: Option<masks::One>,
    #[cfg(target_arch = "x86_64")]
    gathers: Option<Gathers<A>>,
    /// Codes of one row for gathers
    #[cfg(target_arch = "x86_64")]
    encoder: Option<columns::avx512::One>,
}

/// How rows go down a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Walk,
    Masks,
    #[cfg(target_arch = "x86_64")]
    Gathers,
}

/// What may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) codes: bool,
    pub(super) lanes: Lanes,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "an instruction of x86"))]
    pub(super) gathers: bool,
    /// Deeper trees are not compared whole
    pub(super) masks_depth: u32,
}

impl Choice {
    /// The best for this processor.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let (lanes, gathers) = (Lanes::detect(), gathers::available());
        #[cfg(not(target_arch = "x86_64"))]
        let (lanes, gathers) = (Lanes::Common, false);
        // Measured with full trees: up to where the next best way takes longer.
        let masks_depth = match lanes {
            // SSE2 looks no bytes up, and neither do numbers.
            Lanes::Common if !cfg!(any(target_arch = "aarch64", target_feature = "simd128")) => 6,
            Lanes::Common => 8,
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => {
                if gathers {
                    6
                } else {
                    8
                }
            }
        };
        Self { codes: true, lanes, gathers, masks_depth }
    }
}

/// Fewer rows go one by one: measured, with iris and with 500 trees of depth 6. One row goes faster where bytes are looked up.
const FEW: usize = 12;
const FEW_LOOKED_UP: usize = 20;

/// What is done with aggregated weights.
#[derive(Debug)]
struct Finish<A> {
    aggregate: Aggregate,
    /// What each output starts from, where the base comes first
    first: Option<Vec<A>>,
    /// What is added at the end
    last: Option<Vec<A>>,
    scale: A,
}

/// As many `start`s as so many rows have scores.
///
/// # Errors
///
/// `InvalidInput` if there is no memory for them.
pub(crate) fn starting_scores<A: Real>(rows: usize, outputs: usize, start: A) -> Result<Vec<A>, Error> {
    let mut scores = Vec::new();
    let room = rows.checked_mul(outputs).filter(|count| scores.try_reserve_exact(*count).is_ok());
    let Some(count) = room else {
        return Err(Error::input(format!("no memory for {outputs} scores of each of {rows} rows")));
    };
    scores.resize(count, start);
    Ok(scores)
}

impl<T: Real, A: Real> Kernel<T, A> {
    pub(crate) fn of(forest: &Checked) -> Self {
        Self::with(forest, Choice::detect())
    }

    pub(super) fn with(forest: &Checked, choice: Choice) -> Self {
        let (leaves, numbers) = Leaves::of(forest);
        let sources = Sources::<T>::of(forest);
        let coded = if choice.codes { Coded::of(forest, &sources, &numbers, &leaves, choice) } else { None };
        let mut runs: Vec<(Range<usize>, Way)> = Vec::new();
        for tree in 0..forest.roots.len() {
            let way = coded.as_ref().map_or(Way::Walk, |coded| coded.way(tree));
            match runs.last_mut() {
                Some((trees, last)) if *last == way => trees.end = tree + 1,
                _ => runs.push((tree..tree + 1, way)),
            }
        }
        let coded = coded.filter(Coded::serves);
        let walk = (!coded.as_ref().is_some_and(Coded::serves_all))
            .then(|| Walk::of(forest, &numbers, &leaves.trees, sources));
        let base = || forest.base.iter().map(|base| A::of(*base)).collect::<Vec<A>>();
        let has = |order| forest.base_order == order && !forest.base.is_empty();
        Self {
            features: forest.features,
            outputs: forest.outputs,
            walk,
            leaves,
            coded,
            runs,
            finish: Finish {
                aggregate: forest.aggregate,
                first: has(Base::First).then(base),
                last: has(Base::Last).then(base),
                scale: A::of(forest.scale),
            },
        }
    }

    /// Raw scores `[rows, outputs]` of `rows`, row-major, `width` wide.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for rows narrower than the forest's.
    pub(crate) fn scores(&self, rows: &[T], width: usize) -> Result<Vec<A>, Error> {
        let needed = self.features.max(1);
        if width < needed || !rows.len().is_multiple_of(width) {
            let got = rows.len();
            return Err(Error::input(format!(
                "trees: expected rows of at least {needed} features, got {got} values for rows of {width}"
            )));
        }
        let outputs = self.outputs;
        let mut scores = starting_scores(rows.len() / width, outputs, self.leaves.start())?;
        if let Some(base) = &self.finish.first {
            scores.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(base));
        }
        let looked_up = self.coded.as_ref().is_some_and(|coded| coded.one.is_some());
        if rows.len() < width * if looked_up { FEW_LOOKED_UP } else { FEW } {
            for (row, scores) in rows.chunks_exact(width).zip(scores.chunks_exact_mut(outputs)) {
                self.row(row, scores);
            }
        } else {
            let blocks = |rows: &[T], scores: &mut [A]| {
                let mut room = Room::of(self, rows.len() / width);
                let most = room.tiles * TILE;
                for (rows, scores) in rows.chunks(most * width).zip(scores.chunks_mut(most * outputs)) {
                    self.block(rows, width, &mut room, scores);
                }
            };
            match threads::worth(rows.len() / width, self.leaves.trees.len()) {
                1 => blocks(rows, &mut scores),
                many => threads::spread(many, TILE, (rows, width), (&mut scores, outputs), blocks),
            }
        }
        scores.chunks_exact_mut(outputs).for_each(|row| self.finish.apply(row));
        Ok(scores)
    }

    fn walk(&self) -> &Walk<T> {
        self.walk.as_ref().expect("made where codes don't serve all")
    }

    /// Adds to one row's `scores`.
    fn row(&self, row: &[T], scores: &mut [A]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(Coded { columns, gathers: Some(gathers), encoder, .. }) = &self.coded {
            let mut codes = [0; 2 * gathers::MAX_STRIDE];
            match encoder {
                Some(encoder) => encoder.encode(columns, row, &mut codes),
                None => columns.encode_one(row, &mut codes),
            }
            gathers.one(&self.leaves, &codes, scores);
            return;
        }
        if let Some(Coded { columns, masks, one: Some(one), .. }) = &self.coded {
            let mut codes = [0; masks::MAX_COLUMNS];
            columns.encode_one(row, &mut codes);
            one.add(masks, &self.leaves, &codes, scores);
            return;
        }
        let walk = self.walk();
        let block = walk.block(row, row.len());
        walk.one(0..self.leaves.trees.len(), &block, |tree, leaf| {
            self.leaves.add(&self.leaves.trees[tree], [leaf].into_iter(), scores, 1);
        });
    }

    /// Adds to the `scores` of as many rows as `room` has room for. In between, an output's totals lie side by side, tile by
    /// tile.
    fn block(&self, rows: &[T], width: usize, room: &mut Room<A>, scores: &mut [A]) {
        let outputs = self.outputs;
        let Room { totals, positions, codes, by_row, .. } = room;
        for (scores, totals) in scores.chunks(TILE * outputs).zip(totals.chunks_exact_mut(TILE * outputs)) {
            for (row, scores) in scores.chunks_exact(outputs).enumerate() {
                scores.iter().enumerate().for_each(|(output, score)| totals[output * TILE + row] = *score);
            }
        }
        if let Some(coded) = &self.coded {
            coded.encode(rows, width, codes, by_row);
        }
        let count = rows.len() / width;
        let walked = self.runs.iter().any(|(_, way)| *way == Way::Walk).then(|| {
            let walk = self.walk();
            (walk, walk.block(rows, width))
        });
        for (trees, way) in &self.runs {
            match (way, &self.coded) {
                (Way::Masks, Some(coded)) => {
                    let codes = Encoded { bytes: codes, columns: coded.columns.count, rows: count };
                    let work = Work { codes, positions, totals };
                    coded.masks.add(coded.lanes, trees.clone(), &self.leaves, work);
                }
                #[cfg(target_arch = "x86_64")]
                (Way::Gathers, Some(Coded { gathers: Some(gathers), .. })) => {
                    let by_row = by_row.chunks_exact(TILE * gathers.stride);
                    let totals = totals.chunks_exact_mut(TILE * outputs);
                    for ((first, by_row), totals) in (0..count).step_by(TILE).zip(by_row).zip(totals) {
                        let count = (count - first).min(TILE);
                        gathers.many(trees.clone(), &self.leaves, by_row, count, totals);
                    }
                }
                _ => {
                    let (walk, block) = walked.as_ref().expect("made where a run of trees is walked down");
                    for tree in trees.clone() {
                        let own = &self.leaves.trees[tree];
                        walk.many(tree, block, |first, leaves| {
                            let totals = &mut totals[first / TILE * TILE * outputs + first % TILE..];
                            self.leaves.add(own, leaves.iter().copied(), totals, TILE);
                        });
                    }
                }
            }
        }
        for (scores, totals) in scores.chunks_mut(TILE * outputs).zip(totals.chunks_exact(TILE * outputs)) {
            for (row, scores) in scores.chunks_exact_mut(outputs).enumerate() {
                scores
                    .iter_mut()
                    .enumerate()
                    .for_each(|(output, score)| *score = totals[output * TILE + row]);
            }
        }
    }
}

/// What a block of rows is worked out in.
struct Room<A> {
    tiles: usize,
    /// `[tiles, outputs, TILE]`
    totals: Vec<A>,
    /// `[tiles, TILE]`
    positions: Vec<u32>,
    /// `[tiles, columns, TILE]`
    codes: Vec<u8>,
    /// `[tiles, TILE, stride]`
    by_row: Vec<u8>,
}

impl<A: Real> Room<A> {
    /// Bytes of codes and totals that stay in the first cache beside a tree.
    const BYTES: usize = 16 << 10;

    /// For so many rows at most.
    fn of<T>(kernel: &Kernel<T, A>, rows: usize) -> Self {
        let columns = kernel.coded.as_ref().map_or(0, |coded| coded.columns.count);
        #[cfg(target_arch = "x86_64")]
        let stride = match &kernel.coded {
            Some(Coded { gathers: Some(gathers), .. })
                if kernel.runs.iter().any(|(_, way)| *way == Way::Gathers) =>
            {
                gathers.stride
            }
            _ => 0,
        };
        #[cfg(not(target_arch = "x86_64"))]
        let stride = 0;
        let bytes = TILE * (columns + kernel.outputs * size_of::<A>());
        let tiles = (Self::BYTES / bytes).clamp(1, BLOCK / TILE).min(rows.div_ceil(TILE));
        Self {
            tiles,
            totals: vec![A::ZERO; tiles * kernel.outputs * TILE],
            positions: vec![0; tiles * TILE],
            codes: vec![0; tiles * columns * TILE],
            by_row: vec![0; tiles * stride * TILE],
        }
    }
}

impl<T: Real, A: Real> Coded<T, A> {
    fn of(
        forest: &Forest,
        sources: &Sources<T>,
        numbers: &[u32],
        leaves: &Leaves<A>,
        choice: Choice,
    ) -> Option<Self> {
        let (columns, places) = Columns::of(forest, sources)?;
        #[cfg(target_arch = "x86_64")]
        let gathers =
            choice.gathers.then(|| Gathers::of(forest, &places, columns.count, numbers, leaves)).flatten();
        #[cfg(target_arch = "x86_64")]
        let tops = gathers.is_none();
        #[cfg(not(target_arch = "x86_64"))]
        let tops = true;
        let allowed = Use { lanes: choice.lanes, depth: choice.masks_depth, tops };
        let masks = Masks::of(forest, &places, numbers, leaves, allowed);
        #[cfg(target_arch = "x86_64")]
        let encoder = gathers.as_ref().and_then(|_| columns::avx512::One::of(&columns));
        let one = if tops { masks::One::of(&masks, columns.count, choice.lanes) } else { None };
        Some(Self {
            columns,
            lanes: choice.lanes,
            masks,
            one,
            #[cfg(target_arch = "x86_64")]
            gathers,
            #[cfg(target_arch = "x86_64")]
            encoder,
        })
    }

    /// Whether there is any use for codes.
    fn serves(&self) -> bool {
        self.serves_all() || self.masks.any()
    }

    /// Whether every tree can be gone down by codes, by one row too.
    fn serves_all(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.gathers.is_some() {
            return true;
        }
        self.one.is_some()
    }

    fn way(&self, tree: usize) -> Way {
        if self.masks.has(tree) {
            return Way::Masks;
        }
        #[cfg(target_arch = "x86_64")]
        if self.gathers.is_some() {
            return Way::Gathers;
        }
        Way::Walk
    }

    /// Rows' codes, tile by tile, and the same row by row if there is room for them.
    fn encode(&self, rows: &[T], width: usize, codes: &mut [u8], by_row: &mut [u8]) {
        let stride = by_row.len() / (codes.len() / self.columns.count);
        let tiles = codes.chunks_exact_mut(TILE * self.columns.count);
        for (tile, (rows, codes)) in rows.chunks(TILE * width).zip(tiles).enumerate() {
            match self.lanes {
                #[cfg(target_arch = "x86_64")]
                Lanes::Avx512 => self.columns.encode(rows, width, codes, columns::avx512::rank),
                _ => self.columns.encode(rows, width, codes, columns::rank),
            }
            if !by_row.is_empty() {
                let by_row = &mut by_row[tile * TILE * stride..];
                for (column, codes) in codes.chunks_exact(TILE).enumerate() {
                    for (row, code) in codes.iter().enumerate() {
                        by_row[row * stride + column] = *code;
                    }
                }
            }
            if self.lanes.are_signed() {
                codes.iter_mut().for_each(|code| *code = signed(*code));
            }
        }
    }
}

impl<A: Real> Finish<A> {
    fn apply(&self, row: &mut [A]) {
        match self.aggregate {
            Aggregate::Sum => {}
            Aggregate::Average(count) => row.iter_mut().for_each(|x| *x = *x / A::of(count)),
            // No leaf spoke of these.
            Aggregate::Min | Aggregate::Max => {
                row.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = A::ZERO);
            }
        }
        if self.scale != A::ONE {
            row.iter_mut().for_each(|x| *x = self.scale * *x);
        }
        if let Some(last) = &self.last {
            row.iter_mut().zip(last).for_each(|(x, base)| *x = *x + *base);
        }
    }
}

#[cfg(test)]
mod tests;
