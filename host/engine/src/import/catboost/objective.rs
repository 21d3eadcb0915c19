//! [`Objective`]: the loss that a model was trained with, its classes, and so what raw scores mean.

use serde::Deserialize;

use super::wrong;
use crate::Error;
use crate::forest::Link;
use crate::import::list::Labelled;
use crate::import::{Answer, Decision, Labels, Probabilities, Task};

#[derive(Default, Deserialize)]
pub(super) struct Parameters {
    loss_function: Option<Loss>,
}

#[derive(Deserialize)]
struct Loss {
    r#type: String,
}

#[derive(Deserialize)]
pub(super) struct Classes {
    #[serde(default)]
    class_label_type: String,
    /// In the order of their scores
    #[serde(default)]
    class_names: Labelled,
}

pub(super) struct Objective {
    pub(super) name: String,
    pub(super) link: Link,
    pub(super) task: Task,
    pub(super) answer: Answer,
}

impl Objective {
    /// # Errors
    ///
    /// `Unsupported` for a loss that is not known here, `InvalidModel` for classes that don't fit the scores.
    pub(super) fn of(parameters: Parameters, classes: Option<Classes>, scores: usize) -> Result<Self, Error> {
        use Task::{Classification, Ranking, Regression, Survival};
        let named = parameters.loss_function.map(|loss| loss.r#type);
        // A sum of models and a user's own loss leave no name.
        let name = match (named, &classes) {
            (Some(name), _) => name,
            (None, None) => "RMSE".to_owned(),
            (None, Some(_)) => (if scores == 1 { "Logloss" } else { "MultiClass" }).to_owned(),
        };
        let sigmoid = Link::Sigmoid { slope: 1.0 };
        let (link, task) = match name.as_str() {
            "Logloss" | "CrossEntropy" | "Focal" => (sigmoid, Classification),
            "MultiClass" => (Link::Softmax, Classification),
            "MultiClassOneVsAll" => (sigmoid, Classification),
            // Several labels for one row are no class.
            "MultiLogloss" | "MultiCrossEntropy" => (sigmoid, Regression),
            "Poisson" | "Tweedie" => (Link::Exp, Regression),
            "RMSE"
            | "MAE"
            | "Quantile"
            | "MultiQuantile"
            | "LogLinQuantile"
            | "MAPE"
            | "Lq"
            | "Huber"
            | "Expectile"
            | "LogCosh"
            | "MultiRMSE"
            | "MultiRMSEWithMissingValues"
            | "GroupQuantile" => (Link::Identity, Regression),
            "YetiRank" | "YetiRankPairwise" | "PairLogit" | "PairLogitPairwise" | "QueryRMSE"
            | "QuerySoftMax" | "QueryCrossEntropy" | "StochasticRank" | "StochasticFilter" | "LambdaMart" => {
                (Link::Identity, Ranking)
            }
            "Cox" | "SurvivalAft" => (Link::Identity, Survival),
            _ => return Err(Error::unsupported(format!("CatBoost: loss function {name:?} is not known"))),
        };
        let answer = match task {
            Classification => Answer::Classes {
                labels: labels(classes, scores)?,
                decided_by: Decision::Scores,
                probabilities: Probabilities::Given,
            },
            _ => Answer::Predictions,
        };
        Ok(Self { name, link, task, answer })
    }
}

fn labels(classes: Option<Classes>, scores: usize) -> Result<Labels, Error> {
    let expected = scores.max(2);
    let Some(Classes { class_label_type, class_names }) =
        classes.filter(|classes| !classes.class_names.0.is_empty())
    else {
        return Ok(Labels::numbered(expected));
    };
    let names = class_names.0;
    if names.len() != expected {
        return Err(wrong(&format!("expected names of {expected} classes, got {}", names.len())));
    }
    if matches!(class_label_type.as_str(), "Integer" | "Float" | "") {
        let whole =
            names.iter().map(|name| name.parse().ok().or_else(|| name.strip_suffix(".0")?.parse().ok()));
        if let Some(whole) = whole.collect() {
            return Ok(Labels::Integers(whole));
        }
    }
    Ok(Labels::Strings(names))
}
