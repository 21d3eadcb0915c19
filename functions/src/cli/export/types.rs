//! `index.d.ts`: what the package takes and gives, typed by the manifest.

use std::fmt::Write as _;

use ampoule_host::{Dim, Dtype, Field, Form, Manifest};
use serde_json::json;

const REST: &str = "\
/** Why there is no prediction. */
export class Refusal extends Error {
  /** As HTTP has it: 400 to 499 where the instances or the parameters are at fault. */
  readonly status: number;
  /** A word for the kind, such as `invalid_instance`. */
  readonly code: string;
  /** Where the value at fault stands, such as `instances[3].age`; empty for the whole. */
  readonly path: string;
  /** The instance at fault, counted from zero; `undefined` where none is. */
  readonly instance: number | undefined;
}

export interface Model {
  readonly manifest: typeof manifest;
  /** Predictions for instances, in their order. Throws a `Refusal` that names the first instance at fault. */
  predict(instances: readonly Instance[], parameters?: Record<string, unknown>): Promise<Prediction[]>;
}

/** Opens the model: reads its modules from beside this file, and compiles them. */
export function open(): Promise<Model>;

/** Sha256 of the sealed file. */
export const digest: string;

/** What the model says about itself. */
export const manifest: {
  readonly name: string;
  readonly version: string;
  readonly inputs: readonly Readonly<Record<string, unknown>>[];
  readonly outputs: readonly Readonly<Record<string, unknown>>[];
  readonly [key: string]: unknown;
};
";

/// The text of `index.d.ts`.
pub fn declarations(manifest: &Manifest) -> String {
    let mut text = String::new();
    if let Some(description) = &manifest.description {
        text.push_str(&comment(description, ""));
        text.push('\n');
    }
    let named = |fields: &[Field], side| -> String {
        let mut members = String::new();
        for field in fields {
            members.push_str(&comment(&about(field), "  "));
            let optional = if field.missing && side == Side::Input { "?" } else { "" };
            let _ = writeln!(members, "  {}{optional}: {};", key(&field.name), of(field, side));
        }
        members
    };
    let inputs = &manifest.inputs;
    let whole = !inputs.iter().any(|field| matches!(field.form(), Form::Tensor(..)));
    if !whole {
        let _ = writeln!(text, "export interface Inputs {{\n{}}}\n", named(inputs, Side::Input));
    }
    let instance = match inputs.as_slice() {
        [field] if whole => of(field, Side::Input),
        [field] => format!("{} | Inputs", of(field, Side::Input)),
        fields => {
            let types: Vec<String> = fields.iter().map(|field| of(field, Side::Input)).collect();
            let numbers = types.iter().all(|name| name == "number");
            let typed = if numbers { " | Float32Array | Float64Array" } else { "" };
            format!("Inputs | readonly [{}]{typed}", types.join(", "))
        }
    };
    let _ = writeln!(text, "/** What is predicted. */\nexport type Instance = {instance};\n");
    let prediction = match manifest.outputs.as_slice() {
        [] => "export type Prediction = any;".to_owned(),
        [field] => {
            format!("{}export type Prediction = {};", comment(&about(field), ""), of(field, Side::Output))
        }
        fields => format!("export interface Prediction {{\n{}}}", named(fields, Side::Output)),
    };
    let _ = writeln!(text, "{prediction}\n");
    text.push_str(REST);
    text
}

/// A name as a key: quoted, where it has to be.
fn key(name: &str) -> String {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let plain = name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
    if plain { name.to_owned() } else { json!(name).to_string() }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

/// The type of a field's value.
fn of(field: &Field, side: Side) -> String {
    let missing = if field.missing { " | null" } else { "" };
    match (field.form(), side) {
        (Form::Json, Side::Input) => "unknown".to_owned(),
        (Form::Json, Side::Output) => "any".to_owned(),
        (Form::Media(_), Side::Input) => {
            "Uint8Array | ArrayBuffer | Blob | { b64: string; content_type?: string }".to_owned()
        }
        (Form::Media(types), Side::Output) => {
            let types: Vec<String> = types.iter().map(|name| json!(name).to_string()).collect();
            format!("{{ content_type: {}; bytes: Uint8Array; [key: string]: any }}", types.join(" | "))
        }
        (Form::Tensor(dtype, shape), _) => {
            let element = element(field, dtype, side) + missing;
            match (shape, side) {
                ([], _) => element,
                // Of several fixed axes, a typed array holds all.
                ([outer @ .., last], Side::Input) => {
                    let rows = format!("ArrayLike<{element}>");
                    let nested = outer.iter().fold(rows.clone(), |inner, _| format!("readonly ({inner})[]"));
                    let fixed = outer.iter().chain([last]).all(|dim| matches!(dim, Dim::Fixed(_)));
                    let flat = !outer.is_empty() && fixed && dtype != Dtype::String && dtype != Dtype::Bool;
                    if flat { format!("{nested} | ArrayLike<{element}>") } else { nested }
                }
                (shape, Side::Output) => {
                    let element = if element.contains('|') { format!("({element})") } else { element };
                    match shape {
                        [Dim::Fixed(size @ 1..=8)] => {
                            format!("[{}]", vec![element.as_str(); *size as usize].join(", "))
                        }
                        shape => element + &"[]".repeat(shape.len()),
                    }
                }
            }
        }
    }
}

fn element(field: &Field, dtype: Dtype, side: Side) -> String {
    match (dtype, side) {
        (Dtype::String, _) if !field.labels.is_empty() => {
            let labels: Vec<String> = field.labels.iter().map(|label| json!(label).to_string()).collect();
            labels.join(" | ")
        }
        (Dtype::String, _) => "string".to_owned(),
        (Dtype::Bool, _) => "boolean".to_owned(),
        (Dtype::I64, Side::Input) => "number | bigint".to_owned(),
        _ => "number".to_owned(),
    }
}

/// A field's type as messages name it, its unit, its range and what it means.
fn about(field: &Field) -> String {
    let unit = field.unit.as_deref().map(|unit| format!(" in {unit}")).unwrap_or_default();
    let range = field.range.map(|[low, high]| format!(", {low} to {high}")).unwrap_or_default();
    let meaning = field.description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    format!("{}{unit}{range}{meaning}", field.type_name())
}

fn comment(text: &str, indent: &str) -> String {
    // A manifest's words end no comment and no line.
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!("{indent}/** {} */\n", text.replace("*/", "* /"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_types_that_they_take_and_give() {
        let field = |text: serde_json::Value| -> Field { serde_json::from_value(text).expect("a field") };
        for (text, input, output) in [
            (json!({ "dtype": "f32" }), "number", "number"),
            (json!({ "dtype": "i64", "missing": true }), "number | bigint | null", "number | null"),
            (
                json!({ "dtype": "string", "labels": ["a", "b\"c"] }),
                "\"a\" | \"b\\\"c\"",
                "\"a\" | \"b\\\"c\"",
            ),
            (json!({ "dtype": "bool", "shape": [2] }), "ArrayLike<boolean>", "[boolean, boolean]"),
            (
                json!({ "dtype": "u8", "shape": [3, 9] }),
                "readonly (ArrayLike<number>)[] | ArrayLike<number>",
                "number[][]",
            ),
            (json!({ "dtype": "f32", "shape": ["h", 4] }), "readonly (ArrayLike<number>)[]", "number[][]"),
            (json!({}), "unknown", "any"),
        ] {
            let mut text = text;
            text["name"] = "x".into();
            let field = field(text);
            assert_eq!(
                (of(&field, Side::Input), of(&field, Side::Output)),
                (input.into(), output.into()),
                "{field:?}"
            );
        }
    }

    #[test]
    fn what_a_manifest_says_stays_within_its_comment() {
        assert_eq!(comment("a */ b\nc", ""), "/** a * / b c */\n");
    }
}
