//! The Open Inference Protocol, KServe's V2: instances as tensors, and predictions out of tensors.
//! <https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md>

use ampoule_host::{Dim, Dtype, Field, Form, Manifest};
use anyhow::{Context as _, bail};
use reqwest::Url;
use serde_json::{Value, json};

use super::compare::{Answer, cut};
use super::http::{INSTANCES, Protocol, Server};
use super::instances::member;

/// Asks the model at `url`, which ends with `/infer`.
///
/// # Errors
/// The signature has no form in tensors, no answer came, or one that is none.
pub fn ask(
    server: &Server<'_>,
    url: &Url,
    manifest: &Manifest,
    instances: &[Value],
) -> anyhow::Result<Vec<Answer>> {
    let mut model = url.clone();
    model.set_path(url.path().strip_suffix("/infer").unwrap_or_default());
    server.ask(url, &Tensors::of(manifest, server.get(&model)?.as_ref())?, instances)
}

/// Whether there is a form for an instance: numbers have none for null.
pub fn takes(instance: &Value) -> bool {
    match instance {
        Value::Null => false,
        Value::Array(items) => items.iter().all(takes),
        Value::Object(members) => members.values().all(takes),
        _ => true,
    }
}

/// How a signature's instances become tensors.
struct Tensors<'a> {
    manifest: &'a Manifest,
    inputs: Vec<Tensor>,
}

/// One input of a request.
struct Tensor {
    name: String,
    datatype: String,
    /// The positions of the fields that lie side by side in it; one field has a tensor for itself.
    fields: Vec<usize>,
    /// How many axes the server says that it has.
    rank: Option<usize>,
}

/// What a server says of an input.
#[derive(Clone, Copy)]
struct Described<'v> {
    name: &'v str,
    datatype: &'v str,
    rank: Option<usize>,
}

impl<'a> Tensors<'a> {
    /// `described` is what the server says about the model: its only input takes all columns, if it has one input and there
    /// are several columns. A server that says nothing is taken for one of those that take a matrix.
    fn of(manifest: &'a Manifest, described: Option<&'a Value>) -> anyhow::Result<Self> {
        let fields = &manifest.inputs;
        let input = |input: &'a Value| {
            Some(Described {
                name: input.get("name")?.as_str()?,
                datatype: input.get("datatype")?.as_str()?,
                rank: input.get("shape").and_then(Value::as_array).map(Vec::len),
            })
        };
        let described = described.and_then(|facts| facts.get("inputs")?.as_array());
        let described: Vec<Described<'_>> = described.into_iter().flatten().filter_map(input).collect();
        let mut dtypes = Vec::new();
        for field in fields {
            let Form::Tensor(dtype, shape) = field.form() else {
                bail!("input \"{}\" is {}: the V2 protocol has tensors alone", field.name, field.type_name());
            };
            dtypes.push((dtype, shape));
        }
        let columns = dtypes
            .iter()
            .all(|(dtype, shape)| shape.is_empty() && !matches!(dtype, Dtype::String | Dtype::Bool));
        let all = || (0..fields.len()).collect();
        let inputs = match described.as_slice() {
            [Described { name, datatype, rank }] if fields.len() == 1 || columns => {
                let (name, datatype) = ((*name).to_owned(), (*datatype).to_owned());
                vec![Tensor { name, datatype, fields: all(), rank: *rank }]
            }
            [] if columns && fields.len() > 1 => {
                let same = dtypes.windows(2).all(|pair| matches!(pair, [one, other] if one.0 == other.0));
                let common = dtypes.first().filter(|_| same).map_or(Dtype::F64, |(dtype, _)| *dtype);
                vec![Tensor {
                    name: "inputs".to_owned(),
                    datatype: datatype(common).to_owned(),
                    fields: all(),
                    rank: None,
                }]
            }
            _ => {
                let tensor = |(index, (field, (dtype, _))): (usize, (&Field, &(Dtype, &[Dim])))| {
                    let known = described.iter().find(|described| described.name == field.name);
                    let datatype = known.map_or(datatype(*dtype), |known| known.datatype).to_owned();
                    let (name, rank) = (field.name.clone(), known.and_then(|known| known.rank));
                    Tensor { name, datatype, fields: vec![index], rank }
                };
                fields.iter().zip(&dtypes).enumerate().map(tensor).collect()
            }
        };
        Ok(Self { manifest, inputs })
    }

    /// One input of a request for `instances`.
    fn input(&self, tensor: &Tensor, instances: &[Value]) -> anyhow::Result<Value> {
        let (mut data, mut shape) = (Vec::new(), None);
        for (index, instance) in instances.iter().enumerate() {
            for &position in &tensor.fields {
                let name = self.manifest.inputs.get(position).map_or("", |field| field.name.as_str());
                let value = member(self.manifest, instance, position)
                    .with_context(|| format!("instances[{index}].{name}: expected a value, got none"))?;
                let own = dims(value);
                let before = data.len();
                flatten(value, &mut data);
                if data.get(before..).unwrap_or_default().iter().any(Value::is_null) {
                    bail!("instances[{index}].{name}: the V2 protocol has no form for null");
                }
                if *shape.get_or_insert_with(|| own.clone()) != own {
                    bail!("instances[{index}].{name}: the instances of one request differ in shape");
                }
            }
        }
        let mut axes = vec![instances.len()];
        axes.extend(if tensor.fields.len() > 1 {
            vec![tensor.fields.len()]
        } else {
            shape.unwrap_or_default()
        });
        // A column of its own is often described as a matrix of one.
        if tensor.rank == Some(axes.len() + 1) {
            axes.push(1);
        }
        Ok(json!({ "name": tensor.name, "datatype": tensor.datatype, "shape": axes, "data": data }))
    }
}

impl Protocol for Tensors<'_> {
    fn at_once(&self) -> usize {
        let open = |field: &Field| field.shape.iter().any(|axis| matches!(axis, Dim::Symbol(_)));
        // Instances of different sizes make no tensor.
        if self.manifest.inputs.iter().any(open) { 1 } else { INSTANCES }
    }

    fn body(&self, instances: &[Value]) -> anyhow::Result<String> {
        let inputs: anyhow::Result<Vec<Value>> =
            self.inputs.iter().map(|tensor| self.input(tensor, instances)).collect();
        Ok(json!({ "inputs": inputs? }).to_string())
    }

    fn predictions(&self, answer: Value, asked: usize) -> anyhow::Result<Vec<Value>> {
        let outputs = answer.get("outputs").and_then(Value::as_array);
        let outputs = outputs
            .with_context(|| format!("expected {{\"outputs\": […]}}, got {}", cut(&answer.to_string())))?;
        let fields = &self.manifest.outputs;
        let name = |output: &Value| output.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut columns = Vec::new();
        for field in fields {
            let named = outputs.iter().find(|output| name(output) == field.name);
            let only = match (fields.as_slice(), outputs.as_slice()) {
                ([_], [only]) => Some(only),
                _ => None,
            };
            if let Some(output) = named.or(only) {
                let values =
                    rows(output, field, asked).with_context(|| format!("output \"{}\"", name(output)))?;
                columns.push((&field.name, values));
            }
        }
        if columns.is_empty() {
            let expected: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            let got: Vec<String> = outputs.iter().map(name).collect();
            bail!("expected outputs named {}, got {}", expected.join(", "), cut(&got.join(", ")));
        }
        let prediction = |index: usize| {
            let value = |values: &[Value]| values.get(index).cloned().unwrap_or_default();
            match columns.as_slice() {
                [(_, values)] if fields.len() == 1 => value(values),
                _ => columns.iter().map(|(name, values)| ((*name).clone(), value(values))).collect(),
            }
        };
        Ok((0..asked).map(prediction).collect())
    }
}

/// What a tensor says of each of `asked` instances.
fn rows(output: &Value, field: &Field, asked: usize) -> anyhow::Result<Vec<Value>> {
    let mut data = Vec::new();
    flatten(output.get("data").context("expected data, got none")?, &mut data);
    let shape: Option<Vec<usize>> = output.get("shape").and_then(Value::as_array).and_then(|axes| {
        axes.iter().map(|axis| axis.as_u64().and_then(|size| usize::try_from(size).ok())).collect()
    });
    let shape = shape.context("expected a shape of whole numbers")?;
    let [first, rest @ ..] = shape.as_slice() else { bail!("expected a shape with a batch axis, got []") };
    let width = rest.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis));
    // Nothing of a size that the data doesn't have is made.
    let whole = |width: &usize| *width > 0 && width.checked_mul(asked) == Some(data.len());
    let width = width.filter(|width| *first == asked && whole(width)).with_context(|| {
        let shape = cut(&format!("{shape:?}"));
        format!("expected {asked} predictions, got shape {shape} with {} values", data.len())
    })?;
    let own: Option<Vec<usize>> = field
        .shape
        .iter()
        .map(|axis| match axis {
            Dim::Fixed(size) => usize::try_from(*size).ok(),
            Dim::Symbol(_) => None,
        })
        .collect();
    let shape = own.filter(|own| own.iter().product::<usize>() == width).unwrap_or_else(|| rest.to_vec());
    // The index of a class stands for its label.
    let labelled = |value: Value| match value.as_u64() {
        Some(index) if field.dtype == Some(Dtype::String) => {
            let label = usize::try_from(index).ok().and_then(|index| field.labels.get(index));
            label.map_or(value, |label| json!(label))
        }
        _ => value,
    };
    let mut values = data.into_iter().map(labelled);
    Ok((0..asked).map(|_| nested(&shape, &mut values)).collect())
}

/// Row-major values as arrays within arrays.
fn nested(shape: &[usize], values: &mut impl Iterator<Item = Value>) -> Value {
    match shape {
        [] => values.next().unwrap_or_default(),
        [size, rest @ ..] => (0..*size).map(|_| nested(rest, values)).collect(),
    }
}

/// The sizes of arrays within arrays, by the first of each.
fn dims(value: &Value) -> Vec<usize> {
    let (mut value, mut dims) = (value, Vec::new());
    while let Value::Array(items) = value {
        dims.push(items.len());
        let Some(first) = items.first() else { break };
        value = first;
    }
    dims
}

fn flatten(value: &Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        other => into.push(other.clone()),
    }
}

fn datatype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BOOL",
        Dtype::U8 => "UINT8",
        Dtype::I8 => "INT8",
        Dtype::I16 => "INT16",
        Dtype::I32 => "INT32",
        Dtype::I64 => "INT64",
        Dtype::F16 => "FP16",
        Dtype::F32 => "FP32",
        Dtype::F64 => "FP64",
        Dtype::String => "BYTES",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(inputs: Value, outputs: Value) -> Manifest {
        let manifest =
            json!({ "ampoule": 1, "name": "m", "version": "1", "inputs": inputs, "outputs": outputs });
        Manifest::from_json(manifest.to_string().as_bytes()).expect("a manifest")
    }

    fn body(tensors: &Tensors<'_>, instances: Value) -> Value {
        let text = tensors.body(instances.as_array().expect("a list")).expect("there is a form");
        serde_json::from_str::<Value>(&text).expect("it is JSON")["inputs"].clone()
    }

    #[test]
    fn columns_are_a_matrix_where_the_server_takes_one() {
        let inputs = json!([{ "name": "a", "dtype": "f32" }, { "name": "b", "dtype": "i64" }]);
        let manifest = manifest(inputs, json!([]));
        let instances = json!([[0.5, 1], { "b": 3, "a": 2 }]);
        let one = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [-1, 2] }] });
        for (described, name, datatype) in [(None, "inputs", "FP64"), (Some(&one), "x", "FP32")] {
            let tensors = Tensors::of(&manifest, described).expect("it has a form");
            assert_eq!(
                body(&tensors, instances.clone()),
                json!([{ "name": name, "datatype": datatype, "shape": [2, 2], "data": [0.5, 1, 2, 3] }])
            );
        }
        let two = json!({ "inputs": [
            { "name": "b", "datatype": "INT32", "shape": [-1, 1] },
            { "name": "a", "datatype": "FP32", "shape": [-1] },
        ] });
        let tensors = Tensors::of(&manifest, Some(&two)).expect("it has a form");
        assert_eq!(
            body(&tensors, instances),
            json!([
                { "name": "a", "datatype": "FP32", "shape": [2], "data": [0.5, 2] },
                { "name": "b", "datatype": "INT32", "shape": [2, 1], "data": [1, 3] },
            ])
        );
    }

    #[test]
    fn what_tensors_cant_say_is_named() {
        let media = manifest(json!([{ "name": "image", "media": ["image/png"] }]), json!([]));
        let error = Tensors::of(&media, None).err().expect("there is no form").to_string();
        assert_eq!(error, "input \"image\" is image/png: the V2 protocol has tensors alone");
        let pixels =
            manifest(json!([{ "name": "x", "dtype": "f32", "shape": [2], "missing": true }]), json!([]));
        let tensors = Tensors::of(&pixels, None).expect("it has a form");
        assert_eq!(
            body(&tensors, json!([[1, 2], [3, 4]])),
            json!([{ "name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4] }])
        );
        for (instances, expected) in [
            (json!([[1, null]]), "instances[0].x: the V2 protocol has no form for null"),
            (json!([[1, 2], [3]]), "instances[1].x: the instances of one request differ in shape"),
        ] {
            let error = tensors.body(instances.as_array().expect("a list")).expect_err(expected).to_string();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn predictions_are_taken_by_name() {
        let outputs = json!([
            { "name": "label", "dtype": "string", "labels": ["no", "yes"] },
            { "name": "scores", "dtype": "f32", "shape": [2] },
        ]);
        let manifest = manifest(json!([{ "name": "x", "dtype": "f32" }]), outputs);
        let tensors = Tensors::of(&manifest, None).expect("it has a form");
        let answer = json!({ "outputs": [
            { "name": "scores", "datatype": "FP32", "shape": [2, 2], "data": [[0.25, 0.75], [1, 0]] },
            { "name": "label", "datatype": "INT64", "shape": [2, 1], "data": [1, 0] },
            { "name": "other", "datatype": "INT64", "shape": [1], "data": [7] },
        ] });
        assert_eq!(
            tensors.predictions(answer, 2).expect("they are there"),
            [json!({ "label": "yes", "scores": [0.25, 0.75] }), json!({ "label": "no", "scores": [1, 0] }),]
        );
        for (answer, expected) in [
            (json!([]), "expected {\"outputs\": […]}, got []"),
            (json!({ "outputs": [{ "name": "p" }] }), "expected outputs named label, scores, got p"),
            (
                json!({ "outputs": [{ "name": "label", "shape": [3], "data": [1, 1, 1] }] }),
                "output \"label\": expected 2 predictions, got shape [3] with 3 values",
            ),
            (
                json!({ "outputs": [{ "name": "label", "shape": [2, 1u64 << 60, 0], "data": [] }] }),
                "output \"label\": expected 2 predictions, got shape [2, 1152921504606846976, 0] with 0 values",
            ),
        ] {
            let error = format!("{:#}", tensors.predictions(answer, 2).expect_err(expected));
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn an_instance_with_null_is_not_asked_for() {
        for (instance, expected) in [
            (json!([1, [2, 3]]), true),
            (json!({ "a": "x" }), true),
            (json!([1, null]), false),
            (json!({ "a": [null] }), false),
        ] {
            assert_eq!(takes(&instance), expected, "{instance}");
        }
    }

    #[test]
    fn a_single_output_may_have_any_name() {
        let manifest =
            manifest(json!([{ "name": "x", "dtype": "f32" }]), json!([{ "name": "price", "dtype": "f32" }]));
        let tensors = Tensors::of(&manifest, None).expect("it has a form");
        let answer = json!({ "outputs": [{ "name": "predict", "datatype": "FP64", "shape": [2, 1], "data": [1.5, 2] }] });
        assert_eq!(tensors.predictions(answer, 2).expect("they are there"), [json!(1.5), json!(2)]);
    }
}
