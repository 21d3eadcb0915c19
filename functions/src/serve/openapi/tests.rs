//! Tests of the document as a whole, on an iris-like and a picture model.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn manifest(value: Value) -> Manifest {
    Manifest::from_json(value.to_string().as_bytes()).expect("a manifest of these tests is valid")
}

fn iris() -> Manifest {
    let input = |name: &str| {
        let description = format!("The {name}");
        json!({ "name": name, "dtype": "f32", "unit": "cm", "range": [0, 30], "description": description })
    };
    let inputs = ["sepal_length", "sepal_width", "petal_length", "petal_width"].map(input);
    let labels = ["setosa", "versicolor", "virginica"];
    manifest(json!({
        "ampoule": 1,
        "name": "iris",
        "version": "1.2.0",
        "description": "Tells three kinds of iris apart",
        "licence": "Apache-2.0",
        "inputs": inputs,
        "outputs": [
            { "name": "label", "dtype": "string", "labels": labels },
            { "name": "probabilities", "dtype": "f32", "shape": [3], "range": [0, 1], "labels": labels },
        ],
        "samples": [
            { "sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2 },
            [6.7, 3.0, 5.2, 2.3],
        ],
    }))
}

fn clouds() -> Manifest {
    manifest(json!({
        "ampoule": 1,
        "name": "clouds",
        "version": "0.1.0",
        "inputs": [{ "name": "image", "media": ["image/png", "image/jpeg"] }],
        "outputs": [{ "name": "mask", "media": ["image/png"], "labels": ["clear", "cloud"] }],
    }))
}

fn with_input(input: &Value) -> Value {
    let manifest = manifest(json!({
        "ampoule": 1, "name": "m", "version": "1", "inputs": [input], "outputs": [],
    }));
    document(&[&manifest])["components"]["schemas"]["m.instance"].clone()
}

/// Every object of the document.
fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| walk(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_has_a_target_and_every_operation_its_own_id() {
    let document = document(&[&iris(), &clouds()]);
    let (mut references, mut ids) = (Vec::new(), Vec::new());
    walk(&document, &mut |members| {
        references.extend(members.get("$ref").and_then(Value::as_str));
        ids.extend(members.get("operationId").and_then(Value::as_str));
    });
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("references stay within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    assert_eq!(ids.len(), 8 + 4);
}

#[test]
fn the_first_model_and_every_model_by_name_have_a_route() {
    let paths = document(&[&iris(), &clouds()])["paths"].clone();
    let body =
        |path: &str| paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    assert_eq!(body("/predictions"), json!({ "$ref": "#/components/schemas/iris.request" }));
    assert_eq!(body("/models/iris/predictions"), body("/predictions"));
    assert_eq!(body("/invocations"), body("/predictions"));
    assert_eq!(body("/models/clouds/predictions"), json!({ "$ref": "#/components/schemas/clouds.request" }));
    let name = &paths["/models/{name}"]["get"]["parameters"][0]["schema"];
    assert_eq!(name["enum"], json!(["iris", "clouds"]));
}

#[test]
fn several_inputs_come_by_name_or_in_order() {
    let schemas = document(&[&iris()])["components"]["schemas"].clone();
    let [by_name, by_position] = [0, 1].map(|form| schemas["iris.instance"]["anyOf"][form].clone());
    assert_eq!(by_name["required"], json!(["sepal_length", "sepal_width", "petal_length", "petal_width"]));
    assert_eq!(
        by_name["properties"]["petal_width"],
        json!({
            "type": "number", "format": "float", "minimum": 0, "maximum": 30,
            "description": "The petal_width (f32, cm)",
        })
    );
    assert_eq!(by_position["minItems"], 4);
    assert_eq!(by_position["prefixItems"][3], by_name["properties"]["petal_width"]);
}

#[test]
fn several_outputs_are_an_object_and_one_is_bare() {
    let schemas = document(&[&iris(), &clouds()])["components"]["schemas"].clone();
    let iris = &schemas["iris.prediction"];
    assert_eq!(iris["required"], json!(["label", "probabilities"]));
    assert_eq!(iris["properties"]["label"]["enum"], json!(["setosa", "versicolor", "virginica"]));
    let probabilities = &iris["properties"]["probabilities"];
    assert_eq!((&probabilities["minItems"], &probabilities["maxItems"]), (&json!(3), &json!(3)));
    assert_eq!(probabilities["items"]["maximum"], 1);
    assert_eq!(probabilities["description"], "f32[3], classes in order: setosa, versicolor, virginica");
    assert_eq!(schemas["clouds.prediction"]["properties"]["b64"]["contentEncoding"], "base64");
}

#[test]
fn pictures_come_and_go_as_they_are_or_in_base64() {
    let document = document(&[&clouds()]);
    let operation = &document["paths"]["/predictions"]["post"];
    let types = |content: &Value| content.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let sent = types(&operation["requestBody"]["content"]).expect("an object");
    assert_eq!(sent, ["application/json", "application/jsonlines", "image/jpeg", "image/png"]);
    let answered = types(&operation["responses"]["200"]["content"]).expect("an object");
    assert_eq!(answered, ["application/json", "application/jsonlines", "image/png"]);
    let table = super::document(&[&iris()])["paths"]["/predictions"]["post"]["responses"]["200"].clone();
    let answered = types(&table["content"]).expect("an object");
    assert_eq!(answered, ["application/json", "application/jsonlines", "text/csv"]);
    assert!(operation["responses"]["200"]["headers"]["x-prediction-metadata"].is_object());
    let forms = &document["components"]["schemas"]["clouds.instance"]["anyOf"];
    assert_eq!(forms[0]["properties"]["content_type"]["enum"], json!(["image/png", "image/jpeg"]));
    assert_eq!(forms[1]["properties"]["image"], forms[0]);
}

#[test]
fn samples_are_examples_in_json_and_as_a_table() {
    let document = document(&[&iris(), &clouds()]);
    let content = &document["paths"]["/predictions"]["post"]["requestBody"]["content"];
    assert_eq!(
        content["application/json"]["examples"]["sample-2"]["value"],
        json!({ "instances": [[6.7, 3.0, 5.2, 2.3]] })
    );
    let table = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n";
    assert_eq!(content["text/csv"]["example"], table);
    let pictures = &document["paths"]["/models/clouds/predictions"]["post"]["requestBody"]["content"];
    assert!(pictures.get("text/csv").is_none());
}

#[test]
fn a_single_input_is_bare_or_by_name() {
    struct Case {
        input: Value,
        bare: Value,
    }
    let array = |items: Value, size: u32| json!({ "type": "array", "items": items, "minItems": size, "maxItems": size });
    for Case { input, mut bare } in [
        Case {
            input: json!({ "dtype": "u8" }),
            bare: json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        },
        Case { input: json!({ "dtype": "bool" }), bare: json!({ "type": "boolean" }) },
        Case { input: json!({ "dtype": "i64" }), bare: json!({ "type": "integer", "format": "int64" }) },
        Case {
            input: json!({ "dtype": "i8", "range": [-1000, 7.5] }),
            bare: json!({ "type": "integer", "minimum": -128, "maximum": 7.5 }),
        },
        Case {
            input: json!({ "dtype": "f64", "missing": true }),
            bare: json!({ "type": ["number", "null"], "format": "double" }),
        },
        Case {
            input: json!({ "dtype": "string", "labels": ["a", "b"], "missing": true }),
            bare: json!({ "type": ["string", "null"], "enum": ["a", "b", null] }),
        },
        Case {
            input: json!({ "dtype": "i16", "missing": true }),
            bare: json!({ "type": "integer", "minimum": -32768, "maximum": 32767 }),
        },
        Case {
            input: json!({ "dtype": "bool", "shape": [2, "n", 3] }),
            bare: array(json!({ "type": "array", "items": array(json!({ "type": "boolean" }), 3) }), 2),
        },
    ] {
        let mut named = input.clone();
        named["name"] = json!("x");
        let forms = with_input(&named)["anyOf"].clone();
        bare["description"] = forms[0]["description"].clone();
        assert_eq!(forms[0], bare, "{input}");
        assert_eq!(forms[1]["properties"]["x"], bare, "{input}");
    }
}

#[test]
fn an_input_that_may_be_missing_may_be_left_out() {
    let required = |input: Value| with_input(&input)["anyOf"][1]["required"].clone();
    assert_eq!(required(json!({ "name": "x", "dtype": "f32", "missing": true })), json!([]));
    assert_eq!(required(json!({ "name": "x", "dtype": "f32", "shape": [4], "missing": true })), json!([]));
    // How many values would be missing is not known.
    assert_eq!(
        required(json!({ "name": "x", "dtype": "f32", "shape": ["n"], "missing": true })),
        json!(["x"])
    );
    assert_eq!(required(json!({ "name": "x", "dtype": "f32" })), json!(["x"]));
}

#[test]
fn any_json_has_no_schema_but_a_description() {
    let schema = with_input(&json!({ "name": "query", "description": "A question" }));
    assert_eq!(schema, json!({ "description": "A question (any JSON value)" }));
}

#[test]
fn long_lists_of_classes_are_cut_in_descriptions() {
    let labels: Vec<String> = (0..1000).map(|class| format!("c{class}")).collect();
    let schema = with_input(&json!({ "name": "x", "dtype": "f32", "labels": labels }));
    let description = schema["anyOf"][0]["description"].as_str().expect("a description").to_owned();
    assert!(description.ends_with("c18, c19 and 980 more"), "{description}");
}

#[test]
fn a_refusal_for_load_says_when_to_come_back() {
    let document = document(&[&iris()]);
    let responses = &document["paths"]["/predictions"]["post"]["responses"];
    for status in ["400", "401", "403", "404", "405", "406", "408", "413", "415", "422", "500", "503", "504"]
    {
        let reference = responses[status]["$ref"].as_str().expect("a reference");
        let response = document.pointer(&reference[1..]).expect("a response");
        assert_eq!(response["headers"].get("Retry-After").is_some(), status == "503", "{status}");
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema["allOf"][1]["properties"]["code"]["enum"][0].is_string(), "{status}");
    }
    assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
}
