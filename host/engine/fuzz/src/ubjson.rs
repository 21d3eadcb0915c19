//! UBJSON made from JSON, in the ways that XGBoost has of writing it and some others (the specification is at ubjson.org,
//! draft 12: numbers are big-endian).

use serde_json::Value;

use crate::Random;

/// `None` if `data` is no JSON. The same bytes give the same UBJSON.
pub fn of_json(data: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let sum = data.iter().fold(data.len() as u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let mut out = Vec::new();
    write(&value, &mut Random::new(sum), &mut out);
    Some(out)
}

fn write(value: &Value, random: &mut Random, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'Z'),
        Value::Bool(true) => out.push(b'T'),
        Value::Bool(false) => out.push(b'F'),
        Value::Number(number) => write_number(number.as_i64(), number.as_f64().unwrap_or(0.0), random, out),
        Value::String(text) => {
            out.push(b'S');
            write_text(text, random, out);
        }
        Value::Array(list) => {
            out.push(b'[');
            let numbers: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
            match numbers.filter(|numbers| !numbers.is_empty() && !random.one_in(4)) {
                Some(numbers) => write_typed(&numbers, random, out),
                None if random.one_in(3) => {
                    out.push(b'#');
                    write_length(list.len(), random, out);
                    list.iter().for_each(|element| write(element, random, out));
                }
                None => {
                    list.iter().for_each(|element| write(element, random, out));
                    out.push(b']');
                }
            }
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (key, field) in fields {
                write_text(key, random, out);
                write(field, random, out);
            }
            out.push(b'}');
        }
    }
}

fn write_text(text: &str, random: &mut Random, out: &mut Vec<u8>) {
    write_length(text.len(), random, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_length(length: usize, random: &mut Random, out: &mut Vec<u8>) {
    match (random.below(4), u8::try_from(length)) {
        (0, Ok(short)) => out.extend([b'U', short]),
        (1, _) => {
            out.push(b'l');
            out.extend((length as i32).to_be_bytes());
        }
        _ => {
            out.push(b'L');
            out.extend((length as i64).to_be_bytes());
        }
    }
}

fn write_number(integer: Option<i64>, float: f64, random: &mut Random, out: &mut Vec<u8>) {
    match (integer, random.below(4)) {
        (Some(integer), 0) if i8::try_from(integer).is_ok() => out.extend([b'i', integer as u8]),
        (Some(integer), 1) if i32::try_from(integer).is_ok() => {
            out.push(b'l');
            out.extend((integer as i32).to_be_bytes());
        }
        (Some(integer), 2) => {
            out.push(b'L');
            out.extend(integer.to_be_bytes());
        }
        (_, 3) => {
            out.push(b'D');
            out.extend(float.to_be_bytes());
        }
        _ => {
            out.push(b'd');
            out.extend((float as f32).to_be_bytes());
        }
    }
}

/// A list of numbers of one type, its count before them.
fn write_typed(numbers: &[f64], random: &mut Random, out: &mut Vec<u8>) {
    let whole = numbers.iter().all(|number| number.fract() == 0.0 && number.abs() < 2e9);
    let small = numbers.iter().all(|number| (0.0..256.0).contains(number));
    let marker = match random.below(4) {
        0 if whole && small => b'U',
        0 | 1 if whole => b'l',
        2 if whole => b'L',
        3 => b'D',
        _ => b'd',
    };
    out.extend([b'$', marker, b'#']);
    write_length(numbers.len(), random, out);
    for number in numbers {
        match marker {
            b'U' => out.push(*number as u8),
            b'l' => out.extend((*number as i32).to_be_bytes()),
            b'L' => out.extend((*number as i64).to_be_bytes()),
            b'D' => out.extend(number.to_be_bytes()),
            _ => out.extend((*number as f32).to_be_bytes()),
        }
    }
}
