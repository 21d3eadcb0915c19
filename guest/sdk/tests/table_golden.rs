//! The table steps give what NumPy and scikit-learn give (`table_golden/make.py`).

#[path = "table_golden/cases.rs"]
mod cases;

use ampoule_guest::table::Step;

#[test]
fn table_steps_agree_with_scikit_learn() {
    cases::run(include_str!("table_golden/cases.jsonl"), 95, |steps: &[Step], table| {
        steps.iter().try_for_each(|step| {
            step.check()?;
            step.apply(table)
        })
    });
}
