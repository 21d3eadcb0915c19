//! Schemas of instances and of predictions: the wire format, as far as a signature fixes it.

use ampoule_host::{Dim, Dtype, Field, Form};
use serde_json::{Map, Value, json};

/// At most this many labels stand in a description.
const SHOWN_LABELS: usize = 20;

/// One instance, in every form that a request may give it.
pub fn instance(inputs: &[Field]) -> Value {
    let forms = match inputs {
        [input] => match input.form() {
            Form::Json => return described(json!({}), description(input)),
            // A blob that has the name of its own parts can't be given by name.
            Form::Media(_) if ["b64", "content_type"].contains(&input.name.as_str()) => return value(input),
            Form::Tensor(_, []) => vec![value(input), by_name(inputs), by_position(inputs)],
            Form::Media(_) | Form::Tensor(..) => vec![value(input), by_name(inputs)],
        },
        inputs => vec![by_name(inputs), by_position(inputs)],
    };
    json!({ "anyOf": forms })
}

fn by_name(inputs: &[Field]) -> Value {
    let properties: Map<_, _> = inputs.iter().map(|input| (input.name.clone(), value(input))).collect();
    let required: Vec<&str> =
        inputs.iter().filter(|input| !may_be_absent(input)).map(|input| input.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn by_position(inputs: &[Field]) -> Value {
    let items: Vec<Value> = inputs.iter().map(value).collect();
    json!({ "type": "array", "prefixItems": items, "minItems": inputs.len(), "maxItems": inputs.len() })
}

/// The value of one input.
fn value(input: &Field) -> Value {
    let schema = match input.form() {
        Form::Json => json!({}),
        Form::Media(types) => json!({
            "type": "object",
            "properties": {
                "b64": blob(types),
                "content_type": { "enum": types, "description": "Wanted where the first bytes don't tell" },
            },
            "required": ["b64"],
            "additionalProperties": false,
        }),
        Form::Tensor(dtype, shape) => {
            let array = array(input, dtype, shape);
            if may_be_absent(input) { or_null(array) } else { array }
        }
    };
    described(schema, description(input))
}

/// One prediction: bare where there is one output, an object where there are several.
pub fn prediction(outputs: &[Field]) -> Value {
    match outputs {
        // A signature without outputs promises nothing.
        [] => json!({}),
        [output] => result(output),
        outputs => {
            let properties: Map<_, _> =
                outputs.iter().map(|output| (output.name.clone(), result(output))).collect();
            let required: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
    }
}

/// The value of one output.
fn result(output: &Field) -> Value {
    let schema = match output.form() {
        Form::Json => json!({}),
        // What is said about a blob stands beside it, under names that no signature fixes.
        Form::Media(types) => json!({
            "type": "object",
            "properties": { "content_type": { "enum": types }, "b64": blob(types) },
            "required": ["content_type", "b64"],
        }),
        Form::Tensor(dtype, shape) => array(output, dtype, shape),
    };
    described(schema, description(output))
}

fn blob(types: &[String]) -> Value {
    let mut schema = json!({ "type": "string", "contentEncoding": "base64" });
    if let [media] = types {
        schema["contentMediaType"] = json!(media);
    }
    schema
}

/// Arrays within arrays, down to a scalar.
fn array(field: &Field, dtype: Dtype, shape: &[Dim]) -> Value {
    shape.iter().rev().fold(scalar(field, dtype), |items, dim| match dim {
        Dim::Fixed(size) => json!({ "type": "array", "items": items, "minItems": size, "maxItems": size }),
        Dim::Symbol(_) => json!({ "type": "array", "items": items }),
    })
}

fn scalar(field: &Field, dtype: Dtype) -> Value {
    let mut schema = match dtype {
        Dtype::Bool => json!({ "type": "boolean" }),
        Dtype::String if field.labels.is_empty() => json!({ "type": "string" }),
        Dtype::String => json!({ "type": "string", "enum": field.labels }),
        Dtype::F16 => json!({ "type": "number" }),
        Dtype::F32 => json!({ "type": "number", "format": "float" }),
        Dtype::F64 => json!({ "type": "number", "format": "double" }),
        Dtype::I64 => json!({ "type": "integer", "format": "int64" }),
        Dtype::U8 | Dtype::I8 | Dtype::I16 | Dtype::I32 => json!({ "type": "integer" }),
    };
    let range = field.range.filter(|_| !matches!(dtype, Dtype::Bool | Dtype::String));
    let bounds = match (bounds(dtype), range) {
        (Some([least, most]), Some([low, high])) => Some([low.max(least), high.min(most)]),
        (dtype, range) => range.or(dtype),
    };
    if let Some([low, high]) = bounds {
        schema["minimum"] = number(low);
        schema["maximum"] = number(high);
    }
    if field.missing && can_be_null(dtype) { or_null(schema) } else { schema }
}

/// The least and the greatest number that a dtype holds; 64 bits are left to the format's name.
fn bounds(dtype: Dtype) -> Option<[f64; 2]> {
    Some(match dtype {
        Dtype::U8 => [0.0, u8::MAX.into()],
        Dtype::I8 => [i8::MIN.into(), i8::MAX.into()],
        Dtype::I16 => [i16::MIN.into(), i16::MAX.into()],
        Dtype::I32 => [i32::MIN.into(), i32::MAX.into()],
        // IEEE 754 binary16: (2 - 2^-10) * 2^15.
        Dtype::F16 => [-65504.0, 65504.0],
        Dtype::F32 => [f32::MIN.into(), f32::MAX.into()],
        Dtype::I64 | Dtype::F64 | Dtype::Bool | Dtype::String => return None,
    })
}

/// `4` rather than `4.0`.
#[expect(clippy::cast_possible_truncation, reason = "whole and within ±2^53, checked before the cast")]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

/// Whether `null` has a meaning in a column of this dtype.
fn can_be_null(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::F32 | Dtype::F64 | Dtype::String)
}

/// Whether an input may be left out, or be `null` as a whole.
fn may_be_absent(input: &Field) -> bool {
    let fixed = input.shape.iter().all(|dim| matches!(dim, Dim::Fixed(_)));
    input.missing && fixed && input.dtype.is_some_and(can_be_null)
}

/// Lets `null` in too; leaves a schema that already does as it is.
fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").and_then(Value::as_str) {
        schema["type"] = json!([kind, "null"]);
        if let Some(labels) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            labels.push(Value::Null);
        }
    }
    schema
}

fn described(mut schema: Value, description: String) -> Value {
    schema["description"] = Value::String(description);
    schema
}

/// `Width of the petal (f32, cm)`.
fn description(field: &Field) -> String {
    let mut facts = vec![field.type_name()];
    facts.extend(field.unit.clone());
    // The labels of strings are the schema's `enum`.
    if !field.labels.is_empty() && field.dtype != Some(Dtype::String) {
        let shown: Vec<&str> = field.labels.iter().take(SHOWN_LABELS).map(String::as_str).collect();
        let more = field.labels.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        facts.push(format!("classes in order: {}{more}", shown.join(", ")));
    }
    let facts = facts.join(", ");
    field.description.as_ref().map_or(facts.clone(), |description| format!("{description} ({facts})"))
}
