//! [`Objective`]: the line that says what raw scores mean (`ConvertOutput` in `src/objective`).

use super::wrong;
use crate::Error;
use crate::forest::Link;
use crate::import::{Answer, Decision, Labels, Probabilities, Task};

pub(super) struct Objective {
    /// The line as it stands, such as `binary sigmoid:1`
    pub(super) text: String,
    pub(super) link: Link,
    pub(super) task: Task,
}

impl Objective {
    /// A missing line is an objective of the user's own, whose scores stay as they are.
    ///
    /// # Errors
    ///
    /// `Unsupported` for one that is not known here, `InvalidModel` for a wrong parameter.
    pub(super) fn read(line: Option<&str>, scores: usize) -> Result<Self, Error> {
        use Task::{Classification, Ranking, Regression};
        let text = line.unwrap_or("custom");
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or("custom");
        let slope = || match words.clone().find_map(|word| word.strip_prefix("sigmoid:")) {
            None => Ok(1.0),
            Some(number) => match number.parse::<f64>() {
                Ok(slope) if slope > 0.0 => Ok(slope),
                _ => Err(wrong(&format!("expected a sigmoid above 0, got {number:?}"))),
            },
        };
        let squared = words.clone().any(|word| word == "sqrt");
        let (link, task) = match name {
            "custom" | "none" | "null" | "na" => (Link::Identity, Regression),
            "regression"
            | "regression_l2"
            | "l2"
            | "mean_squared_error"
            | "mse"
            | "rmse"
            | "l2_root"
            | "root_mean_squared_error" => {
                (if squared { Link::SignedSquare } else { Link::Identity }, Regression)
            }
            // These share the square root's switch, which their writer adds too.
            "regression_l1"
            | "l1"
            | "mae"
            | "mean_absolute_error"
            | "huber"
            | "fair"
            | "quantile"
            | "mape"
            | "mean_absolute_percentage_error" => {
                (if squared { Link::SignedSquare } else { Link::Identity }, Regression)
            }
            "poisson" | "gamma" | "tweedie" => (Link::Exp, Regression),
            "cross_entropy" | "xentropy" => (Link::Sigmoid { slope: 1.0 }, Regression),
            "cross_entropy_lambda" | "xentlambda" => (Link::Softplus, Regression),
            "lambdarank" | "rank_xendcg" | "xendcg" => (Link::Identity, Ranking),
            "binary" => (Link::Sigmoid { slope: slope()? }, Classification),
            "multiclass" | "softmax" => (Link::Softmax, Classification),
            "multiclassova" | "multiclass_ova" | "ova" | "ovr" => {
                (Link::Sigmoid { slope: slope()? }, Classification)
            }
            _ => return Err(Error::unsupported(format!("LightGBM: objective {name:?} is not known"))),
        };
        if name == "binary" && scores != 1 {
            return Err(wrong(&format!("expected one score for objective \"binary\", got {scores}")));
        }
        Ok(Self { text: text.to_owned(), link, task })
    }

    pub(super) fn answer(&self, scores: usize) -> Answer {
        match self.task {
            Task::Classification => Answer::Classes {
                labels: Labels::numbered(scores.max(2)),
                decided_by: Decision::Probabilities,
                probabilities: Probabilities::Given,
            },
            _ => Answer::Predictions,
        }
    }
}
