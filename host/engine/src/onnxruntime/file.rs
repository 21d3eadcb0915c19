//! What ONNX Runtime is handed: the file's own bytes, or without the ZipMaps at its end; and what it is never handed.
//!
//! The bytes are walked as protobuf's wire format (Encoding, "Message Structure") rather than decoded, since the decoder
//! of this crate knows tract's part of ONNX alone: functions, for one, would be neither checked nor kept.

use std::borrow::Cow;

use tract_onnx::pb::GraphProto;

use crate::Error;
use crate::signature::TensorInfo;

/// Messages inside of messages: as many as protobuf reads.
const MAX_DEPTH: usize = 100;

/// Messages of ONNX (`onnx.proto`, IR version 13) in which a tensor may lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

impl Message {
    /// What lies in the field `number`.
    fn inside(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }
}

/// Refuses a model with a tensor, wherever it stands, whose data lies outside of these bytes: ONNX Runtime would open
/// any file that it names.
///
/// # Errors
///
/// `Unsupported` with the tensor's name; `InvalidModel` for bytes that are no messages.
pub(super) fn check_inside(bytes: &[u8]) -> Result<(), Error> {
    check(Message::Model, bytes, 0)
}

fn check(message: Message, bytes: &[u8], depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::model(format!("expected at most {MAX_DEPTH} messages inside of one another")));
    }
    for field in Fields(bytes) {
        let field = field?;
        // The list of where external data lies, and whether the tensor's data is external.
        let outside = matches!((field.number, field.value), (13, Value::Bytes(_)) | (14, Value::Number(1..)));
        if message == Message::Tensor && outside {
            let name = text(bytes, 8);
            let mend = "save the model with its weights inside";
            return Err(Error::unsupported(format!(
                "tensor {name:?} lies outside of the model file ({mend})"
            )));
        }
        if let (Some(inside), Value::Bytes(bytes)) = (message.inside(field.number), field.value) {
            check(inside, bytes, depth + 1)?;
        }
    }
    Ok(())
}

/// A file as it is handed over, and where each of its outputs comes from.
pub(super) struct Handed<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// What to ask for, each once
    pub(super) asked: Vec<String>,
    /// For each output, its place in `asked`
    pub(super) places: Vec<Place>,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    Output(usize),
    /// The scores that a ZipMap would make maps of
    Scores(usize),
}

/// `graph` is what `bytes` hold. A ZipMap that makes an output is left out, and its scores are asked for instead.
///
/// # Errors
///
/// `InvalidModel` for bytes that are no messages.
pub(super) fn handed<'a>(
    bytes: &'a [u8],
    graph: &GraphProto,
    outputs: &[TensorInfo],
) -> Result<Handed<'a>, Error> {
    let (mut asked, mut zipped) = (Vec::new(), Vec::new());
    let mut place = |name: &str| {
        asked.iter().position(|asked| asked == name).unwrap_or_else(|| {
            asked.push(name.to_owned());
            asked.len() - 1
        })
    };
    let mut places = Vec::with_capacity(outputs.len());
    for info in outputs {
        let node = graph.node.iter().find(|n| n.op_type == "ZipMap" && n.output.contains(&info.name));
        match node.and_then(|node| node.input.first()) {
            Some(scores) => {
                zipped.push((info.name.as_str(), scores.as_str()));
                places.push(Place::Scores(place(scores)));
            }
            None => places.push(Place::Output(place(&info.name))),
        }
    }
    let bytes = if zipped.is_empty() { bytes.into() } else { unzipped(bytes, &zipped)?.into() };
    Ok(Handed { bytes, asked, places })
}

/// The model without the ZipMaps that make the outputs named first in `zipped`, and with their scores, named second, as
/// outputs.
fn unzipped(model: &[u8], zipped: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let mut written = Vec::with_capacity(model.len());
    for field in Fields(model) {
        let field = field?;
        match (field.number, field.value) {
            (7, Value::Bytes(graph)) => put(&mut written, 7, &unzipped_graph(graph, zipped)?),
            _ => written.extend(field.whole),
        }
    }
    Ok(written)
}

fn unzipped_graph(graph: &[u8], zipped: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
    let mut written = Vec::with_capacity(graph.len());
    let (mut declared, mut wanted) = (Vec::new(), Vec::new());
    for field in Fields(graph) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(node)) if text(node, 4) == "ZipMap" && makes(node, zipped) => continue,
            (12, Value::Bytes(info)) => {
                let name = text(info, 1);
                if let Some((_, scores)) = zipped.iter().find(|(output, _)| *output == name) {
                    wanted.push((*scores).to_owned());
                    continue;
                }
                declared.push(name);
            }
            _ => {}
        }
        written.extend(field.whole);
    }
    for scores in wanted {
        // They may be an output of their own, or that of two ZipMaps.
        if !declared.contains(&scores) {
            // A name (1), and a type (2) that is a tensor (1) of floats (1: 1).
            let mut info = Vec::new();
            put(&mut info, 1, scores.as_bytes());
            put(&mut info, 2, b"\x0a\x02\x08\x01");
            put(&mut written, 12, &info);
            declared.push(scores);
        }
    }
    Ok(written)
}

/// Whether one of a node's outputs (2) is among those named first in `zipped`.
fn makes(node: &[u8], zipped: &[(&str, &str)]) -> bool {
    let mut outputs = Fields(node).flatten().filter(|field| field.number == 2);
    outputs.any(|field| {
        let Value::Bytes(name) = field.value else { return false };
        zipped.iter().any(|(output, _)| output.as_bytes() == name)
    })
}

/// The last field `number` of a message, as text; empty if there is none.
fn text(message: &[u8], number: u32) -> String {
    let texts = Fields(message).flatten().filter(|field| field.number == number);
    let bytes =
        texts.filter_map(|field| if let Value::Bytes(bytes) = field.value { Some(bytes) } else { None });
    bytes.last().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// Writes a field of bytes.
fn put(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_number(message, u64::from(number) << 3 | 2);
    put_number(message, bytes.len() as u64);
    message.extend(bytes);
}

fn put_number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    number: u32,
    value: Value<'a>,
    /// With its number and length
    whole: &'a [u8],
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes
    Fixed,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(self.0);
        self.0 = field.as_ref().map_or(&[], |(_, rest)| rest);
        Some(field.map(|(field, _)| field).ok_or_else(|| Error::model("the file is no protobuf message")))
    }
}

/// The first field, and what follows it.
fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = number(bytes)?;
    let number_of = u32::try_from(tag >> 3).ok()?;
    let (value, rest) = match tag & 7 {
        0 => number(rest).map(|(number, rest)| (Value::Number(number), rest))?,
        1 => (Value::Fixed, rest.get(8..)?),
        2 => {
            let (length, rest) = number(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Value::Bytes(bytes), rest)
        }
        5 => (Value::Fixed, rest.get(4..)?),
        // Groups, which ONNX has never had.
        _ => return None,
    };
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some((Field { number: number_of, value, whole }, rest))
}

/// A number of seven bits a byte, the lowest first.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}
