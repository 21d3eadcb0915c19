//! Changes to JSON that leave it JSON: the libraries' files are trees of lists whose lengths have to agree.

use serde_json::{Map, Number, Value, json};

use crate::Random;

/// Words that the readers know.
const WORDS: [&str; 44] = [
    "gbtree",
    "dart",
    "gblinear",
    "binary:logistic",
    "binary:hinge",
    "multi:softprob",
    "multi:softmax",
    "reg:squarederror",
    "reg:quantileerror",
    "reg:gamma",
    "count:poisson",
    "survival:cox",
    "survival:aft",
    "rank:ndcg",
    "reg:absoluteerror",
    "reg:logistic",
    "one_output_per_tree",
    "multi_output_tree",
    "best_iteration",
    "float",
    "int",
    "i",
    "c",
    "AsIs",
    "AsTrue",
    "AsFalse",
    "FloatFeature",
    "OneHotFeature",
    "OnlineCtr",
    "MultiClass",
    "Logloss",
    "RMSE",
    "Quantile",
    "nan",
    "inf",
    "-inf",
    "NaN",
    "1E-40",
    "0",
    "1",
    "-1",
    "[5E-1]",
    "[1,2,3]",
    "4294967296",
];

/// The JSON in `data`, changed in one to four places; `None` if there is none.
pub fn mutate(data: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(data).ok()?;
    for _ in 0..1 + random.below(4) {
        change(&mut value, random);
    }
    serde_json::to_vec(&value).ok()
}

fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Array(list) if !list.is_empty() && !random.one_in(5) => {
            let at = random.below(list.len());
            change(&mut list[at], random);
        }
        Value::Object(fields) if !fields.is_empty() && !random.one_in(12) => {
            let at = random.below(fields.len());
            if let Some(field) = fields.values_mut().nth(at) {
                change(field, random);
            }
        }
        Value::Array(list) => change_list(list, random),
        Value::Object(fields) => change_fields(fields, random),
        _ => *value = scalar(value, random),
    }
}

fn change_list(list: &mut Vec<Value>, random: &mut Random) {
    let at = random.below(list.len() + 1);
    match random.below(7) {
        0 => list.truncate(at),
        1 => list.insert(at, scalar(&Value::Null, random)),
        2 if !list.is_empty() => drop(list.remove(at.min(list.len() - 1))),
        3 if !list.is_empty() => {
            let copies = 1 + random.below(16);
            let from = list[at.min(list.len() - 1)].clone();
            list.splice(at..at, vec![from; copies]);
        }
        4 if list.len() < 10_000 => list.extend(list.clone()),
        5 => list.reverse(),
        _ => {
            let other = random.below(list.len().max(1));
            if at < list.len() {
                list.swap(at, other);
            }
        }
    }
}

fn change_fields(fields: &mut Map<String, Value>, random: &mut Random) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    match (random.below(4), keys.as_slice()) {
        (0, [_, ..]) => drop(fields.remove(random.pick(&keys))),
        (1, [_, _, ..]) => {
            let (one, other) = (random.pick(&keys), random.pick(&keys));
            let value = fields[one].clone();
            fields.insert(other.clone(), value);
        }
        (2, _) => drop(fields.insert((*random.pick(&WORDS)).to_owned(), json!({}))),
        (_, [_, ..]) => {
            let value = scalar(&Value::Null, random);
            fields.insert(random.pick(&keys).clone(), value);
        }
        _ => {}
    }
}

/// Another value, most often of the same kind.
fn scalar(value: &Value, random: &mut Random) -> Value {
    let float = |random: &mut Random| Number::from_f64(random.float()).map_or(Value::Null, Value::Number);
    match (value, random.below(8)) {
        (_, 0) => Value::Null,
        (_, 1) => Value::Bool(random.one_in(2)),
        (_, 2) => json!([]),
        (Value::String(_), 3 | 4) => Value::String(random.integer().to_string()),
        (Value::String(_), _) => Value::String((*random.pick(&WORDS)).to_owned()),
        (Value::Number(number), 3 | 4) => {
            json!(number.as_i64().unwrap_or(0).wrapping_add(random.below(5) as i64 - 2))
        }
        (_, 5) => float(random),
        (Value::Null, 6) => Value::String((*random.pick(&WORDS)).to_owned()),
        _ => json!(random.integer()),
    }
}
