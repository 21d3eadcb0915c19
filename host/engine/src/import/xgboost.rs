//! XGBoost's models, 1.0 to 3.x, in JSON and UBJSON: `gbtree`, `dart` and `gblinear`.
//!
//! Fields are those of XGBoost's `doc/model.schema`; what they mean is in its `src/learner.cc`, `src/gbm` and
//! `src/predictor/cpu_predictor.cc`. Trees behind `best_iteration` are left out, as XGBoost's scikit-learn interface
//! does.

mod objective;
mod trees;

use serde::Deserialize;

use super::budget::Budget;
use super::list::{Count, Names, Number, lenient};
use super::ubjson::Ubjson;
use super::{Feature, FeatureKind, Import, Linear, Model};
use crate::Error;
use crate::forest::{Aggregate, Arithmetic, Base, Compare, Forest};
use objective::Objective;
use trees::Trees;

pub(super) fn json(bytes: &[u8]) -> Result<Import, Error> {
    let file = lenient(bytes, |bytes| serde_json::from_slice(bytes));
    build(file.map_err(|e| Error::model(format!("XGBoost's JSON: {e}")))?, bytes.len())
}

pub(super) fn ubjson(bytes: &[u8]) -> Result<Import, Error> {
    let file = File::deserialize(&mut Ubjson::new(bytes.trim_ascii_start()));
    build(file.map_err(|e| Error::model(format!("XGBoost's UBJSON: {e}")))?, bytes.len())
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
    #[serde(default)]
    version: (u32, u32, u32),
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Names,
    #[serde(default)]
    feature_types: Names,
    gradient_booster: Booster,
    learner_model_param: Parameters,
    objective: ObjectiveName,
}

#[derive(Default, Deserialize)]
struct Attributes {
    best_iteration: Option<Count>,
}

#[derive(Deserialize)]
struct ObjectiveName {
    name: String,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_feature: Count,
    num_class: Count,
    /// Since 1.6
    #[serde(default)]
    num_target: Count,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: BoosterModel,
    /// Of `dart`
    gbtree: Option<Inner>,
    /// Of `dart`: a factor for each tree
    #[serde(default)]
    weight_drop: Vec<Number<f32>>,
}

#[derive(Deserialize)]
struct Inner {
    model: BoosterModel,
}

#[derive(Default, Deserialize)]
struct BoosterModel {
    #[serde(default)]
    gbtree_model_param: TreeParameters,
    #[serde(default)]
    trees: Trees,
    /// The output of each tree
    #[serde(default)]
    tree_info: Vec<Count>,
    /// Since 2.0: the first tree of each iteration, and the number of all
    #[serde(default)]
    iteration_indptr: Vec<Count>,
    /// Since 3.1
    #[serde(default)]
    cats: Categories,
    /// Of `gblinear`: `[features + 1, outputs]`, the last row the bias
    #[serde(default)]
    weights: Vec<Number<f32>>,
}

#[derive(Default, Deserialize)]
struct TreeParameters {
    #[serde(default)]
    num_parallel_tree: Count,
}

#[derive(Default, Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Vec<Encoding>,
}

/// The categories of one feature: strings lie one after the other in `values`, each from its offset on.
#[derive(Deserialize)]
struct Encoding {
    offsets: Option<Vec<Count>>,
    #[serde(default)]
    values: Vec<Number<f64>>,
}

fn build(file: File, file_bytes: usize) -> Result<Import, Error> {
    let File { learner, version } = file;
    let Learner {
        attributes,
        feature_names,
        feature_types,
        gradient_booster,
        learner_model_param,
        objective,
    } = learner;
    let Parameters { base_score, num_feature, num_class, num_target } = learner_model_param;
    let (features, outputs) = (num_feature.0, num_class.0.max(num_target.0).max(1));
    let objective = Objective::named(&objective.name)?;
    let base = base(&base_score, outputs, &objective)?;
    let mut budget = Budget::of(file_bytes);
    budget.take::<f64>(outputs)?;

    let Booster { name, model, gbtree, weight_drop } = gradient_booster;
    let (model, encodings) = match name.as_str() {
        "gblinear" => {
            let linear = linear(features, outputs, &model.weights, &base, &objective)?;
            (Model::Linear(linear), Vec::new())
        }
        "gbtree" | "dart" => {
            let model = gbtree.map_or(model, |inner| inner.model);
            let BoosterModel { gbtree_model_param, mut trees, tree_info, iteration_indptr, cats, .. } = model;
            if tree_info.len() != trees.len() {
                let (expected, got) = (trees.len(), tree_info.len());
                return Err(Error::model(format!(
                    "XGBoost: expected outputs of {expected} trees, got {got}"
                )));
            }
            if let Some(Count(best)) = attributes.best_iteration {
                let each = gbtree_model_param.num_parallel_tree.0.max(1).saturating_mul(
                    // A tree with vectors in its leaves serves every output.
                    if trees.vectors() { 1 } else { outputs },
                );
                let rounds = best.saturating_add(1);
                let counted = iteration_indptr.get(rounds).map(|Count(trees)| *trees);
                trees.truncate(counted.unwrap_or(rounds.saturating_mul(each)));
            }
            let factors = (name == "dart").then_some(weight_drop.as_slice());
            let forest = Forest {
                features,
                outputs,
                aggregate: Aggregate::Sum,
                base: base.iter().map(|x| f64::from(*x)).collect(),
                base_order: Base::First,
                scale: 1.0,
                arithmetic: Arithmetic::F32,
                compare: Compare::F32,
                link: objective.link,
                ..trees.plant(&tree_info, factors, outputs, &mut budget)?
            };
            (Model::Trees(forest.check()?), cats.enc)
        }
        other => return Err(Error::unsupported(format!("XGBoost: booster {other:?} is not read"))),
    };
    let features = describe(features, feature_names.0, &feature_types.0, &encodings, &mut budget)?;
    let answer = objective.answer(outputs, num_class.0);
    let (major, minor, patch) = version;
    Ok(Import {
        model,
        producer: format!("XGBoost {major}.{minor}.{patch}"),
        task: objective.task,
        objective: objective.name,
        features,
        answer,
    })
}

/// Raw scores to begin with: one number for all outputs, or since 3.1 a list in brackets.
fn base(text: &str, outputs: usize, objective: &Objective) -> Result<Vec<f32>, Error> {
    let wrong = || Error::model(format!("XGBoost: expected base scores of {outputs} outputs, got {text:?}"));
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let margin = |number: &str| {
        let x: f32 = number.trim().parse().map_err(|_| wrong())?;
        Ok(objective.margin(x))
    };
    let base: Vec<f32> = bare.split(',').map(margin).collect::<Result<_, Error>>()?;
    match base.as_slice() {
        // The number of outputs is not yet believed: a tree per output comes later.
        [_] if outputs > super::budget::MAX_NAMES => Err(wrong()),
        [one] => Ok(vec![*one; outputs]),
        many if many.len() == outputs => Ok(base),
        _ => Err(wrong()),
    }
}

fn linear(
    features: usize,
    outputs: usize,
    weights: &[Number<f32>],
    base: &[f32],
    objective: &Objective,
) -> Result<Linear, Error> {
    let expected = features.checked_add(1).and_then(|rows| rows.checked_mul(outputs));
    if expected != Some(weights.len()) {
        let got = weights.len();
        return Err(Error::model(format!(
            "XGBoost: expected weights of {features} features and a bias for {outputs} outputs, got {got}"
        )));
    }
    let (weights, bias) = weights.split_at(features * outputs);
    Ok(Linear {
        features,
        outputs,
        weights: weights.iter().map(|x| x.0).collect(),
        // The first output's base score serves all (`gblinear.cc`, `PredictBatchInternal`).
        bias: bias.iter().map(|x| x.0 + base[0]).collect(),
        link: objective.link,
    })
}

fn describe(
    features: usize,
    names: Vec<String>,
    kinds: &[String],
    encodings: &[Encoding],
    budget: &mut Budget,
) -> Result<Vec<Feature>, Error> {
    // Kinds and categories without names are worth naming the columns for.
    let named = !names.is_empty() || !kinds.is_empty();
    if !named || features > super::budget::MAX_NAMES {
        return Ok(Vec::new());
    }
    budget.take::<Feature>(features)?;
    let given = names.len();
    if given != 0 && given != features {
        return Err(Error::model(format!("XGBoost: expected names of {features} features, got {given}")));
    }
    let mut names = names.into_iter();
    let describe = |at: usize| {
        let name = names.next().unwrap_or_else(|| format!("f{at}"));
        let kind = match kinds.get(at).map(String::as_str) {
            Some("int") => FeatureKind::Integer,
            Some("i") => FeatureKind::Indicator,
            Some("c") => FeatureKind::Categorical,
            _ => FeatureKind::Float,
        };
        let categories = match (kind, encodings.get(at)) {
            (FeatureKind::Categorical, Some(encoding)) => encoding.names(budget)?,
            _ => Vec::new(),
        };
        Ok(Feature { name, kind, categories })
    };
    (0..features).map(describe).collect()
}

impl Encoding {
    fn names(&self, budget: &mut Budget) -> Result<Vec<String>, Error> {
        let Some(offsets) = &self.offsets else {
            budget.take::<String>(self.values.len())?;
            return Ok(self.values.iter().map(|Number(value)| value.to_string()).collect());
        };
        // XGBoost 3.2 counts characters where it should count bytes, and so cuts names with others than ASCII wrongly.
        if self.values.iter().any(|Number(c)| !(0.0..128.0).contains(c)) {
            return Ok(Vec::new());
        }
        budget.take::<String>(offsets.len())?;
        let wrong = || Error::model("XGBoost: the categories' names are damaged");
        let name = |ends: &[Count]| {
            let characters = self.values.get(ends[0].0..ends[1].0).ok_or_else(wrong)?;
            Ok(characters.iter().map(|Number(c)| *c as u8 as char).collect())
        };
        let mut last = 0;
        if offsets.iter().any(|Count(at)| std::mem::replace(&mut last, *at) > *at) {
            return Err(wrong());
        }
        offsets.windows(2).map(name).collect()
    }
}
