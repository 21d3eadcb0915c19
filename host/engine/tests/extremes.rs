//! Every operator alone, given numbers that no exporter writes: one attribute or one input that is negative, very large or
//! empty, or all attributes at once, for inputs of several shapes and dtypes and for several outputs. Loading ends, within the memory that `bounds.rs` allows.
//!
//! `extremes.txt` lists the operators (`make_extremes.py` makes it). `EXTREMES=Name` tries one of them and says what it
//! does, which shows what a run that doesn't end is at.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod counting;
mod protobuf;

use std::sync::{Mutex, PoisonError};

use ampoule_engine::{Graph, LoadOptions};
use counting::{bounded, watch};
use protobuf::{dims, field, i64s, info, initializer, node, number};

const FLOAT: [f32; 4] = [-1.0, 1e-30, 1e30, f32::NAN];
const F32: i64 = 1;
const I64: i64 = 7;

type Shape = Option<&'static [i64]>;

/// What is tried.
struct Extent {
    whole: &'static [i64],
    /// Of all inputs; `None` is one that isn't said
    shapes: &'static [Shape],
    /// The operator set
    set: i64,
    /// Whether another operator comes behind it whose output's shape depends on values, so that there is no plan for both
    steps: bool,
}

impl Extent {
    fn graphs(&self, operator: &Operator) -> Vec<(String, Vec<u8>)> {
        let mut graphs = Vec::new();
        let mut add = |title: String, (inputs, outputs), given: &[Vec<u8>], attributes: &[Vec<u8>]| {
            let title = format!("{}, {inputs} inputs {title}", operator.name);
            graphs.push((title, self.graph(operator, inputs, outputs, given, attributes)));
        };
        for shape in self.shapes {
            let declared = |inputs: usize, dtype| -> Vec<Vec<u8>> {
                (0..inputs).map(|at| declared(&format!("x{at}"), dtype, *shape)).collect()
            };
            for inputs in 1..=5 {
                for (dtype, outputs) in [(F32, 1), (I64, 1), (F32, 3)] {
                    let title = format!("of {shape:?}, dtype {dtype}, {outputs} outputs");
                    add(title, (inputs, outputs), &declared(inputs, dtype), &[]);
                }
            }
            for (inputs, at) in [(1, 0), (2, 1), (3, 1), (3, 2), (4, 3)] {
                for &value in self.whole {
                    for form in [&[][..], &[1], &[2], &[4], &[0]] {
                        let name = format!("x{at}");
                        let values = vec![value; form.iter().product::<i64>() as usize];
                        let floats = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
                        for (dtype, bytes) in [(I64, i64s(&values)), (F32, floats)] {
                            let mut given = declared(inputs, F32);
                            given[at] = initializer(&name, dtype, form, &bytes);
                            let title = format!("of {shape:?}, {at} is {form:?} of {value}, dtype {dtype}");
                            add(title, (inputs, 1), &given, &[]);
                        }
                    }
                }
            }
            let mut all = Vec::new();
            for name in &operator.attributes {
                let extremes = self.extremes(name);
                for (title, attribute) in &extremes {
                    for inputs in 1..=3 {
                        let attributes = std::slice::from_ref(attribute);
                        add(
                            format!("of {shape:?}, {title}"),
                            (inputs, 1),
                            &declared(inputs, F32),
                            attributes,
                        );
                    }
                }
                all.push(extremes.into_iter().map(|(_, attribute)| attribute));
            }
            while let Some(attributes) = all.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>()
                && !attributes.is_empty()
            {
                for inputs in 1..=4 {
                    let title = format!("of {shape:?}, all attributes");
                    add(title, (inputs, 1), &declared(inputs, F32), &attributes);
                }
            }
        }
        graphs
    }

    /// A graph of one operator, whose inputs are called `x0`, `x1` and so on; `given` declares them or gives their values.
    fn graph(
        &self,
        operator: &Operator,
        inputs: usize,
        outputs: usize,
        given: &[Vec<u8>],
        attributes: &[Vec<u8>],
    ) -> Vec<u8> {
        let domain = if operator.domain == "ai.onnx" { "" } else { operator.domain };
        let names = (0..inputs).flat_map(|at| field(1, format!("x{at}"))).collect();
        let attributes = attributes.iter().flat_map(|attribute| field(5, attribute)).collect();
        let made = if self.steps { "z" } else { "y" };
        let others = (1..outputs).flat_map(|at| field(2, format!("y{at}"))).collect();
        let kind = [field(4, operator.name), field(7, domain)].concat();
        let own = [names, field(2, made), others, kind, attributes].concat();
        let mut graph = [given.concat(), field(1, own), info(12, "y", F32, &[])].concat();
        if self.steps {
            graph.extend(node("NonZero", &["z"], "y", &[]));
        }
        let set = |domain: &str, version| field(8, [field(1, domain), number(2, version)].concat());
        let sets = [set("", self.set), set("ai.onnx.ml", 5), set("com.microsoft", 1)];
        [number(1, 10), field(7, graph), sets.concat()].concat()
    }

    /// An attribute at each of its extremes.
    fn extremes(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let (bare, list) = name.strip_suffix("[]").map_or((name, false), |bare| (bare, true));
        let lengths = if list { &[1, 2, 4][..] } else { &[1] };
        let mut extremes = Vec::new();
        let mut add = |value: String, numbers: Vec<u8>, kind| {
            let bare = bare.trim_end_matches('.');
            extremes
                .push((format!("{bare} is {value}"), [field(1, bare), numbers, number(20, kind)].concat()));
        };
        for &length in lengths {
            if bare.ends_with('.') {
                // A number's tag is one byte: its field and the wire type of four bytes.
                let tag = (if list { 7 } else { 2 }) << 3 | 5;
                for value in FLOAT {
                    let number = [&[tag], &value.to_le_bytes()[..]].concat();
                    add(format!("{length} of {value}"), number.repeat(length), if list { 6 } else { 1 });
                }
            } else {
                for &value in self.whole {
                    let whole = number(if list { 8 } else { 3 }, value);
                    add(format!("{length} of {value}"), whole.repeat(length), if list { 7 } else { 2 });
                }
            }
        }
        extremes
    }

    fn hold(&self) {
        // What is in use is counted for the whole process.
        static COUNTING: Mutex<()> = Mutex::new(());
        let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        watch();
        let only = std::env::var("EXTREMES").ok();
        let mut tried = 0;
        for line in include_str!("extremes.txt").lines() {
            let operator = Operator::read(line);
            if only.as_ref().is_some_and(|only| only != operator.name) {
                continue;
            }
            for (title, bytes) in self.graphs(&operator) {
                if only.is_some() {
                    eprintln!("{title}");
                }
                bounded(&title, &bytes, || drop(Graph::load(&bytes, &LoadOptions::default())));
                tried += 1;
            }
        }
        println!("{tried} graphs");
        assert!(tried > 0, "no operator is called {only:?}");
    }
}

struct Operator<'t> {
    domain: &'t str,
    name: &'t str,
    attributes: Vec<&'t str>,
}

impl<'t> Operator<'t> {
    fn read(line: &'t str) -> Self {
        let mut words = line.split(' ');
        let (domain, name) = (words.next().unwrap(), words.next().unwrap());
        Self { domain, name, attributes: words.collect() }
    }
}

fn declared(name: &str, dtype: i64, shape: Shape) -> Vec<u8> {
    match shape {
        Some(shape) => info(11, name, dtype, &dims(shape)),
        None => field(11, [field(1, name), field(2, field(1, number(1, dtype)))].concat()),
    }
}

const WHOLE: [i64; 8] = [-3, -1, 0, 1 << 16, 1 << 24, 1 << 32, 1 << 40, i64::MIN];
const FEW: [i64; 5] = [-1, 0, 1 << 24, 1 << 40, i64::MIN];
const PICTURES: Shape = Some(&[2, 3, 4, 4]);
const SHAPES: [Shape; 12] = [
    PICTURES,
    // Four gigabytes of f32 each.
    Some(&[1, 1, 1 << 20, 1 << 10]),
    Some(&[1 << 15, 1 << 15]),
    Some(&[]),
    Some(&[2, 4, 4]),
    None,
    Some(&[1, 1 << 15, 1 << 15]),
    Some(&[4]),
    Some(&[3, 3]),
    Some(&[0, 4]),
    Some(&[1, 1, 2, 4, 4]),
    Some(&[1 << 20]),
];

#[test]
fn an_operator_with_extreme_numbers_takes_no_more_than_it_may() {
    Extent { whole: &FEW, shapes: &SHAPES[..6], set: 21, steps: false }.hold();
}

#[test]
fn nor_does_one_before_an_operator_that_can_not_be_planned_for() {
    Extent { whole: &FEW, shapes: &SHAPES[..1], set: 21, steps: true }.hold();
}

#[test]
#[ignore = "takes minutes, see `make test-all`"]
fn nor_does_one_of_any_set_and_shape() {
    for (set, steps) in [(9, false), (21, false), (21, true)] {
        Extent { whole: &WHOLE, shapes: &SHAPES, set, steps }.hold();
    }
}
