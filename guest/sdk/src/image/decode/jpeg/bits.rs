//! [`Bits`] and [`Codes`]: the bits of a scan and the Huffman codes in them (T.81, annexes C and F.2.2).

/// Why a scan can't be read; its place in a sentence is behind "the JPEG is ...: ".
pub(super) type Reason = &'static str;

pub(super) const ENDED: Reason = "it ends before its picture does";

/// The codes of one table, looked up by the bits that come next.
#[derive(Clone)]
pub(super) struct Codes {
    /// By the next [`SHORT`] bits: the length in the upper byte, 0 for a longer code, and the symbol.
    short: [u16; 1 << SHORT],
    /// By length: the first 16 bits that begin no code of it, nor of a shorter one.
    ends: [u32; 17],
    /// By length: what a code is to be added to for its symbol's place.
    places: [usize; 17],
    symbols: [u8; 256],
}

const SHORT: u32 = 9;

impl Codes {
    /// From how many codes there are of each length, and the symbols in the order of their codes.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Reason> {
        let mut codes = Self { short: [0; 1 << SHORT], ends: [0; 17], places: [0; 17], symbols: [0; 256] };
        let known = codes.symbols.get_mut(..symbols.len()).ok_or("a Huffman table is too long")?;
        known.copy_from_slice(symbols);
        let (mut code, mut place) = (0usize, 0usize);
        for (length, &count) in (1..=16).zip(counts) {
            codes.places[length] = place.wrapping_sub(code);
            for &symbol in &symbols[place..][..count.into()] {
                if length <= SHORT as usize {
                    let same = 1 << (SHORT as usize - length);
                    let first = code * same;
                    let known = codes.short.get_mut(first..first + same).ok_or(OVERFULL)?;
                    known.fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
            }
            place += usize::from(count);
            if code > 1 << length {
                return Err(OVERFULL);
            }
            codes.ends[length] = (code << (16 - length)) as u32;
            code *= 2;
        }
        Ok(codes)
    }
}

const OVERFULL: Reason = "a Huffman table has more codes than bits";

/// The bits of a scan, the highest of a byte first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bits from the top down, zeros behind them.
    word: u64,
    count: u32,
    /// How many of them, the last, stand for what is behind the end.
    missing: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, word: 0, count: 0, missing: 0 }
    }

    /// The next symbol.
    #[inline(always)]
    pub(super) fn symbol(&mut self, codes: &Codes) -> Result<u8, Reason> {
        self.fill();
        let [length, symbol] = codes.short[(self.word >> (64 - SHORT)) as usize].to_be_bytes();
        if length != 0 {
            self.skip(length.into());
            return Ok(symbol);
        }
        let next = (self.word >> 48) as u32;
        let length = (SHORT as usize + 1..=16)
            .find(|&length| next < codes.ends[length])
            .ok_or("a Huffman code is unknown")?;
        let code = (next >> (16 - length)) as usize;
        self.skip(length as u32);
        Ok(codes.symbols[code.wrapping_add(codes.places[length]) & 0xff])
    }

    /// The next bits, at most 15, as a number.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u16 {
        if self.count < count {
            self.fill();
        }
        // In two steps, because a shift by 64 overflows.
        let bits = (self.word >> 1 >> (63 - count)) as u16;
        self.skip(count);
        bits
    }

    /// The next bits as a coefficient of that many bits (T.81, EXTEND): the lower half is negative.
    #[inline(always)]
    pub(super) fn coefficient(&mut self, count: u8) -> i16 {
        let count = u32::from(count & 15);
        let bits = i32::from(self.take(count));
        let lower_half = bits < (1 << count) >> 1;
        (bits - if lower_half { (1 << count) - 1 } else { 0 }) as i16
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.word <<= count;
        self.count -= count;
    }

    /// Makes sure of 32 bits: a code and what follows it.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(next) = self.bytes.first_chunk::<4>() {
            let next = u32::from_be_bytes(*next);
            let has_marker = (!next).wrapping_sub(0x0101_0101) & next & 0x8080_8080 != 0;
            if !has_marker {
                self.word |= u64::from(next) << (32 - self.count);
                self.count += 32;
                self.bytes = &self.bytes[4..];
                return;
            }
        }
        self.fill_bytewise();
    }

    #[cold]
    fn fill_bytewise(&mut self) {
        while self.count <= 56 {
            let byte = match *self.bytes {
                [0xff, 0, ..] => {
                    self.bytes = &self.bytes[2..];
                    0xff
                }
                [] | [0xff, ..] => {
                    self.missing += 8;
                    0
                }
                [byte, ..] => {
                    self.bytes = &self.bytes[1..];
                    byte
                }
            };
            self.word |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Whether no more was taken than there was.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.count < self.missing { Err(ENDED) } else { Ok(()) }
    }

    /// Goes behind the restart marker of this number, 0 to 7.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Reason> {
        let (marker, rest) = next_marker(self.bytes).ok_or(ENDED)?;
        if marker != 0xd0 + number {
            return Err("a restart marker is missing");
        }
        *self = Self::new(rest);
        Ok(())
    }

    /// What follows the scan.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

/// The next marker and what follows it; 0xff may be repeated as a fill byte, and is data before a 0.
pub(super) fn next_marker(mut bytes: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let start = bytes.iter().position(|&byte| byte == 0xff)?;
        let code = start + bytes[start..].iter().position(|&byte| byte != 0xff)?;
        let rest = &bytes[code + 1..];
        if bytes[code] != 0 {
            return Some((bytes[code], rest));
        }
        bytes = rest;
    }
}
