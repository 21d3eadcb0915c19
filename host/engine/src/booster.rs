//! [`Booster`]: an imported model ready to run: its kernel, and its answers as tensors.

use tract_data::prelude::{Datum, TractError};

use crate::arguments::in_order;
use crate::forest::{Arithmetic, Compare, Ensemble, Link, Real, RowType, Rows, Scores, starting_scores};
use crate::import::{Answer, Decision, Import, Labels, Linear, Model, Probabilities, import_compact};
use crate::signature::{Description, Dim, TensorInfo};
use crate::{Dtype, Error, ErrorKind, Tensor};

/// Whether raw scores are an output too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Margin {
    #[default]
    Without,
    /// As the last one, `margin`: `[N]`, or `[N, K]` where a row has several
    With,
}

pub(crate) struct Booster {
    kernel: Kernel,
    link: Link,
    answer: Answer,
    margin: Margin,
    outputs: usize,
}

enum Kernel {
    Trees(Box<Ensemble>),
    Linear(Linear),
}

/// A booster in the form of [`compact`](crate::compact), and what runs it: a [`Graph`](crate::Graph) of that alone, so that a program
/// which loads nothing else is small, as no reader of models and no other operator is linked.
pub struct CompactBooster {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    booster: Booster,
}

impl CompactBooster {
    /// # Errors
    ///
    /// `InvalidModel` for bytes that [`compact`](crate::compact) did not make.
    pub fn load(bytes: &[u8]) -> Result<Self, Error> {
        let import = import_compact(bytes)?;
        let Description { inputs, outputs, .. } = describe(&import, Margin::Without);
        Ok(Self { inputs, outputs, booster: Booster::new(import, Margin::Without) })
    }

    /// The one input, `input`.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// As [`Graph::outputs`](crate::Graph::outputs).
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// As [`Graph::run`](crate::Graph::run), with the same bits.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is missing, unknown or given twice, and for a dtype or shape other than the declared.
    pub fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, Error> {
        let answers = self.booster.run(&in_order(&self.inputs, inputs)?[0])?;
        Ok(self.outputs.iter().map(|info| info.name.clone()).zip(answers).collect())
    }
}

/// What the graph of a booster says about itself. Its one input is `input`, `[N, F]`.
pub(crate) fn describe(import: &Import, margin: Margin) -> Description {
    let n = || Dim::Symbol("N".to_owned());
    let info = |name: &str, dtype, shape| TensorInfo { name: name.to_owned(), dtype, shape };
    let (wide_in, wide_out) = match &import.model {
        Model::Linear(_) => (false, false),
        Model::Trees(forest) => (forest.compare == Compare::F64, forest.arithmetic == Arithmetic::F64),
    };
    let of = |wide| if wide { Dtype::F64 } else { Dtype::F32 };
    let scores = import.scores();
    let rows = |width| match width {
        1 => vec![n()],
        _ => vec![n(), Dim::Fixed(width)],
    };
    let mut outputs = Vec::new();
    let mut labels = Vec::new();
    match &import.answer {
        Answer::Predictions => {
            outputs.push(info("prediction", of(wide_out), rows(import.link().width(scores))))
        }
        Answer::Classes { labels: names, probabilities, .. } => {
            let (dtype, names) = match names {
                Labels::Integers(names) => (Dtype::I64, names.iter().map(i64::to_string).collect()),
                Labels::Strings(names) => (Dtype::String, names.clone()),
            };
            labels = names;
            outputs.push(info("label", dtype, vec![n()]));
            if *probabilities == Probabilities::Given {
                let classes = Dim::Fixed(labels.len());
                outputs.push(info("probabilities", of(wide_out), vec![n(), classes]));
            }
        }
    }
    if margin == Margin::With {
        outputs.push(info("margin", of(wide_out), rows(scores)));
    }
    Description {
        inputs: vec![info("input", of(wide_in), vec![n(), Dim::Fixed(import.width())])],
        outputs,
        doc: String::new(),
        producer: import.producer.clone(),
        metadata: vec![
            ("objective".to_owned(), import.objective.clone()),
            ("task".to_owned(), format!("{:?}", import.task).to_lowercase()),
        ],
        labels,
        missing: Vec::new(),
        features: import.features.clone(),
        task: Some(import.task),
    }
}

impl Booster {
    pub(crate) fn new(import: Import, margin: Margin) -> Self {
        let (link, outputs, answer) = (import.link(), import.scores(), import.answer);
        let kernel = match import.model {
            Model::Linear(linear) => Kernel::Linear(linear),
            Model::Trees(forest) => {
                let row = if forest.compare == Compare::F64 { RowType::F64 } else { RowType::F32 };
                Kernel::Trees(Box::new(Ensemble::of(&forest, row)))
            }
        };
        Self { kernel, link, answer, margin, outputs }
    }

    /// `rows` are `[N, F]` of the dtype that [`describe`] says; the outputs come in its order.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for rows of another dtype or width.
    pub(crate) fn run(&self, rows: &Tensor) -> Result<Vec<Tensor>, Error> {
        let &[count, width] = rows.shape() else {
            return Err(Error::input(format!("expected rows [N, F], got {:?}", rows.shape())));
        };
        let rows = match rows.dtype() {
            Dtype::F64 => Rows::F64(slice(rows)?),
            _ => Rows::F32(slice(rows)?),
        };
        match (&self.kernel, rows) {
            (Kernel::Trees(trees), rows) => match trees.scores(rows, width)? {
                Scores::F32(scores) => self.answer(count, scores),
                Scores::F64(scores) => self.answer(count, scores),
            },
            (Kernel::Linear(linear), Rows::F32(rows)) => {
                let mut scores = starting_scores(count, self.outputs, 0.0)?;
                for (row, scores) in rows.chunks_exact(width).zip(scores.chunks_exact_mut(self.outputs)) {
                    linear.evaluate(row, scores);
                }
                self.answer(count, scores)
            }
            (Kernel::Linear(_), Rows::F64(_)) => Err(Error::input("expected rows in f32, got f64")),
        }
    }

    /// Tensors of the raw scores `[count, outputs]` of so many rows.
    fn answer<A: Real + Datum>(&self, count: usize, mut scores: Vec<A>) -> Result<Vec<Tensor>, Error> {
        let margin = (self.margin == Margin::With).then(|| scores.clone());
        let per_row = self.outputs;
        let mut tensors = Vec::with_capacity(3);
        match &self.answer {
            Answer::Predictions => {
                let width = self.link.width(per_row);
                scores.chunks_exact_mut(per_row).for_each(|row| self.link.apply(row));
                if width < per_row {
                    scores = scores.chunks_exact(per_row).flat_map(|row| &row[..width]).copied().collect();
                }
                tensors.push(tensor(&shape(count, width), scores)?);
            }
            Answer::Classes { labels, decided_by, probabilities } => {
                let mut classes = Vec::with_capacity(count);
                for row in scores.chunks_exact_mut(per_row) {
                    let by_score = class(row, A::ZERO);
                    self.link.apply(row);
                    classes.push(match decided_by {
                        Decision::Scores => by_score,
                        Decision::Probabilities => class(row, A::of(0.5)),
                    });
                }
                tensors.push(labels.tensor(&classes)?);
                if *probabilities == Probabilities::Given {
                    if per_row == 1 {
                        scores = scores.iter().flat_map(|p| [A::ONE - *p, *p]).collect();
                    }
                    tensors.push(tensor(&[count, labels.len()], scores)?);
                }
            }
        }
        if let Some(margin) = margin {
            tensors.push(tensor(&shape(count, per_row), margin)?);
        }
        Ok(tensors)
    }
}

fn slice<T: Datum>(rows: &Tensor) -> Result<&[T], Error> {
    let wrong = |e: TractError| Error::input(format!("expected rows, got {}", rows.dtype())).caused_by(&e);
    rows.slice().map_err(wrong)
}

fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> Result<Tensor, Error> {
    let wrong =
        |e: TractError| Error::new(ErrorKind::Internal, format!("an output of {shape:?}")).caused_by(&e);
    let dtype = Dtype::from_tract(T::datum_type());
    let dtype = dtype.ok_or_else(|| Error::new(ErrorKind::Internal, "elements without a dtype"))?;
    Tensor::of(dtype, shape, values).map_err(wrong)
}

fn shape(count: usize, width: usize) -> Vec<usize> {
    if width == 1 { vec![count] } else { vec![count, width] }
}

/// Of one number: the second class if it is above the middle. Of several: the first of the greatest.
fn class<A: Real>(row: &[A], middle: A) -> usize {
    match row {
        [one] => usize::from(*one > middle),
        _ => (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best }).unwrap_or(0),
    }
}

impl Labels {
    fn tensor(&self, classes: &[usize]) -> Result<Tensor, Error> {
        match self {
            Self::Integers(labels) => {
                tensor(&[classes.len()], classes.iter().map(|class| labels[*class]).collect())
            }
            Self::Strings(labels) => {
                let names = classes.iter().map(|class| labels[*class].clone()).collect();
                Tensor::from_strings(&[classes.len()], names)
            }
        }
    }
}
