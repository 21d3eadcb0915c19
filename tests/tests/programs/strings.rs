//! Graphs with strings, sealed without a manifest: through the sandbox they answer as scikit-learn does.

use std::process::Output;

use ampoule_tests::{Server, root, run, said};
use serde_json::{Value, json};

use super::zoo::{Member, json_lines, member, zoo};

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn every_member_with_strings_answers_as_scikit_learn_does() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let all = zoo();
    let with_strings = |member: &&Member| {
        let mut tensors = member.inputs.iter().chain(&member.outputs);
        member.inputs.len() > 1 || tensors.any(|tensor| tensor["dtype"] == "string")
    };
    let mut held = Vec::new();
    for member in all.iter().filter(with_strings) {
        let file = member.seal(folder.path());
        std::fs::write(folder.path().join("rows.jsonl"), json_lines(&member.instances())).expect("written");
        member.hold(&lines(&run(folder.path(), &["predict", &file, "rows.jsonl"])));
        held.push(member.name.as_str());
    }
    println!("{} members equal: {}", held.len(), held.join(", "));
    assert!(held.len() >= 28, "members have left the zoo");
}

#[test]
fn files_of_every_kind_have_columns_of_text() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for name in ["text_tfidf", "mixed_logistic"] {
        let member = member(name);
        let file = member.seal(folder.path());
        std::fs::create_dir_all(folder.path().join(name).join("in")).expect("a folder can be made");
        let path = |file: &str| folder.path().join(name).join("in").join(file);
        std::fs::write(path("rows.csv"), member.table()).expect("written");
        std::fs::write(path("rows.jsonl"), json_lines(&member.instances())).expect("written");
        // What is written beside the input's columns is a table again.
        let (table, parquet) = (format!("{name}/in/rows.csv"), format!("{name}/in/rows.parquet"));
        let output = run(folder.path(), &["predict", &file, &table, "-o", &parquet]);
        assert!(output.status.success(), "{}", said(&output));
        for input in ["rows.csv", "rows.jsonl", "rows.parquet"] {
            let output = run(folder.path(), &["predict", &file, &format!("{name}/in/{input}")]);
            member.hold(&lines(&output));
        }
        let output = run(folder.path(), &["batch", &file, &format!("{name}/in"), &format!("{name}/out")]);
        assert!(output.status.success(), "{}", said(&output));
        for input in ["rows.csv", "rows.jsonl", "rows.parquet"] {
            let object = folder.path().join(name).join("out").join(format!("{input}.jsonl"));
            let text = std::fs::read_to_string(&object)
                .unwrap_or_else(|cause| panic!("{}: {cause}", object.display()));
            let predictions: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
            member.hold(&predictions);
        }
    }
}

#[test]
fn text_is_served_over_http() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (text, mixed) = (member("text_tfidf"), member("mixed_logistic"));
    let files = [&text, &mixed].map(|member| folder.path().join(member.seal(folder.path())));
    let server = Server::start(&[&files[0].to_string_lossy(), &files[1].to_string_lossy()]);
    let ask = |model: &str, instances: Value| {
        server.post(&format!("/models/{model}/predictions"), &json!({ "instances": instances }).to_string())
    };
    for member in [&text, &mixed] {
        let answer = ask(&member.name, Value::Array(member.instances()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        member.hold(answer.json()["predictions"].as_array().expect("a list"));
    }
    // One input's value stands alone, by name, or as a row of one.
    let bare = text.instances().iter().map(|instance| instance["x"].clone()).collect::<Vec<_>>();
    let rows = bare.iter().map(|value| json!([value])).collect::<Vec<_>>();
    for instances in [bare, rows] {
        let answer = ask("text_tfidf", Value::Array(instances));
        assert_eq!(answer.status, 200, "{}", answer.text());
        text.hold(answer.json()["predictions"].as_array().expect("a list"));
    }
    let passenger = |name: &str, value: Value| {
        let mut instance = mixed.instance(0);
        instance[name] = value;
        json!([instance])
    };
    for (model, instances, expected) in [
        ("text_tfidf", json!([{ "x": null }]), "instances[0].x: expected a string, got null"),
        ("text_tfidf", json!(["a", null]), "instances[1]: expected a string, got null"),
        ("text_tfidf", json!([["a", "b"]]), "instances[0]: expected 1 values, got more"),
        ("text_tfidf", json!([[]]), "instances[0]: expected 1 values, got 0"),
        ("text_tfidf", json!([[["a"]]]), "instances[0][0]: expected string, got an array"),
        ("text_tfidf", json!([7]), "instances[0]: expected a string, got 7"),
        ("mixed_logistic", passenger("sex", Value::Null), "instances[0].sex: expected a string, got null"),
        ("mixed_logistic", passenger("sex", json!(1)), "instances[0].sex: expected a string, got 1"),
        ("mixed_logistic", passenger("age", json!("x")), "instances[0].age: expected a number, got \"x\""),
        // The graph fills in ages and fares, and no ranks.
        (
            "mixed_logistic",
            passenger("rank", Value::Null),
            "instances[0].rank: expected an integer, got null",
        ),
    ] {
        let answer = ask(model, instances);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("invalid_instance")),
            "{}",
            answer.text()
        );
        assert!(
            answer.text().contains(&expected.replace('"', "\\\"")),
            "expected {expected:?} in {}",
            answer.text()
        );
    }
    let answer = ask("mixed_logistic", passenger("age", Value::Null));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let openapi = server.get("/openapi.json").json();
    let schemas = &openapi["components"]["schemas"];
    let named = &schemas["mixed_logistic.instance"]["anyOf"][0];
    assert_eq!(named["properties"]["sex"]["type"], "string", "{schemas}");
    assert_eq!(named["properties"]["age"]["type"], json!(["number", "null"]), "{schemas}");
    assert_eq!(named["required"], json!(["rank", "sex", "port"]), "{schemas}");
    assert_eq!(schemas["text_tfidf.instance"]["anyOf"][0]["type"], "string", "{schemas}");
    assert_eq!(schemas["text_tfidf.instance"]["anyOf"][2]["maxItems"], 1, "{schemas}");
}

#[test]
fn any_text_comes_back_as_it_went_in() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let model = root().join("tests/models/echo/model.onnx");
    let output = run(folder.path(), &["seal", &model.to_string_lossy(), "--name", "echo"]);
    assert!(output.status.success(), "{}", said(&output));
    let server =
        Server::start(&[&folder.path().join("echo.wasm").to_string_lossy(), "--max-tensor-bytes", "8388608"]);
    let mut many = vec![json!("x"); 20_000];
    // As wide as this one, all of them would take 20 GB.
    many[10_000] = json!("long ".repeat(200_000));
    for instances in [
        json!([]),
        json!([""]),
        json!(["", "", "a"]),
        json!(["\0", "a\0b", "end\0", "\0begin"]),
        json!(["ü€𝄞", "👩‍👩‍👧", "\u{feff}", "\u{10ffff}", "a\r\nb\tc\"\\"]),
        Value::Array(many),
    ] {
        let answer = server.post("/predictions", &json!({ "instances": instances }).to_string());
        assert_eq!(answer.status, 200, "{:.300}", answer.text());
        assert!(answer.json()["predictions"] == instances, "{:.300}", answer.text());
    }
    let large = json!({ "instances": ["y".repeat(9 << 20)] }).to_string();
    let answer = server.post("/predictions", &large);
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (500, Some("tensors_too_large")),
        "{}",
        answer.text()
    );
}

/// Seals a manifest beside a member's model and predicts `rows`, JSON Lines.
fn with_manifest(name: &str, manifest: &str, rows: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::copy(member(name).model(), folder.path().join("model.onnx")).expect("copied");
    std::fs::write(folder.path().join("ampoule.toml"), manifest).expect("written");
    std::fs::write(folder.path().join("rows.jsonl"), rows).expect("written");
    let output = run(folder.path(), &["seal", ".", "-o", "model.wasm"]);
    assert!(output.status.success(), "{}", said(&output));
    run(folder.path(), &["predict", "model.wasm", "rows.jsonl"])
}

#[test]
fn a_missing_string_is_what_the_manifest_makes_of_it() {
    let manifest =
        "model = \"model.onnx\"\ninputs = [{ name = \"x\", dtype = \"string\", missing = true }]\n";
    let impute = "[pipeline]\ntable = [{ impute = { columns = [\"x\"], values = [\"dull, dull\"] } }]\n";
    let rows = "{\"x\": \"dull, dull\"}\n{\"x\": null}\n{}\n";
    let filled = lines(&with_manifest("text_tfidf", &format!("{manifest}{impute}"), rows));
    assert_eq!(filled.len(), 3);
    assert!(filled[0].is_object() && filled[0] == filled[1] && filled[0] == filled[2], "{filled:?}");
    let refused = with_manifest("text_tfidf", manifest, rows);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let why =
        "input \"x\" has a missing string, which graphs don't know: expected a string (or an `impute` step";
    assert!(said(&refused).contains(why), "{}", said(&refused));
}

#[test]
fn columns_of_text_stand_side_by_side_in_one_input() {
    let member = member("one_hot");
    let manifest = "model = \"model.onnx\"\n\
        inputs = [{ name = \"colour\", dtype = \"string\" }, { name = \"size\", dtype = \"string\" }]\n";
    let named = |instance: &Value| json!({ "size": instance["x"][1], "colour": instance["x"][0] });
    let rows: Vec<Value> = member.instances().iter().map(named).collect();
    member.hold(&lines(&with_manifest("one_hot", manifest, &json_lines(&rows))));
}
