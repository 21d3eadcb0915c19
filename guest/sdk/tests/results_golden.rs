//! The result steps give what NumPy and SciPy give (`results_golden/make.py`).

#[path = "table_golden/cases.rs"]
mod cases;

use ampoule_guest::results::Step;

#[test]
fn result_steps_agree_with_scipy() {
    cases::run(include_str!("results_golden/cases.jsonl"), 75, |steps: &[Step], table| {
        steps.iter().try_for_each(|step| {
            step.check()?;
            step.apply(table)
        })
    });
}
