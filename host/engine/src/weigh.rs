//! [`weigh`]: whether an ONNX file is as large as what it describes. Protobuf can name a node in two bytes that take
//! thousands once it is decoded and planned for; no exporter writes such files, so that they are refused before that.
//!
//! The file is walked over as the wire format has it (protobuf.dev, "Encoding"), by the field numbers of ONNX's
//! `onnx.proto`; nothing is decoded. Bytes that are no protobuf are left to the decoder to refuse.

use crate::Error;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Info,
    Type,
    TensorType,
    Shape,
    /// One of a shape, a pair of texts, an annotation, a function: nothing in them weighs more than they do
    Small,
    /// Text or bytes of which there are many
    Text,
    /// Numbers in four bytes
    Floats,
    /// Numbers in eight bytes
    Doubles,
    /// Numbers in as many bytes as they need
    Varints,
    /// Raw data, single texts and numbers: as long in memory as in the file
    Plain,
}

impl Field {
    /// Field `number` of a message.
    fn of(self, number: u64) -> Self {
        match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 8 | 14 | 20 | 25) => Self::Small,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::Info,
            (Self::Graph, 14 | 15) => Self::Small,
            (Self::Node, 1 | 2) => Self::Text,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 7) => Self::Floats,
            (Self::Attribute, 8) => Self::Varints,
            (Self::Attribute, 9) => Self::Text,
            (Self::Attribute, 15 | 22 | 23) => Self::Small,
            (Self::Tensor, 1 | 5 | 7 | 11) => Self::Varints,
            (Self::Tensor, 4) => Self::Floats,
            (Self::Tensor, 6) => Self::Text,
            (Self::Tensor, 10) => Self::Doubles,
            (Self::Tensor, 13) => Self::Small,
            (Self::Info, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Shape, 1) => Self::Small,
            _ => Self::Plain,
        }
    }

    /// Bytes that one is taken to need beside its parts, in the decoder's list, which may have twice the room that it needs,
    /// and in the graphs that are made of it; `tests/bounds.rs` counts what graphs of many of them really take.
    fn weight(self) -> usize {
        match self {
            Self::Node => 6 << 10,
            Self::Graph | Self::Tensor => 2 << 10,
            Self::Info => 1 << 10,
            Self::Attribute => 768,
            Self::Small => 256,
            Self::Text => 64,
            _ => 0,
        }
    }

    fn is_message(self) -> bool {
        matches!(
            self,
            Self::Model
                | Self::Graph
                | Self::Node
                | Self::Attribute
                | Self::Tensor
                | Self::Info
                | Self::Type
                | Self::TensorType
                | Self::Shape
        )
    }
}

/// Bytes in memory for one number that is written as a varint: eight, and room to grow.
const NUMBER: usize = 12;

/// Messages within messages that are looked into; the decoder refuses deeper ones.
const DEPTH: usize = 100;

/// # Errors
///
/// `InvalidModel` if it describes more than six times as much as it has bytes, and 32 MB.
pub(crate) fn weigh(bytes: &[u8]) -> Result<(), Error> {
    let most = bytes.len().saturating_mul(6).saturating_add(32 << 20);
    let mut weight = 0usize;
    // Parts still to be walked over, each with what it is and how deep.
    let mut waiting = vec![(bytes, Field::Model, 0)];
    while let Some((mut rest, message, depth)) = waiting.pop() {
        while let Some((number, wire)) = tag(&mut rest) {
            let field = message.of(number);
            let Some(part) = value(&mut rest, wire) else { break };
            weight = weight.saturating_add(field.weight()).saturating_add(match (field, wire) {
                (Field::Varints, LENGTH) => part.iter().filter(|byte| **byte < 0x80).count() * NUMBER,
                (Field::Varints, _) => NUMBER,
                (Field::Floats, _) => part.len() * 2,
                _ => part.len(),
            });
            if weight > most {
                return Err(Error::model(
                    "the file describes more than its size can account for; is it damaged?",
                ));
            }
            if wire == LENGTH && field.is_message() && depth < DEPTH {
                weight -= part.len();
                waiting.push((part, field, depth + 1));
            }
        }
    }
    Ok(())
}

/// The wire type of what has a length before it.
const LENGTH: u64 = 2;

/// A field's number and wire type; `None` at the end and for what is none.
fn tag(rest: &mut &[u8]) -> Option<(u64, u64)> {
    let tag = varint(rest)?;
    Some((tag >> 3, tag & 7))
}

fn value<'b>(rest: &mut &'b [u8], wire: u64) -> Option<&'b [u8]> {
    let length = match wire {
        0 => {
            let all = *rest;
            varint(rest)?;
            return all.get(..all.len() - rest.len());
        }
        1 => 8,
        LENGTH => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..70).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        // The tenth byte has one bit left to give.
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes below 128.
    fn field(number: u8, part: &[u8]) -> Vec<u8> {
        let mut length = part.len();
        let mut field = vec![number << 3 | 2];
        while length > 127 {
            field.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(part);
        field
    }

    #[test]
    fn what_is_named_in_few_bytes_counts_by_its_size_in_memory() {
        let nodes = |count: usize| field(7, &[0x0a, 0].repeat(count));
        let weights = |count: usize| field(7, &field(5, &field(9, &vec![0xff; count])));
        let numbers = |count: usize| field(7, &field(5, &field(7, &vec![1; count])));
        let cases = [
            ("no bytes", true, vec![]),
            ("a few nodes", true, nodes(5_000)),
            ("many nodes", false, nodes(6_000)),
            ("raw data", true, weights(60 << 20)),
            ("short numbers", true, numbers(5 << 20)),
            ("more short numbers", false, numbers(6 << 20)),
            ("no protobuf", true, vec![0xff; 64]),
        ];
        for (title, passes, bytes) in cases {
            assert_eq!(weigh(&bytes).is_ok(), passes, "{title}");
        }
    }
}
