//! The Huffman tables that hold where a file has none, as the frames of a camera's video (T.81, K.3).

use super::bits::Codes;

/// Of first coefficients and of the others, each for luma and chroma.
pub(super) fn codes() -> [[Option<Box<Codes>>; 4]; 2] {
    let means = |lengths| table(lengths, (0..12).collect());
    let others = |lengths, common: &[u8]| {
        // The longest codes are those of all other symbols, in order.
        let possible =
            (0..=255).filter(|&symbol| matches!(symbol & 15, 1..=10) || matches!(symbol, 0 | 0xf0));
        let rest = possible.filter(|symbol| !common.contains(symbol));
        table(lengths, common.iter().copied().chain(rest).collect())
    };
    [
        [means(&LUMA_MEANS), means(&CHROMA_MEANS), None, None],
        [others(&LUMA, LUMA_COMMON), others(&CHROMA, CHROMA_COMMON), None, None],
    ]
}

fn table(lengths: &[u8; 16], symbols: Vec<u8>) -> Option<Box<Codes>> {
    Codes::new(lengths, &symbols).ok().map(Box::new)
}

// How many codes there are of 1 bit, 2 bits, ...
const LUMA_MEANS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const CHROMA_MEANS: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const LUMA: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];
const CHROMA: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119];

const LUMA_COMMON: &[u8] = b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\
    \x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82";
const CHROMA_COMMON: &[u8] = b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\
    \x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\
    \xe1\x25\xf1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_whole() {
        assert!(codes().iter().all(|[luma, chroma, ..]| luma.is_some() && chroma.is_some()));
        for lengths in [LUMA, CHROMA] {
            assert_eq!(lengths.iter().map(|&count| usize::from(count)).sum::<usize>(), 162);
        }
    }
}
