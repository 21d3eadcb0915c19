//! The zoo of fitted scikit-learn estimators (`host/engine/tests/zoo`), asked through the sandbox.

use std::path::Path;

use ampoule_tests::{root, run, said};
use serde_json::{Map, Value};

/// What scikit-learn answers about one member.
pub struct Member {
    pub name: String,
    /// Named tensors: `name`, `dtype`, `shape` and `values`, row-major.
    pub inputs: Vec<Value>,
    pub outputs: Vec<Value>,
}

pub fn zoo() -> Vec<Member> {
    let answers = root().join("host/engine/tests/zoo/answers.json");
    let zoo: Value =
        serde_json::from_slice(&std::fs::read(answers).expect("it is there")).expect("it is JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let member = |member: &Value| Member {
        name: member["name"].as_str().expect("a name").to_owned(),
        inputs: list(&zoo["data"][member["data"].as_str().expect("a name")]),
        outputs: list(&member["outputs"]),
    };
    list(&zoo["members"]).iter().map(member).collect()
}

pub fn member(name: &str) -> Member {
    zoo().into_iter().find(|member| member.name == name).unwrap_or_else(|| panic!("no member {name}"))
}

/// The elements that row `row` of a tensor has.
fn row(tensor: &Value, row: usize) -> Vec<Value> {
    let shape: Vec<usize> = tensor["shape"]
        .as_array()
        .expect("a shape")
        .iter()
        .map(|axis| axis.as_u64().expect("a size") as usize)
        .collect();
    let width: usize = shape.iter().skip(1).product();
    tensor["values"].as_array().expect("values")[row * width..(row + 1) * width].to_vec()
}

impl Member {
    fn rows(&self) -> usize {
        self.inputs[0]["shape"][0].as_u64().expect("a size") as usize
    }

    pub fn model(&self) -> String {
        let path = root().join(format!("host/engine/tests/zoo/models/{}.onnx", self.name));
        path.to_string_lossy().into_owned()
    }

    pub fn seal(&self, folder: &Path) -> String {
        self.seal_with(folder, &[])
    }

    /// The same with more arguments for `ampoule seal`.
    pub fn seal_with(&self, folder: &Path, arguments: &[&str]) -> String {
        let file = format!("{}.wasm", self.name);
        let output = run(folder, &[&["seal", &self.model(), "-o", &file], arguments].concat());
        assert!(output.status.success(), "{}: {}", self.name, said(&output));
        file
    }

    /// An instance by name: a column is one value, several are an array, NaN is null.
    pub fn instance(&self, index: usize) -> Value {
        let value = |tensor: &Value| {
            let mut values = row(tensor, index);
            if tensor["dtype"] != "string" {
                values.iter_mut().filter(|value| **value == "nan").for_each(|value| *value = Value::Null);
            }
            if tensor["shape"][1] == 1 { values.remove(0) } else { Value::Array(values) }
        };
        let name = |tensor: &Value| tensor["name"].as_str().expect("a name").to_owned();
        Value::Object(self.inputs.iter().map(|tensor| (name(tensor), value(tensor))).collect::<Map<_, _>>())
    }

    pub fn instances(&self) -> Vec<Value> {
        (0..self.rows()).map(|index| self.instance(index)).collect()
    }

    /// The instances as a table.
    pub fn table(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let names: Vec<&str> =
            self.inputs.iter().map(|tensor| tensor["name"].as_str().expect("a name")).collect();
        let mut text = names.join(",") + "\n";
        for instance in self.instances() {
            let cell = |name: &&str| match &instance[name] {
                Value::Null => String::new(),
                Value::String(text) => quoted(text),
                value => value.to_string(),
            };
            text += &(names.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
        }
        text
    }

    /// Holds predictions to scikit-learn's answers: text and whole numbers equal, others within 1e-5 relative
    /// (absolute below 1), or the noise of float32 in ONNX Runtime where that is larger.
    pub fn hold(&self, predictions: &[Value]) {
        assert_eq!(predictions.len(), self.rows(), "{}", self.name);
        for (index, prediction) in predictions.iter().enumerate() {
            for output in &self.outputs {
                let name = output["name"].as_str().expect("a name");
                // Some references have the first output alone.
                let got = prediction.get(name).unwrap_or(prediction);
                let got = got.as_array().cloned().unwrap_or_else(|| vec![got.clone()]);
                let expected = row(output, index);
                let place = format!("{}: row {index}: {name}: expected {expected:?}, got {got:?}", self.name);
                assert_eq!(got.len(), expected.len(), "{place}");
                let float = output["dtype"].as_str().is_some_and(|dtype| dtype.starts_with('f'));
                let tolerance = output["noise"].as_f64().expect("a number").max(1e-5);
                for (got, expected) in got.iter().zip(&expected) {
                    match (got.as_f64(), expected.as_f64()) {
                        (Some(got), Some(expected)) if float => {
                            let near = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
                            assert!(near, "{place}");
                        }
                        _ => assert_eq!(got, expected, "{place}"),
                    }
                }
            }
        }
    }
}

/// JSON Lines.
pub fn json_lines(instances: &[Value]) -> String {
    instances.iter().map(|instance| format!("{instance}\n")).collect()
}
