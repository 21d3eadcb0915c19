//! LightGBM's models in text, versions 3 and 4 of the format (LightGBM 2.3 to 4.x).
//!
//! Keys are those of `src/boosting/gbdt_model_text.cpp` and `src/io/tree.cpp`; a comparison is `Tree::NumericalDecision`
//! and `Tree::CategoricalDecision` of `include/LightGBM/tree.h`. Rows are dense f64, whose values up to
//! [`ZERO`](crate::forest::ZERO) LightGBM takes for 0 before it looks at them.

mod objective;
mod trees;

use super::budget::{Budget, MAX_NAMES};
use super::{Feature, FeatureKind, Import, Model};
use crate::Error;
use crate::forest::{Aggregate, Arithmetic, Base, Compare, Forest};
use objective::Objective;

pub(super) fn read(bytes: &[u8]) -> Result<Import, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("expected UTF-8"))?;
    let mut budget = Budget::of(bytes.len());
    let (head, rest) = text.split_at(text.find("\nTree=").map_or(text.len(), |at| at + 1));
    let head = Section(head);
    let version = head.get("version").unwrap_or("v2");
    if !matches!(version, "v2" | "v3" | "v4") {
        return Err(Error::unsupported(format!("LightGBM: version {version:?} of the format is not known")));
    }
    let per_iteration = head.count("num_tree_per_iteration")?.max(1);
    let features = head.count("max_feature_idx")?.checked_add(1).ok_or_else(|| wrong("too many features"))?;
    if per_iteration > MAX_NAMES {
        return Err(wrong(&format!(
            "expected at most {MAX_NAMES} trees in an iteration, got {per_iteration}"
        )));
    }
    budget.take::<f64>(per_iteration)?;
    let objective = Objective::read(head.get("objective"), per_iteration)?;
    let planted = trees::read(rest, per_iteration, &mut budget)?;
    // Random forests average their trees (`boosting=rf`); scores are sums per class over all iterations.
    let averaged = head.0.lines().any(|line| line.trim_end() == "average_output");
    let iterations = planted.roots.len() / per_iteration;
    let aggregate = match averaged && iterations > 0 {
        true => Aggregate::Average(iterations as f64),
        false => Aggregate::Sum,
    };
    let mut described = describe(features, &head, &mut budget)?;
    name_categories(text, &head, &mut described, &mut budget)?;
    let forest = Forest {
        features,
        outputs: per_iteration,
        aggregate,
        base: Vec::new(),
        base_order: Base::Last,
        scale: 1.0,
        arithmetic: Arithmetic::F64,
        compare: Compare::F64,
        link: objective.link,
        ..planted
    };
    Ok(Import {
        model: Model::Trees(forest.check()?),
        producer: format!("LightGBM, format {version}"),
        task: objective.task,
        answer: objective.answer(per_iteration),
        objective: objective.text,
        features: described,
    })
}

/// Lines of `key=value` up to a blank one.
#[derive(Clone, Copy)]
struct Section<'a>(&'a str);

impl<'a> Section<'a> {
    fn get(self, key: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim_end)
    }

    fn count(self, key: &str) -> Result<usize, Error> {
        let text = self.get(key).ok_or_else(|| wrong(&format!("{key} is missing")))?;
        text.parse().map_err(|_| wrong(&format!("{key}: expected a whole number, got {text:?}")))
    }
}

fn describe(features: usize, head: &Section, budget: &mut Budget) -> Result<Vec<Feature>, Error> {
    let names = head.get("feature_names").unwrap_or_default();
    let kinds = head.get("feature_infos").unwrap_or_default();
    let given = names.split(' ').filter(|name| !name.is_empty()).count();
    if given == 0 || given > MAX_NAMES {
        return Ok(Vec::new());
    }
    if given != features {
        return Err(wrong(&format!("expected names of {features} features, got {given}")));
    }
    budget.take::<Feature>(given)?;
    let mut kinds = kinds.split(' ');
    let describe = |name: &str| {
        // `[least:greatest]`, categories as `3:0:7`, or `none` for one that was not used.
        let info = kinds.next().unwrap_or("none");
        let categorical = !info.starts_with('[') && info != "none";
        let kind = if categorical { FeatureKind::Categorical } else { FeatureKind::Float };
        Feature { name: name.to_owned(), kind, categories: Vec::new() }
    };
    Ok(names.split(' ').filter(|name| !name.is_empty()).map(describe).collect())
}

/// Gives categorical features the names of their categories, where a data frame had them: its last line holds a list for
/// each column of categories, in the columns' order. A frame's ordered categories are numbers to LightGBM, and have a list
/// too: then it can't be told whose is whose, and all are given as codes.
fn name_categories(
    text: &str,
    head: &Section,
    features: &mut [Feature],
    budget: &mut Budget,
) -> Result<(), Error> {
    let Some(line) = text.lines().rev().find_map(|line| line.strip_prefix("pandas_categorical:")) else {
        return Ok(());
    };
    // As many at the most, each with what it takes itself.
    budget.take::<[String; 2]>(line.matches([',', '[']).count())?;
    let lists: Option<Vec<Vec<Category>>> = serde_json::from_str(line)
        .map_err(|cause| wrong(&format!("pandas_categorical: expected lists of categories: {cause}")))?;
    let lists = lists.unwrap_or_default();
    let seen = head.get("feature_infos").unwrap_or_default().split(' ');
    let columns =
        features.iter_mut().zip(seen).filter(|(feature, _)| feature.kind == FeatureKind::Categorical);
    let columns: Vec<(&mut Feature, &str)> = columns.collect();
    let fits = |(seen, list): (&str, &Vec<Category>)| {
        seen.split(':').all(|code| code.parse::<i64>().is_ok_and(|code| code < list.len() as i64))
    };
    let seen = columns.iter().map(|(_, seen)| *seen);
    if columns.len() != lists.len() || !seen.zip(&lists).all(fits) {
        return Ok(());
    }
    for ((feature, _), list) in columns.into_iter().zip(lists) {
        let words = list.iter().all(|category| matches!(category, Category::Word(_)));
        let numbers = list.iter().all(|category| matches!(category, Category::Number(_)));
        if words || numbers {
            feature.categories = list.into_iter().map(Category::name).collect();
        }
    }
    Ok(())
}

/// A category as a data frame has it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Category {
    Word(String),
    Number(i32),
    Other(serde::de::IgnoredAny),
}

impl Category {
    fn name(self) -> String {
        match self {
            Self::Word(word) => word,
            Self::Number(number) => number.to_string(),
            Self::Other(_) => String::new(),
        }
    }
}

fn wrong(message: &str) -> Error {
    Error::model(format!("LightGBM: {message}"))
}
