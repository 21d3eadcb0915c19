//! SVMClassifier and SVMRegressor of `ai.onnx.ml` 1: libsvm's and liblinear's models, in f32, with ONNX Runtime's
//! conventions where the specification is silent.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, dims_of, elements, f32s, numeric, rows_of, tensor};
use super::labels::Labels;
use super::scores::{Transform, logistic, pair};

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::read(node, "classlabels_ints")?;
    let classes = labels.len();
    ensure!((2..=1024).contains(&classes), "expected 2 to 1024 class labels, got {classes}");
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    let of_class: Vec<i64> = node.get_attr_opt_vec("vectors_per_class")?.unwrap_or_default();
    let of_class: Vec<usize> =
        of_class.iter().map(|n| Ok(usize::try_from(*n)?)).collect::<TractResult<_>>()?;
    let count =
        of_class.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)).context("vectors_per_class")?;
    let prob_a: Vec<f32> = node.get_attr_opt_vec("prob_a")?.unwrap_or_default();
    let prob_b: Vec<f32> = node.get_attr_opt_vec("prob_b")?.unwrap_or_default();
    let pairs = classes * (classes - 1) / 2;
    if count > 0 {
        ensure!(of_class.len() == classes, "vectors_per_class: expected {classes}, got {}", of_class.len());
        let (expected, got) = ((classes - 1).checked_mul(count), coefficients.len());
        ensure!(expected == Some(got), "coefficients: expected {expected:?}, got {got}");
        ensure!(rho.len() >= pairs, "rho: expected {pairs}, got {}", rho.len());
        let (a, b) = (prob_a.len(), prob_b.len());
        ensure!(
            a == b && (a == 0 || a >= pairs),
            "prob_a and prob_b: expected {pairs} or none, got {a} and {b}"
        );
    } else {
        ensure!(!rho.is_empty(), "rho: expected at least 1, got none");
    }
    let vectors = if count > 0 { node.get_attr_vec("support_vectors")? } else { coefficients.clone() };
    let (rows, kernel) = if count > 0 { (count, Shape::read(node)?) } else { (classes, Shape::Linear) };
    let positive = coefficients.iter().all(|c| *c >= 0.0);
    let vectors = Vectors::new(vectors, rows, kernel)?;
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    let starts = of_class.iter().scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect();
    let probability = prob_a.into_iter().zip(prob_b).collect();
    built(
        node,
        Classifier { labels, vectors, coefficients, rho, of_class, starts, probability, positive, transform },
    )
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    ensure!(!rho.is_empty(), "rho: expected at least 1, got none");
    let count = usize::try_from(node.get_attr_opt::<i64>("n_supports")?.unwrap_or(0))?;
    let vectors = if count > 0 {
        let got = coefficients.len();
        ensure!(got == count, "coefficients: expected {count}, got {got}");
        Vectors::new(node.get_attr_vec("support_vectors")?, count, Shape::read(node)?)?
    } else {
        Vectors::new(coefficients.clone(), 1, Shape::Linear)?
    };
    let one_class = node.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0;
    built(
        node,
        Regressor { vectors, coefficients: (count > 0).then_some(coefficients), rho: rho[0], one_class },
    )
}

/// How near two rows are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Linear,
    Poly { gamma: f32, coef0: f32, degree: f32 },
    Rbf { gamma: f32 },
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Shape {
    fn read(node: &NodeProto) -> TractResult<Self> {
        let params: Vec<f32> = node.get_attr_opt_vec("kernel_params")?.unwrap_or_default();
        let (gamma, coef0, degree) = match params[..] {
            [] => (0.0, 0.0, 0.0),
            [gamma, coef0, degree, ..] => (gamma, coef0, degree),
            _ => bail!("kernel_params: expected gamma, coef0 and degree, got {params:?}"),
        };
        Ok(match node.get_attr_opt("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            other => bail!("kernel_type: expected LINEAR, POLY, RBF or SIGMOID, got {other:?}"),
        })
    }

    fn near(self, x: &[f32], v: &[f32]) -> f32 {
        let dot = || x.iter().zip(v).map(|(x, v)| x * v).sum::<f32>();
        match self {
            Self::Linear => dot(),
            Self::Poly { gamma, coef0, degree } => (gamma * dot() + coef0).powf(degree),
            Self::Rbf { gamma } => {
                (-gamma * x.iter().zip(v).map(|(x, v)| (x - v) * (x - v)).sum::<f32>()).exp()
            }
            Self::Sigmoid { gamma, coef0 } => (gamma * dot() + coef0).tanh(),
        }
    }
}

/// `[V, F]`, row-major.
#[derive(Debug)]
struct Vectors {
    rows: Vec<f32>,
    features: usize,
    shape: Shape,
}

impl Vectors {
    fn new(rows: Vec<f32>, count: usize, shape: Shape) -> TractResult<Self> {
        let got = rows.len();
        ensure!(
            got > 0 && got.is_multiple_of(count),
            "support vectors: expected a multiple of {count} numbers, got {got}"
        );
        Ok(Self { features: got / count, rows, shape })
    }

    /// How near `x` is to each.
    fn near(&self, x: &[f32], near: &mut Vec<f32>) {
        near.clear();
        near.extend(self.rows.chunks(self.features).map(|v| self.shape.near(x, v)));
    }

    /// N, where F is as it must be.
    fn check(&self, shape: &[usize]) -> TractResult<usize> {
        let (rows, width) = rows_of(shape);
        ensure!(width == self.features, "expected {} features, got {width}", self.features);
        Ok(rows)
    }
}

#[derive(Debug)]
struct Classifier {
    labels: Labels,
    vectors: Vectors,
    /// `[C - 1, V]`, as libsvm has them; unused where `vectors` are liblinear's weights
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    of_class: Vec<usize>,
    starts: Vec<usize>,
    /// Platt's A and B of every pair of classes
    probability: Vec<(f32, f32)>,
    positive: bool,
    transform: Transform,
}

impl Classifier {
    fn is_linear(&self) -> bool {
        self.of_class.is_empty()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let classes = self.labels.len();
        (0..classes).flat_map(move |i| (i + 1..classes).map(move |j| (i, j)))
    }

    /// Scores in a row: one for each class, or for each pair of classes without probabilities.
    fn width(&self) -> usize {
        let classes = self.labels.len();
        if self.is_linear() || !self.probability.is_empty() || classes == 2 {
            return classes;
        }
        classes * (classes - 1) / 2
    }

    /// A row's scores and the position of its class.
    fn classify(&self, near: &[f32]) -> (Vec<f32>, usize) {
        if self.is_linear() {
            return self.classify_linear(near);
        }
        let margins = self.margins(near);
        let mut votes = vec![0usize; self.labels.len()];
        for ((i, j), margin) in self.pairs().zip(&margins) {
            votes[if *margin > 0.0 { i } else { j }] += 1;
        }
        let class = best(&votes);
        if !self.probability.is_empty() {
            let mut scores = self.probabilities(&margins);
            self.transform.apply(&mut scores);
            return (scores, class);
        }
        if let [margin] = margins[..] {
            let pair = pair(margin as f32, self.transform, self.transform != Transform::None);
            return (pair.to_vec(), class);
        }
        let mut scores: Vec<f32> = margins.iter().map(|margin| *margin as f32).collect();
        self.transform.apply(&mut scores);
        (scores, class)
    }

    fn classify_linear(&self, near: &[f32]) -> (Vec<f32>, usize) {
        let mut scores: Vec<f32> = near.iter().map(|dot| dot + self.rho[0]).collect();
        let top = best(&scores);
        let boundary = if self.positive { 0.5 } else { 0.0 };
        let beyond = if self.positive { scores[top] >= boundary } else { scores[top] > boundary };
        let class = if scores.len() == 2 && beyond { 1 } else { top };
        self.transform.apply(&mut scores);
        (scores, class)
    }

    /// For each pair of classes, positive where the first wins.
    fn margins(&self, near: &[f32]) -> Vec<f64> {
        let count = near.len();
        let part = |row: usize, class: usize| {
            let range = self.starts[class]..self.starts[class] + self.of_class[class];
            let weights = &self.coefficients[row * count..][range.clone()];
            weights.iter().zip(&near[range]).map(|(w, k)| f64::from(w * k)).sum::<f64>()
        };
        let of_pair = |((i, j), rho): ((usize, usize), &f32)| part(j - 1, i) + part(i, j) + f64::from(*rho);
        self.pairs().zip(&self.rho).map(of_pair).collect()
    }

    fn probabilities(&self, margins: &[f64]) -> Vec<f32> {
        let classes = self.labels.len();
        let mut pairwise = vec![0f32; classes * classes];
        for (((i, j), margin), (a, b)) in self.pairs().zip(margins).zip(&self.probability) {
            let first = (1.0 - logistic(*margin as f32 * a + b)).clamp(1e-7, 1.0 - 1e-7);
            pairwise[i * classes + j] = first;
            pairwise[j * classes + i] = 1.0 - first;
        }
        couple(&pairwise, classes)
    }
}

/// Probabilities of classes from those of pairs (Wu, Lin and Weng 2004, the second method), as libsvm iterates.
fn couple(pairwise: &[f32], classes: usize) -> Vec<f32> {
    let r = |i: usize, j: usize| pairwise[i * classes + j];
    let mut q = vec![0f32; classes * classes];
    for i in 0..classes {
        for j in (0..classes).filter(|j| *j != i) {
            q[i * classes + i] += r(j, i) * r(j, i);
            q[i * classes + j] = -r(j, i) * r(i, j);
        }
    }
    let mut p = vec![1.0 / classes as f32; classes];
    for _ in 0..100 {
        let mut qp: Vec<f32> =
            q.chunks(classes).map(|row| row.iter().zip(&p).map(|(q, p)| q * p).sum()).collect();
        let mut pqp: f32 = p.iter().zip(&qp).map(|(p, qp)| p * qp).sum();
        let error = qp.iter().map(|qp| (qp - pqp).abs()).fold(0f32, f32::max);
        if error < 0.005 / classes as f32 {
            break;
        }
        for i in 0..classes {
            let diagonal = q[i * classes + i];
            let step = (pqp - qp[i]) / diagonal;
            p[i] += step;
            pqp = (pqp + step * (step * diagonal + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..classes {
                qp[j] = (qp[j] + step * q[i * classes + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
    p
}

/// The first of the greatest.
fn best<T: PartialOrd>(scores: &[T]) -> usize {
    (0..scores.len()).reduce(|best, at| if scores[at] > scores[best] { at } else { best }).unwrap_or(0)
}

impl Kernel for Classifier {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        let rows = dims_of(&inputs[0].shape).0;
        let scores = DatumType::F32.fact([rows.clone(), self.width().to_dim()]);
        Ok(tvec!(self.labels.datum().fact([rows]), scores))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = self.vectors.check(inputs[0].shape())?;
        let x = f32s(&inputs[0])?;
        let (mut near, mut picked) = (vec![], Vec::with_capacity(rows));
        let mut scores = Vec::with_capacity(rows.saturating_mul(self.width()));
        for x in elements::<f32>(&x)?.chunks(self.vectors.features) {
            self.vectors.near(x, &mut near);
            let (of_row, class) = self.classify(&near);
            scores.extend(of_row);
            picked.push(class);
        }
        Ok(tvec!(self.labels.pick(&picked), tensor(&[rows, self.width()], scores)?))
    }
}

#[derive(Debug)]
struct Regressor {
    vectors: Vectors,
    /// `None` where `vectors` are liblinear's weights
    coefficients: Option<Vec<f32>>,
    rho: f32,
    /// Only the sign is wanted.
    one_class: bool,
}

impl Kernel for Regressor {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        Ok(tvec!(DatumType::F32.fact([dims_of(&inputs[0].shape).0, 1.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = self.vectors.check(inputs[0].shape())?;
        let x = f32s(&inputs[0])?;
        let (mut near, mut answers) = (vec![], Vec::with_capacity(rows));
        for x in elements::<f32>(&x)?.chunks(self.vectors.features) {
            self.vectors.near(x, &mut near);
            let sum = match &self.coefficients {
                Some(weights) => weights.iter().zip(&near).map(|(w, k)| w * k).sum(),
                None => near[0],
            };
            let answer = sum + self.rho;
            answers.push(match self.one_class {
                true if answer > 0.0 => 1.0,
                true => -1.0,
                false => answer,
            });
        }
        Ok(tvec!(tensor(&[rows, 1], answers)?))
    }
}
