//! [`Objective`]: what a model was trained for, and so what its raw scores mean.

use crate::Error;
use crate::forest::Link;
use crate::import::{Answer, Decision, Labels, Probabilities, Task};

pub(super) struct Objective {
    pub(super) name: String,
    pub(super) link: Link,
    pub(super) task: Task,
    decided_by: Option<Decision>,
}

impl Objective {
    /// # Errors
    ///
    /// `Unsupported` for one that is not known here.
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        use Task::{Classification, Ranking, Regression, Survival};
        let sigmoid = Link::Sigmoid { slope: 1.0 };
        let (link, task, decided_by) = match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror" => (Link::Identity, Regression, None),
            "reg:logistic" => (sigmoid, Regression, None),
            "reg:gamma" | "reg:tweedie" | "count:poisson" => (Link::Exp, Regression, None),
            "survival:cox" | "survival:aft" => (Link::Exp, Survival, None),
            "rank:ndcg" | "rank:pairwise" | "rank:map" => (Link::Identity, Ranking, None),
            "binary:logistic" => (sigmoid, Classification, Some(Decision::Probabilities)),
            // Scores that nobody promises to be probabilities.
            "binary:logitraw" => (Link::Identity, Classification, None),
            "binary:hinge" => (Link::Positive, Classification, Some(Decision::Scores)),
            "multi:softprob" => (Link::Softmax, Classification, Some(Decision::Probabilities)),
            "multi:softmax" => (Link::Softmax, Classification, Some(Decision::Scores)),
            _ => return Err(Error::unsupported(format!("XGBoost: objective {name:?} is not known"))),
        };
        Ok(Self { name: name.to_owned(), link, task, decided_by })
    }

    /// The raw score of a `base_score`, which files keep as a prediction (`ObjFunction::ProbToMargin`).
    pub(super) fn margin(&self, base: f32) -> f32 {
        /// `kRtEps` in `include/xgboost/base.h`.
        const LEAST: f32 = 1e-6;
        match self.link {
            Link::Sigmoid { .. } => -(1.0 / base.clamp(LEAST, 1.0 - LEAST) - 1.0).ln(),
            Link::Exp => base.ln(),
            _ => base,
        }
    }

    /// `classes` is 0 for other than `multi:` objectives. Several labels for one row are no class.
    pub(super) fn answer(&self, outputs: usize, classes: usize) -> Answer {
        match self.decided_by {
            Some(decided_by) if outputs == 1 || classes == outputs => {
                let probabilities = match self.link {
                    Link::Positive => Probabilities::Unknown,
                    _ => Probabilities::Given,
                };
                Answer::Classes { labels: Labels::numbered(outputs.max(2)), decided_by, probabilities }
            }
            _ => Answer::Predictions,
        }
    }
}
