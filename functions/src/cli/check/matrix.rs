//! [`Matrix`]: what came of a check, as a table for people and as JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ampoule_host::{Agreement, Ampoule, Checked, Field};
use serde_json::{Value, json};

use super::compare::{Answer, Difference, Rules, Verdict};

/// Differences that are kept of a row.
const KEPT: usize = 20;

/// What came of a check.
pub struct Matrix {
    pub name: String,
    pub version: String,
    /// Sha256 of the file, which all environments had.
    pub digest: String,
    outputs: Vec<Field>,
    pub instances: Vec<Value>,
    /// The native engine's answers.
    pub reference: Vec<Answer>,
    tolerance: f64,
    seed: u64,
    pub rows: Vec<Row>,
}

/// One environment.
pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    /// How many instances it was asked for.
    asked: usize,
    /// What was compared, where it is less than all.
    fields: Option<BTreeSet<String>>,
}

/// What came of one environment.
pub enum Outcome {
    Equal,
    Within {
        difference: f64,
        at: String,
    },
    Different {
        /// How many instances of how many.
        differing: usize,
        compared: usize,
        /// The first of them.
        differences: Vec<Differing>,
    },
    Failed(String),
    Absent {
        why: String,
        /// Whether it was asked for by name.
        wanted: bool,
    },
}

/// An instance whose answer is another.
pub struct Differing {
    pub instance: usize,
    pub difference: Difference,
    /// The environment's answer.
    pub actual: Answer,
}

impl Row {
    pub fn absent(name: String, why: String, wanted: bool) -> Self {
        Self { name, outcome: Outcome::Absent { why, wanted }, asked: 0, fields: None }
    }

    pub fn failed(name: String, why: String) -> Self {
        Self { name, outcome: Outcome::Failed(why), asked: 0, fields: None }
    }

    fn holds(&self) -> bool {
        match self.outcome {
            Outcome::Equal | Outcome::Within { .. } => true,
            Outcome::Absent { wanted, .. } => !wanted,
            Outcome::Different { .. } | Outcome::Failed(_) => false,
        }
    }
}

impl Matrix {
    pub fn new(
        ampoule: &Ampoule,
        instances: Vec<Value>,
        reference: Vec<Answer>,
        tolerance: f64,
        seed: u64,
    ) -> Self {
        let manifest = ampoule.manifest();
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: format!("sha256:{}", ampoule.digest()),
            outputs: manifest.outputs.clone(),
            instances,
            reference,
            tolerance,
            seed,
            rows: Vec::new(),
        }
    }

    /// What the manifest is to say about a check that holds, of a file that has this digest without it; none where nothing
    /// was compared.
    pub fn checked(&self, sha256: String) -> Option<Checked> {
        let agreement = |row: &Row| {
            let largest_difference = match &row.outcome {
                Outcome::Equal => 0.0,
                Outcome::Within { difference, .. } => *difference,
                _ => return None,
            };
            let fields = row.fields.iter().flatten().cloned().collect();
            let instances = row.asked as u64;
            Some((row.name.clone(), Agreement { instances, largest_difference, fields }))
        };
        let environments: BTreeMap<String, Agreement> = self.rows.iter().filter_map(agreement).collect();
        let tolerance = self.tolerance;
        (!environments.is_empty()).then_some(Checked { sha256, tolerance, environments })
    }

    /// Whether the answers are the same everywhere, and all that was asked for by name is here.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(Row::holds)
    }

    /// The instances to ask for: all, or those that the reference predicts.
    pub fn asked(&self, valid_only: bool) -> Vec<usize> {
        let given = |index: &usize| matches!(self.reference.get(*index), Some(Answer::Given(_)));
        (0..self.instances.len()).filter(|index| !valid_only || given(index)).collect()
    }

    /// Compares an environment's answers with the reference's; `asked` says which instances they are to.
    pub fn compare(&self, name: String, asked: &[usize], answers: Vec<Answer>, partial: bool) -> Row {
        let rules = Rules { outputs: &self.outputs, tolerance: self.tolerance, partial };
        let fields = partial.then(|| self.fields(asked, &answers)).flatten();
        let mut within: Option<(f64, String)> = None;
        let (mut differing, mut differences) = (0, Vec::new());
        for (&instance, actual) in asked.iter().zip(answers) {
            let Some(expected) = self.reference.get(instance) else { continue };
            match rules.compare(expected, &actual) {
                Verdict::Equal => {}
                Verdict::Within { difference, at } => {
                    if within.as_ref().is_none_or(|(before, _)| difference > *before) {
                        within = Some((difference, format!("instances[{instance}]{at}")));
                    }
                }
                Verdict::Different(difference) => {
                    differing += 1;
                    if differences.len() < KEPT {
                        differences.push(Differing { instance, difference, actual });
                    }
                }
            }
        }
        let outcome = match within {
            _ if differing > 0 => Outcome::Different { differing, compared: asked.len(), differences },
            Some((difference, at)) => Outcome::Within { difference, at },
            None => Outcome::Equal,
        };
        Row { name, outcome, asked: asked.len(), fields }
    }

    /// The fields of predictions that an environment gives, where it leaves some out.
    fn fields(&self, asked: &[usize], answers: &[Answer]) -> Option<BTreeSet<String>> {
        let names = |answer: &Answer| match answer {
            Answer::Given(Value::Object(members)) => members.keys().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let expected: BTreeSet<String> =
            asked.iter().filter_map(|&index| self.reference.get(index)).flat_map(names).collect();
        let given: BTreeSet<String> = answers.iter().flat_map(names).collect();
        (!given.is_empty() && expected.difference(&given).next().is_some()).then_some(given)
    }

    /// How many instances the native engine refuses, and at how many the model fails.
    fn unanswered(&self) -> (usize, usize) {
        let count =
            |matches: fn(&Answer) -> bool| self.reference.iter().filter(|&answer| matches(answer)).count();
        let refused = count(|answer| matches!(answer, Answer::Refused(_)));
        (refused, count(|answer| matches!(answer, Answer::Failed(_))))
    }

    /// What the check was of, in lines.
    pub fn about(&self) -> [(&'static str, String); 5] {
        let (refused, failed) = self.unanswered();
        let mut instances = self.instances.len().to_string();
        if refused > 0 {
            let _ = write!(instances, ", {refused} of them refused by the native engine");
        }
        if failed > 0 {
            let _ = write!(instances, ", {failed} of them at which the model fails");
        }
        [
            ("model", format!("{} {}", self.name, self.version)),
            ("digest", self.digest.clone()),
            ("instances", instances),
            ("seed", self.seed.to_string()),
            ("tolerance", format!("{:e}", self.tolerance)),
        ]
    }

    /// A row in words.
    pub fn words(&self, row: &Row) -> String {
        let mut words = match &row.outcome {
            Outcome::Equal => "equal to the bit".to_owned(),
            Outcome::Within { difference, at } => {
                format!("within {:e} (largest difference {difference:.1e} at {at})", self.tolerance)
            }
            Outcome::Different { differing, compared, differences } => {
                let first = differences.first().map(Differing::words).unwrap_or_default();
                format!("DIFFERENT in {differing} of {compared} ({first})")
            }
            Outcome::Failed(why) => format!("failed: {why}"),
            Outcome::Absent { why, .. } => format!("not here: {why}"),
        };
        if row.asked > 0 && row.asked < self.instances.len() {
            let _ = write!(words, "; asked: {} instances", row.asked);
        }
        if let Some(fields) = &row.fields {
            let names: Vec<&str> = fields.iter().map(String::as_str).collect();
            let _ = write!(words, "; compared: {}", names.join(", "));
        }
        words
    }

    /// The table for a terminal; what came from files and servers is escaped.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for (name, value) in self.about() {
            let _ = writeln!(table, "{name:<10} {}", plain(&value));
        }
        let width =
            self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("native".len());
        let _ = writeln!(table, "\n{:<width$}  the reference", "native");
        for row in &self.rows {
            let _ = writeln!(table, "{:<width$}  {}", plain(&row.name), plain(&self.words(row)));
        }
        table
    }

    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let (refused, failed) = self.unanswered();
        json!({
            "model": self.name,
            "version": self.version,
            "digest": self.digest,
            "instances": self.instances.len(),
            "refused": refused,
            "failed": failed,
            "seed": self.seed,
            "tolerance": self.tolerance,
            "reference": "native",
            "holds": self.holds(),
            "environments": rows,
        })
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut row = match &self.outcome {
            Outcome::Equal => json!({ "outcome": "equal" }),
            Outcome::Within { difference, at } => {
                json!({ "outcome": "within", "largest_difference": difference, "at": at })
            }
            Outcome::Different { differing, compared, differences } => json!({
                "outcome": "different",
                "differing": differing,
                "compared": compared,
                "differences": differences.iter().map(Differing::json).collect::<Vec<_>>(),
            }),
            Outcome::Failed(why) => json!({ "outcome": "failed", "why": why }),
            Outcome::Absent { why, .. } => json!({ "outcome": "absent", "why": why }),
        };
        row["name"] = json!(self.name);
        row["asked"] = json!(self.asked);
        if let Some(fields) = &self.fields {
            row["fields"] = json!(fields);
        }
        row
    }
}

impl Differing {
    /// `instances[3].label: "setosa" instead of "virginica"`.
    pub fn words(&self) -> String {
        let Difference { at, expected, actual } = &self.difference;
        let gap = if at.is_empty() || at.starts_with(['.', '[']) { "" } else { " " };
        format!("instances[{}]{gap}{at}: {actual} instead of {expected}", self.instance)
    }

    fn json(&self) -> Value {
        let Difference { at, expected, actual } = &self.difference;
        json!({ "instance": self.instance, "at": at, "expected": expected, "actual": actual })
    }
}

/// Text without what moves a terminal's cursor.
fn plain(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().map(shown).collect()
}
