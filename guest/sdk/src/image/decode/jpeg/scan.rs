//! [`Scan`]: one pass over some components, all of their coefficients at once or some bits of some
//! (T.81, annexes F.2 and G.2).

use super::bits::{Bits, Codes, Reason};
use super::frame::{Component, DIAGONALS, Frame, Tables};

/// A scan's header, and the tables that it names.
pub(super) struct Scan<'a> {
    parts: Vec<Part<'a>>,
    /// The coefficients, along the diagonals: first and last
    first: usize,
    last: usize,
    /// Whether their first bits were in an earlier scan
    refines: bool,
    /// How many of their last bits are left to later scans
    low: u8,
    restart_interval: usize,
}

struct Part<'a> {
    /// Its place in the frame
    component: usize,
    codes: [Option<&'a Codes>; 2],
}

/// What goes from block to block, until a restart marker
#[derive(Default)]
struct State {
    /// The last first coefficient, by the parts of the scan
    previous: [i16; 4],
    /// Blocks to come that have nothing of their own
    empty_blocks: u32,
}

const MISSING: Reason = "a Huffman table is missing";
const TOO_MANY: Reason = "a block has more than 64 coefficients";

impl<'a> Scan<'a> {
    /// Reads a segment SOS; the components it names begin, if they haven't.
    pub(super) fn new(segment: &[u8], frame: &mut Frame, tables: &'a Tables) -> Result<Self, Reason> {
        const SHORT: Reason = "a scan header is too short";
        let (&count, rest) = segment.split_first().ok_or(SHORT)?;
        let (named, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(SHORT)?;
        let &[first, last, bits, ..] = rest else { return Err(SHORT) };
        let mut parts: Vec<Part> = Vec::new();
        for &[id, kinds] in named.as_chunks().0 {
            let mut all = frame.components.iter_mut().enumerate();
            let (component, begun) = all
                .find(|(place, component)| {
                    component.id == id && parts.iter().all(|part| part.component != *place)
                })
                .ok_or("a scan names a component that is none")?;
            begun.begin(tables)?;
            let codes = [(0, kinds >> 4), (1, kinds & 15)]
                .map(|(kind, number)| tables.codes[kind].get(usize::from(number))?.as_deref());
            parts.push(Part { component, codes });
        }
        let (first, last, high, low) = if frame.progressive {
            (usize::from(first), usize::from(last), bits >> 4, bits & 15)
        } else {
            (0, 63, 0, 0)
        };
        let scan =
            Self { parts, first, last, refines: high != 0, low, restart_interval: tables.restart_interval };
        scan.check(frame, high)?;
        Ok(scan)
    }

    /// Whether its bits are those to come next; takes note that they have.
    fn check(&self, frame: &mut Frame, high: u8) -> Result<(), Reason> {
        let blocks = self.parts.iter().map(|part| &frame.components[part.component]);
        if self.parts.is_empty()
            || self.parts.len() > 1 && blocks.map(Component::blocks_in_unit).sum::<usize>() > 10
        {
            return Err("a scan has no component or more than 10 blocks in a unit");
        }
        let whole = !frame.progressive;
        let band = if self.first == 0 { self.last == 0 } else { self.parts.len() == 1 };
        if !(whole || band) || self.first > self.last || self.last > 63 || self.low > 13 {
            return Err("a scan's coefficients are none");
        }
        for part in &self.parts {
            for lacking in &mut frame.components[part.component].lacking[self.first..=self.last] {
                let next = if self.refines {
                    *lacking == Some(high) && self.low + 1 == high
                } else {
                    lacking.is_none()
                };
                if !next {
                    return Err("a scan doesn't go on where another ended");
                }
                *lacking = Some(self.low);
            }
        }
        Ok(())
    }

    /// Reads the scan, and says what follows it.
    pub(super) fn read<'b>(&self, bytes: &'b [u8], frame: &mut Frame) -> Result<&'b [u8], Reason> {
        let mut bits = Bits::new(bytes);
        match (frame.progressive, self.first, self.refines) {
            (false, ..) => self.each_block(frame, &mut bits, |bits, state, part, component, block| {
                let mut coefficients = [0; 64];
                self.whole(bits, &mut state.previous[part], self.parts[part].codes, &mut coefficients)?;
                component.draw(block, &coefficients);
                Ok(())
            })?,
            (true, 0, false) => {
                self.each_block(frame, &mut bits, |bits, state, part, component, block| {
                    let value = mean(bits, &mut state.previous[part], self.parts[part].codes[0])?;
                    component.coefficients[block * 64] = value << self.low;
                    Ok(())
                })?
            }
            (true, 0, true) => self.each_block(frame, &mut bits, |bits, _, _, component, block| {
                component.coefficients[block * 64] |= (bits.take(1) << self.low).cast_signed();
                Ok(())
            })?,
            (true, _, refines) => {
                let codes = self.parts[0].codes[1].ok_or(MISSING)?;
                self.each_block(frame, &mut bits, |bits, state, _, component, block| {
                    let Some(coefficients) = component.coefficients[block * 64..].first_chunk_mut() else {
                        return Ok(());
                    };
                    if refines {
                        self.refine(bits, &mut state.empty_blocks, codes, coefficients)
                    } else {
                        self.begin(bits, &mut state.empty_blocks, codes, coefficients)
                    }
                })?;
            }
        }
        Ok(bits.rest())
    }

    /// Calls `read` with every block of the scan: which part it is of, its component and its number there.
    fn each_block(
        &self,
        frame: &mut Frame,
        bits: &mut Bits,
        mut read: impl FnMut(&mut Bits, &mut State, usize, &mut Component, usize) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        // Where a component is alone, its blocks come row by row, and only those the picture needs.
        let alone = self.parts.len() == 1;
        let (across, down) = if alone {
            let component = &frame.components[self.parts[0].component];
            (component.width.div_ceil(8), component.height.div_ceil(8))
        } else {
            (frame.units_across, frame.units_down)
        };
        let mut state = State::default();
        for unit in 0..across * down {
            if self.restart_interval != 0 && unit != 0 && unit % self.restart_interval == 0 {
                bits.restart(((unit / self.restart_interval - 1) % 8) as u8)?;
                state = State::default();
            }
            let (row, column) = (unit / across, unit % across);
            for (part, &Part { component, .. }) in self.parts.iter().enumerate() {
                let component = &mut frame.components[component];
                let blocks = if alone { (1, 1) } else { (component.across, component.down) };
                for y in row * blocks.1..(row + 1) * blocks.1 {
                    for x in column * blocks.0..(column + 1) * blocks.0 {
                        read(bits, &mut state, part, component, y * component.blocks_across + x)?;
                    }
                }
            }
            bits.check()?;
        }
        Ok(())
    }

    /// All coefficients of a block.
    #[inline]
    fn whole(
        &self,
        bits: &mut Bits,
        previous: &mut i16,
        [means, others]: [Option<&Codes>; 2],
        block: &mut [i16; 64],
    ) -> Result<(), Reason> {
        block[0] = mean(bits, previous, means)?;
        let codes = others.ok_or(MISSING)?;
        let mut index = 1;
        while index < 64 {
            let symbol = bits.symbol(codes)?;
            let (zeros, size) = (usize::from(symbol >> 4), symbol & 15);
            if size == 0 {
                if zeros < 15 {
                    break;
                }
                index += 16;
                continue;
            }
            index += zeros;
            let place = *DIAGONALS.get(index).ok_or(TOO_MANY)?;
            block[usize::from(place) & 63] = bits.coefficient(size);
            index += 1;
        }
        Ok(())
    }

    /// The first bits of a block's coefficients.
    fn begin(
        &self,
        bits: &mut Bits,
        empty_blocks: &mut u32,
        codes: &Codes,
        block: &mut [i16; 64],
    ) -> Result<(), Reason> {
        if *empty_blocks > 0 {
            *empty_blocks -= 1;
            return Ok(());
        }
        let mut index = self.first;
        while index <= self.last {
            let symbol = bits.symbol(codes)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            match (zeros, size) {
                (15, 0) => index += 16,
                (_, 0) => {
                    *empty_blocks = run(bits, zeros) - 1;
                    break;
                }
                _ => {
                    index += usize::from(zeros);
                    if index > self.last {
                        return Err(TOO_MANY);
                    }
                    block[usize::from(DIAGONALS[index])] = bits.coefficient(size) << self.low;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of a block's coefficients; those that were 0 may become 1 or −1 in that place.
    fn refine(
        &self,
        bits: &mut Bits,
        empty_blocks: &mut u32,
        codes: &Codes,
        block: &mut [i16; 64],
    ) -> Result<(), Reason> {
        let unit = 1 << self.low;
        let mut index = self.first;
        while *empty_blocks == 0 && index <= self.last {
            let symbol = bits.symbol(codes)?;
            let mut zeros = symbol >> 4;
            let fresh = match symbol & 15 {
                0 if zeros < 15 => {
                    *empty_blocks = run(bits, zeros);
                    break;
                }
                0 => 0,
                1 if bits.take(1) == 1 => unit,
                1 => -unit,
                _ => return Err("a refined coefficient has more than one bit"),
            };
            // Behind so many that stay 0 comes the fresh one; each other on the way has a bit.
            for place in &DIAGONALS[index..=self.last] {
                index += 1;
                let coefficient = &mut block[usize::from(*place)];
                if *coefficient != 0 {
                    sharpen(bits, coefficient, unit);
                } else if zeros == 0 {
                    *coefficient = fresh;
                    break;
                } else {
                    zeros -= 1;
                }
            }
        }
        if *empty_blocks > 0 {
            *empty_blocks -= 1;
            for place in DIAGONALS.get(index..=self.last).unwrap_or_default() {
                let coefficient = &mut block[usize::from(*place)];
                if *coefficient != 0 {
                    sharpen(bits, coefficient, unit);
                }
            }
        }
        Ok(())
    }
}

/// A block's first coefficient, coded as a difference.
#[inline]
fn mean(bits: &mut Bits, previous: &mut i16, codes: Option<&Codes>) -> Result<i16, Reason> {
    let size = bits.symbol(codes.ok_or(MISSING)?)?;
    if size > 15 {
        return Err("a difference has more than 15 bits");
    }
    *previous = previous.wrapping_add(bits.coefficient(size));
    Ok(*previous)
}

/// How many blocks have nothing more, this one included: a power of two, and that many bits.
fn run(bits: &mut Bits, power: u8) -> u32 {
    (1 << power) + u32::from(bits.take(power.into()))
}

/// Adds the next bit away from 0, unless a hostile file has it there already.
fn sharpen(bits: &mut Bits, coefficient: &mut i16, unit: i16) {
    if bits.take(1) == 1 && *coefficient & unit == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { unit } else { -unit });
    }
}
