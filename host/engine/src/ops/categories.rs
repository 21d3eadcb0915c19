//! Operators of `ai.onnx.ml` that look values up: LabelEncoder (1, 2, 4), CategoryMapper (1) and OneHotEncoder (1).

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, elements, numeric, pick, tensor};

pub(super) fn label_encoder(context: &ParsingContext, node: &NodeProto) -> Built {
    if let Some(classes) = node.get_attr_opt_vec::<String>("classes_strings")? {
        let numbers = (0..classes.len() as i64).collect();
        return built(node, both_ways(node, classes, numbers)?);
    }
    let keys = table(context, node, "keys")?.context("expected one attribute of keys_*")?;
    let values = table(context, node, "values")?.context("expected one attribute of values_*")?;
    let default = match context_tensor(context, node, "default_tensor")? {
        Some(default) => default,
        None => match values.datum_type() {
            DatumType::String => tensor1(&[default_string(node)?]),
            DatumType::F32 => tensor1(&[node.get_attr_opt("default_float")?.unwrap_or(-0f32)]),
            DatumType::I64 => tensor1(&[node.get_attr_opt("default_int64")?.unwrap_or(-1i64)]),
            datum if datum.is_float() => tensor1(&[-0f32]).cast_to_dt(datum)?.into_owned(),
            datum => tensor1(&[-1i64]).cast_to_dt(datum)?.into_owned(),
        },
    };
    let version = context
        .model
        .opset_import
        .iter()
        .find(|opset| opset.domain == "ai.onnx.ml")
        .map(|opset| opset.version);
    let mut mapping = Mapping::new(&keys, &values, &default, Twice::First)?;
    if let (Keys::Numbers(keys), Some(..4)) = (&mut mapping.keys, version) {
        // Only since version 4, NaN is a key that is found.
        keys.remove(&key(f64::NAN));
    }
    built(node, Lookup(vec![mapping]))
}

pub(super) fn category_mapper(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, both_ways(node, node.get_attr_vec("cats_strings")?, node.get_attr_vec("cats_int64s")?)?)
}

pub(super) fn one_hot_encoder(_: &ParsingContext, node: &NodeProto) -> Built {
    let numbers: Option<Vec<i64>> = node.get_attr_opt_vec("cats_int64s")?;
    let strings: Option<Vec<String>> = node.get_attr_opt_vec("cats_strings")?;
    let categories = match (numbers, strings) {
        (Some(numbers), None) => tensor1(&numbers),
        (None, Some(strings)) => tensor1(&strings),
        _ => bail!("expected either cats_int64s or cats_strings"),
    };
    let classes = categories.len();
    // The last of equals, where a key is only a place.
    let places = tensor1(&(0..classes).map(|at| at as i64).collect::<Vec<_>>());
    let mapping = Mapping::new(&categories, &places, &tensor1(&[-1i64]), Twice::Last)?;
    let lenient = node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0;
    built(node, OneHot { mapping, classes, lenient })
}

/// Strings to numbers or numbers to strings, as the input is.
fn both_ways(node: &NodeProto, strings: Vec<String>, numbers: Vec<i64>) -> TractResult<Lookup> {
    let (strings, numbers) = (tensor1(&strings), tensor1(&numbers));
    let number = tensor1(&[node.get_attr_opt("default_int64")?.unwrap_or(-1i64)]);
    let string = tensor1(&[default_string(node)?]);
    Ok(Lookup(vec![
        Mapping::new(&strings, &numbers, &number, Twice::Last)?,
        Mapping::new(&numbers, &strings, &string, Twice::Last)?,
    ]))
}

fn default_string(node: &NodeProto) -> TractResult<String> {
    Ok(node.get_attr_opt("default_string")?.unwrap_or_else(|| "_Unused".to_owned()))
}

/// The one attribute that is there of `{name}_strings`, `{name}_int64s`, `{name}_floats` and `{name}_tensor`.
fn table(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Tensor>> {
    if let Some(strings) = node.get_attr_opt_vec::<String>(&format!("{name}_strings"))? {
        return Ok(Some(tensor1(&strings)));
    }
    if let Some(numbers) = node.get_attr_opt_vec::<i64>(&format!("{name}_int64s"))? {
        return Ok(Some(tensor1(&numbers)));
    }
    if let Some(numbers) = node.get_attr_opt_vec::<f32>(&format!("{name}_floats"))? {
        return Ok(Some(tensor1(&numbers)));
    }
    context_tensor(context, node, &format!("{name}_tensor"))
}

fn context_tensor(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Tensor>> {
    let Some(proto) = node.get_attr_opt::<&TensorProto>(name)? else { return Ok(None) };
    let tensor = context.load_tensor(proto)?;
    let elements = tensor.len();
    Ok(Some(tensor.into_shape(&[elements])?))
}

/// From keys to positions in `values`, whose last stands for every key that is unknown.
#[derive(Debug)]
struct Mapping {
    datum: DatumType,
    keys: Keys,
    values: Tensor,
}

#[derive(Debug)]
enum Keys {
    Strings(HashMap<String, usize>),
    /// By [`key`]
    Numbers(HashMap<u64, usize>),
    Wholes(HashMap<i64, usize>),
}

impl Mapping {
    fn new(keys: &Tensor, values: &Tensor, default: &Tensor, twice: Twice) -> TractResult<Self> {
        let (expected, got) = (keys.len(), values.len());
        ensure!(expected == got, "expected as many values as keys ({expected}), got {got}");
        ensure!(default.len() == 1, "expected one default, got {}", default.len());
        let (from, to) = (values.datum_type(), default.datum_type());
        ensure!(from == to, "expected a default of {from:?}, got {to:?}");
        let datum = keys.datum_type();
        let keys = match datum {
            DatumType::String => Keys::Strings(twice.places(elements::<String>(keys)?.iter().cloned())),
            _ if datum.is_float() => {
                let keys = keys.cast_to::<f64>()?;
                Keys::Numbers(twice.places(elements::<f64>(&keys)?.iter().map(|x| key(*x))))
            }
            _ => Keys::Wholes(twice.places(elements::<i64>(&*keys.cast_to::<i64>()?)?.iter().copied())),
        };
        Ok(Self { datum, keys, values: Tensor::stack_tensors(0, &[values, default])? })
    }

    /// The positions of the values, in the order of the input.
    fn find(&self, input: &Tensor) -> TractResult<Vec<usize>> {
        let unknown = self.values.len() - 1;
        Ok(match &self.keys {
            Keys::Strings(keys) => {
                elements::<String>(input)?.iter().map(|x| keys.get(x).copied().unwrap_or(unknown)).collect()
            }
            Keys::Numbers(keys) => elements::<f64>(&*input.cast_to::<f64>()?)?
                .iter()
                .map(|x| keys.get(&key(*x)).copied().unwrap_or(unknown))
                .collect(),
            Keys::Wholes(keys) => elements::<i64>(&*input.cast_to::<i64>()?)?
                .iter()
                .map(|x| keys.get(x).copied().unwrap_or(unknown))
                .collect(),
        })
    }
}

/// Which of equal keys counts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twice {
    First,
    Last,
}

impl Twice {
    fn places<K: Hash + Eq>(self, keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
        let mut map = HashMap::new();
        for (at, key) in keys.enumerate() {
            let place = map.entry(key).or_insert(at);
            if self == Self::Last {
                *place = at;
            }
        }
        map
    }
}

/// Equal numbers have equal keys, and so has every NaN.
fn key(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

/// One mapping for each dtype that may come in.
#[derive(Debug)]
struct Lookup(Vec<Mapping>);

impl Lookup {
    fn of(&self, datum: DatumType) -> TractResult<&Mapping> {
        let expected: Vec<DatumType> = self.0.iter().map(|mapping| mapping.datum).collect();
        let found = self.0.iter().find(|mapping| mapping.datum == datum);
        found.with_context(|| format!("expected keys of {expected:?}, got {datum:?}"))
    }
}

impl Kernel for Lookup {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mapping = self.of(inputs[0].datum_type)?;
        Ok(tvec!(mapping.values.datum_type().fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mapping = self.of(inputs[0].datum_type())?;
        Ok(tvec!(pick(&mapping.values, &mapping.find(&inputs[0])?, inputs[0].shape())?))
    }
}

/// `[...]` gives `[..., C]` in f32. Numbers are cut to whole ones first.
#[derive(Debug)]
struct OneHot {
    mapping: Mapping,
    classes: usize,
    /// An unknown category gives zeros rather than an error.
    lenient: bool,
}

impl Kernel for OneHot {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (expected, got) = (self.mapping.datum, inputs[0].datum_type);
        if expected == DatumType::String {
            ensure!(got == expected, "expected strings as the categories are, got {got:?}");
        } else {
            numeric(got)?;
        }
        let mut shape = inputs[0].shape.to_tvec();
        shape.push(self.classes.to_dim());
        Ok(tvec!(DatumType::F32.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let places = self.mapping.find(&inputs[0])?;
        let size = places.len().checked_mul(self.classes).context("too many rows")?;
        let mut flags = vec![0f32; size];
        for (row, place) in places.into_iter().enumerate() {
            if place < self.classes {
                flags[row * self.classes + place] = 1.0;
            } else {
                ensure!(self.lenient, "element {row} is of an unknown category");
            }
        }
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape.push(self.classes);
        Ok(tvec!(tensor(&shape, flags)?))
    }
}
