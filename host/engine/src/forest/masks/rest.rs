//! [`Rest`]: what lies below the levels of a deep tree that are compared whole. A row goes down it step by step, by codes.
//!
//! A leaf's step leads to itself, as in `walk`; after every three steps, the rows that still move are kept in a list.
#![allow(unsafe_code, reason = "places were checked when the trees were laid out")]

use super::{Encoded, TILE, signed};
use crate::forest::columns::{BLOCK, MAX_COLUMNS, Place};
use crate::forest::split::ways;
use crate::forest::{Forest, Node};

/// `below | offset of the column << 8 | next << 32`; goes to `next` if the code is below, and otherwise to the position
/// behind it. A leaf's is the position before itself, and below what no code is.
#[derive(Debug)]
pub(super) struct Rest {
    /// Position 0 is nobody's, so that a leaf can say that it lies behind another position
    steps: Vec<u64>,
    /// For each position of a leaf, its number
    leaves: Vec<u32>,
}

/// Steps that a row takes before it is looked whether it still moves.
const STEPS: usize = 3;

/// What [`Rest`] is made from.
#[derive(Clone, Copy)]
pub(super) struct Laid<'l> {
    pub(super) forest: &'l Forest,
    pub(super) places: &'l [Place],
    /// Of leaves, by the position of their node
    pub(super) numbers: &'l [u32],
    /// Whether codes are [`signed`]
    pub(super) signed: bool,
}

impl Rest {
    /// Of no tree yet, and with room for so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let mut rest = Self { steps: Vec::with_capacity(nodes + 1), leaves: Vec::with_capacity(nodes + 1) };
        rest.extend_by(1);
        rest
    }

    /// Lays out what lies below these nodes of one tree. Gives each one's position.
    pub(super) fn extend(&mut self, laid: Laid, tops: &[u32]) -> Vec<u32> {
        let mut waiting = Vec::with_capacity(tops.len());
        let mut positions = Vec::with_capacity(tops.len());
        for (at, top) in tops.iter().enumerate() {
            // Below a leaf, a perfect tree repeats it.
            if at == 0 || tops[at - 1] != *top {
                waiting.push((*top, self.steps.len()));
                self.extend_by(1);
            }
            positions.push(self.steps.len() as u32 - 1);
        }
        while let Some((at, to)) = waiting.pop() {
            match &laid.forest.nodes[at as usize] {
                Node::Leaf { .. } => {
                    self.steps[to] = Self::step(laid, Place { column: 0, below: 0 }, to - 1);
                    self.leaves[to] = laid.numbers[at as usize];
                }
                Node::Branch(branch) => {
                    let pair = self.steps.len();
                    self.extend_by(2);
                    self.steps[to] = Self::step(laid, laid.places[at as usize], pair);
                    let [yes, no] = ways(laid.forest, branch);
                    waiting.extend([(no, pair + 1), (yes, pair)]);
                }
            }
        }
        positions
    }

    fn extend_by(&mut self, count: usize) {
        let length = self.steps.len() + count;
        self.steps.resize(length, 0);
        self.leaves.resize(length, 0);
    }

    fn step(laid: Laid, place: Place, next: usize) -> u64 {
        // Steps have 24 bits for it.
        const { assert!(MAX_COLUMNS * TILE <= 1 << 24) };
        let below = if laid.signed { signed(place.below) } else { place.below };
        u64::from(below) | u64::from(place.column * TILE as u32) << 8 | (next as u64) << 32
    }

    /// From rows' positions to the numbers of their leaves.
    #[inline(always)]
    pub(super) fn descend<const SIGNED: bool>(&self, at: &mut [u32], codes: Encoded) {
        let at = &mut at[..codes.rows];
        let tile = codes.columns * TILE;
        assert!(at.len() <= BLOCK && codes.bytes.len() >= at.len().div_ceil(TILE) * tile);
        // Each row, and where its code of column 0 lies.
        let mut moving = [(0, 0); BLOCK];
        let mut count = 0;
        for (row, at) in at.iter_mut().enumerate() {
            let offset = row / TILE * tile + row % TILE;
            moving[count] = (row as u32, offset as u32);
            // SAFETY: the row's tile has codes.
            let codes = unsafe { codes.bytes.get_unchecked(offset..) };
            count += usize::from(self.steps::<SIGNED>(at, codes));
        }
        while count > 0 {
            let mut kept = 0;
            for place in 0..count {
                let (row, offset) = moving[place];
                moving[kept] = (row, offset);
                // SAFETY: `moving` holds rows of `at`, and where their tile's codes lie.
                let (at, codes) = unsafe {
                    (at.get_unchecked_mut(row as usize), codes.bytes.get_unchecked(offset as usize..))
                };
                kept += usize::from(self.steps::<SIGNED>(at, codes));
            }
            count = kept;
        }
        at.iter_mut().for_each(|at| *at = self.leaves[*at as usize]);
    }

    /// Takes [`STEPS`]; whether the last one led anywhere.
    #[inline(always)]
    fn steps<const SIGNED: bool>(&self, at: &mut u32, codes: &[u8]) -> bool {
        let mut from = *at;
        for _ in 1..STEPS {
            from = self.next::<SIGNED>(from, codes);
        }
        *at = self.next::<SIGNED>(from, codes);
        *at != from
    }

    /// `at` comes from [`Rest::extend`] or an earlier step, and `codes` are of the columns that it was made for.
    #[inline(always)]
    fn next<const SIGNED: bool>(&self, at: u32, codes: &[u8]) -> u32 {
        debug_assert!((at as usize) < self.steps.len());
        // SAFETY: `extend` gives each step's `next`, and the position behind it, places in `steps`.
        let step = unsafe { *self.steps.get_unchecked(at as usize) };
        let offset = (step as u32 >> 8) as usize;
        debug_assert!(offset < codes.len());
        // SAFETY: offsets are those of columns, and `codes` holds a tile of each, from the row on.
        let code = unsafe { *codes.get_unchecked(offset) };
        let below = step as u8;
        let behind = if SIGNED { code as i8 >= below as i8 } else { code >= below };
        (step >> 32) as u32 + u32::from(behind)
    }
}
