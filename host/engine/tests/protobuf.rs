//! Protobuf, by hand: ONNX files that no library would write. Numbers of fields are those of `onnx.proto`.

/// A field of bytes or text, or of a message's own fields.
pub fn field(number: u64, part: impl AsRef<[u8]>) -> Vec<u8> {
    let part = part.as_ref();
    [varint(number << 3 | 2), varint(part.len() as u64), part.to_vec()].concat()
}

pub fn number(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The field numbers of `onnx.proto`: an input or output in f32 (1) or i64 (7) of `dims`, which are fields of a shape.
pub fn info(at: u64, name: &str, dtype: i64, dims: &[Vec<u8>]) -> Vec<u8> {
    let shape = field(2, dims.iter().map(|dim| field(1, dim)).collect::<Vec<_>>().concat());
    let tensor = field(1, [number(1, dtype), shape].concat());
    field(at, [field(1, name), field(2, tensor)].concat())
}

pub fn dims(dims: &[i64]) -> Vec<Vec<u8>> {
    dims.iter().map(|dim| number(1, *dim)).collect()
}

pub fn initializer(name: &str, dtype: i64, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let dims = dims.iter().map(|dim| number(1, *dim)).collect::<Vec<_>>().concat();
    field(5, [dims, number(2, dtype), field(8, name), field(9, raw)].concat())
}

pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().map(|name| field(1, name)).collect::<Vec<_>>().concat();
    let attributes = attributes.iter().map(|attribute| field(5, attribute)).collect::<Vec<_>>().concat();
    field(1, [inputs, field(2, output), field(4, operator), attributes].concat())
}

pub fn i64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
