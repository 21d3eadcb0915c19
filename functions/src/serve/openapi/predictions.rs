//! The predictions of one model: its operation, and the schemas that this refers to.

use ampoule_host::{Dim, Field, Form, Manifest};
use serde_json::{Map, Value, json};

use super::{failures, schema};

/// Every status of a refusal that a prediction can meet.
const FAILURES: [u16; 13] = [400, 401, 403, 404, 405, 406, 408, 413, 415, 422, 500, 503, 504];

/// `POST …/predictions`; `id` is unique in the document.
pub fn operation(model: &Manifest, id: &str) -> Value {
    let mut responses = failures::references(&FAILURES);
    responses.insert("200".to_owned(), answer(model));
    let mut operation = json!({
        "operationId": id,
        "summary": format!("Predictions of {} {}", model.name, model.version),
        "tags": [model.name],
        "requestBody": {
            "required": true,
            "description": "May be compressed (Content-Encoding: gzip)",
            "content": bodies(model),
        },
        "responses": responses,
    });
    if let Some(description) = description(model) {
        operation["description"] = Value::String(description);
    }
    operation
}

/// What the manifest tells people about the model.
pub fn description(model: &Manifest) -> Option<String> {
    let licence = model.licence.as_ref().map(|licence| format!("Licence: {licence}"));
    let source = model.source.as_ref().map(|source| format!("Source: {source}"));
    let said: Vec<String> = [model.description.clone(), licence, source].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join("\n\n"))
}

/// The named schemas of `model`. No other model has them: a kind has no dot, and ends the name.
pub fn schemas(model: &Manifest) -> [(String, Value); 4] {
    let array = |of: &str| json!({ "type": "array", "items": reference(model, of) });
    let request = json!({
        "type": "object",
        "properties": {
            "instances": array("instance"),
            "parameters": {
                "type": ["object", "null"],
                "description": "Settings of this request; they mean something to the model only",
            },
        },
        "required": ["instances"],
        "additionalProperties": false,
    });
    let answer = json!({
        "type": "object",
        "properties": { "predictions": array("prediction") },
        "required": ["predictions"],
    });
    [
        ("instance", schema::instance(&model.inputs)),
        ("request", request),
        ("prediction", schema::prediction(&model.outputs)),
        ("answer", answer),
    ]
    .map(|(kind, schema)| (format!("{}.{kind}", model.name), schema))
}

fn reference(model: &Manifest, kind: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}.{kind}", model.name) })
}

/// What a request's body may be, by media type.
fn bodies(model: &Manifest) -> Map<String, Value> {
    let mut json = json!({ "schema": reference(model, "request") });
    if !model.samples.is_empty() {
        let example = |(index, sample): (usize, &Value)| {
            (format!("sample-{}", index + 1), json!({ "value": { "instances": [sample] } }))
        };
        json["examples"] = Value::Object(model.samples.iter().enumerate().map(example).collect());
    }
    let lines = json!({ "schema": lines("instance") });
    let mut bodies =
        Map::from_iter([("application/json".to_owned(), json), ("application/jsonlines".to_owned(), lines)]);
    if is_table(&model.inputs) {
        let what = "Rows of instances (RFC 4180). With a header, columns are found by name; \
                    without one they are the inputs in order. The first row is a header if it holds the \
                    name of an input, unless the type says header=present or header=absent";
        let mut csv = json!({ "schema": { "type": "string", "description": what } });
        if let Some(table) = table(model) {
            csv["example"] = Value::String(table);
        }
        bodies.insert("text/csv".to_owned(), csv);
    }
    for media in model.takes_media().into_iter().flatten().filter(|media| media.starts_with("image/")) {
        bodies.insert(media.clone(), json!({}));
    }
    bodies
}

fn lines(of: &str) -> Value {
    json!({ "type": "string", "description": format!("One {of} in JSON on each line") })
}

/// Whether instances fit into the rows of a table.
fn is_table(inputs: &[Field]) -> bool {
    inputs.iter().all(|input| matches!(input.form(), Form::Tensor(_, [] | [Dim::Fixed(_)])))
}

/// The samples as a table; `None` where there are none or one doesn't fit.
fn table(model: &Manifest) -> Option<String> {
    let inputs = &model.inputs;
    let mut writer = csv::Writer::from_writer(Vec::new());
    if inputs.iter().all(|input| input.shape.is_empty()) {
        writer.write_record(inputs.iter().map(|input| &input.name)).ok()?;
    }
    for sample in &model.samples {
        writer.write_record(row(inputs, sample)?).ok()?;
    }
    let text = String::from_utf8(writer.into_inner().ok()?).ok()?;
    (!model.samples.is_empty()).then_some(text)
}

/// An instance's values as cells.
fn row(inputs: &[Field], sample: &Value) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let value = match sample {
            Value::Object(named) => named.get(&input.name).unwrap_or(&Value::Null),
            Value::Array(ordered) if inputs.len() > 1 => ordered.get(index)?,
            bare => bare,
        };
        match value {
            Value::Array(values) => cells.extend(values.iter().map(cell).collect::<Option<Vec<_>>>()?),
            value => cells.push(cell(value)?),
        }
    }
    Some(cells)
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn answer(model: &Manifest) -> Value {
    let json = json!({ "schema": reference(model, "answer") });
    let lines = json!({ "schema": lines("prediction") });
    let mut content =
        Map::from_iter([("application/json".to_owned(), json), ("application/jsonlines".to_owned(), lines)]);
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/RequestId" } });
    let mut description = "One prediction for each instance, in their order".to_owned();
    if let [output] = model.outputs.as_slice()
        && let Form::Media(types) = output.form()
    {
        description.push_str(". A single one comes as it is where Accept asks for its type first");
        content.extend(types.iter().map(|media| (media.clone(), json!({}))));
        headers["x-prediction-metadata"] = json!({
            "description": "With a prediction that comes as it is: what is said about it, a JSON object",
            "schema": { "type": "string", "contentMediaType": "application/json" },
        });
    } else {
        let what = "One row for each prediction, without a header (RFC 4180)";
        content.insert("text/csv".to_owned(), json!({ "schema": { "type": "string", "description": what } }));
    }
    json!({ "description": description, "headers": headers, "content": content })
}
