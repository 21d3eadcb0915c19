//! The outcomes as a table by operator, and what they have to hold.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::case::{Case, Outcome};

/// As `tests/requirements.txt` pins it.
const ONNX: &str = "1.23.2";

pub struct Table {
    /// One screen for a terminal
    pub summary: String,
    /// `CONFORMANCE.md`
    pub document: String,
    /// Names of cases with another answer than expected, and the difference
    pub wrong: Vec<String>,
    /// Names of cases whose refusal names none of their operators
    pub unnamed: Vec<String>,
    /// Of the cases about inference, how many pass: 0 to 1
    pub share: f64,
}

#[derive(Default, Clone, Copy)]
struct Count {
    pass: usize,
    wrong: usize,
    refused: usize,
}

pub fn of(outcomes: &[(&Case, Outcome)]) -> Table {
    let mut kinds: BTreeMap<&str, Count> = BTreeMap::new();
    let mut refused = Vec::new();
    let (mut wrong, mut unnamed) = (Vec::new(), Vec::new());
    for (case, outcome) in outcomes {
        let count = kinds.entry(case.kind.as_str()).or_default();
        match outcome {
            Outcome::Pass => count.pass += 1,
            Outcome::Wrong(difference) => {
                count.wrong += 1;
                wrong.push(format!("{}: {difference}", case.name));
            }
            Outcome::Refused(error) => {
                count.refused += 1;
                refused.push((case, error));
                if !case.operators.iter().any(|operator| error.contains(operator.as_str())) {
                    unnamed.push(format!("{}: {error}", case.name));
                }
            }
        }
    }
    let mut summary = String::new();
    for (kind, Count { pass, wrong, refused }) in &kinds {
        let _ = writeln!(summary, "{kind}: {pass} pass, {wrong} wrong, {refused} refused");
    }
    let inference = kinds.get("inference").copied().unwrap_or_default();
    let share = inference.pass as f64 / (inference.pass + inference.wrong + inference.refused) as f64;
    Table { document: document(&kinds, &refused, outcomes.len()), summary, wrong, unnamed, share }
}

fn document(kinds: &BTreeMap<&str, Count>, refused: &[(&&Case, &String)], all: usize) -> String {
    let again =
        kinds.get("inference, with constants").map_or(0, |count| count.pass + count.wrong + count.refused);
    let cases = all - again;
    let mut text = format!(
        "# Conformance\n\nThe {cases} backend node cases of ONNX {ONNX}, and {again} of them once more with all inputs but the first as \
         constants,\neach run through `Graph::load` and `Graph::run` and compared within the case's own tolerance. `tests/onnx_nodes.rs` \
         runs them\nand holds this page to the outcome.\n\n\
         | cases about | pass | wrong | refused |\n|---|---|---|---|\n"
    );
    for (kind, Count { pass, wrong, refused }) in kinds {
        let _ = writeln!(text, "| {kind} | {pass} | {wrong} | {refused} |");
    }
    text += "\n## Refused\n\n| operator | cases | reason |\n|---|---|---|\n";
    let mut reasons: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (case, error) in refused {
        let operator = case.operators.iter().find(|operator| error.contains(operator.as_str()));
        let operator = operator.or(case.operators.first()).map_or("", String::as_str);
        *reasons.entry((operator, reason(error))).or_default() += 1;
    }
    for ((operator, reason), count) in reasons {
        let _ = writeln!(text, "| {operator} | {count} | {reason} |");
    }
    text
}

/// What a refusal says, without the names that a case happens to have.
fn reason(error: &str) -> String {
    if error.contains("is not implemented") {
        return "not implemented".to_owned();
    }
    if error.contains("got another type") {
        return "sequences and optional values are not taken".to_owned();
    }
    error.rsplit(": ").next().unwrap_or(error).replace('|', "\\|")
}
