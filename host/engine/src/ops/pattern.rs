//! Regular expressions in RE2's syntax, which ONNX takes, read by the crate `regex`, whose classes are Unicode's.

use regex::Regex;
use tract_onnx::tract_hir::internal::*;

pub(super) fn search(pattern: &str) -> TractResult<Regex> {
    Regex::new(&translated(pattern)).with_context(|| format!("regular expression {pattern:?}"))
}

/// The whole text has to match.
pub(super) fn full_match(pattern: &str) -> TractResult<Regex> {
    let whole = format!(r"\A(?:{})\z", translated(pattern));
    Regex::new(&whole).with_context(|| format!("regular expression {pattern:?}"))
}

/// In RE2, `\w`, `\d`, `\s` and `\b` know ASCII only, and a class has no operators in it.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    // Characters since the class began, 0 outside of one.
    let mut within = 0;
    while let Some(c) = rest.next() {
        match (c, within) {
            ('\\', _) => match rest.next() {
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('s') => out.push_str(r"[\t\n\f\r ]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if within == 0 => out.push_str(r"(?-u:\b)"),
                Some('Q') if within == 0 => {
                    let text: String = rest.by_ref().collect();
                    let (literal, after) = text.split_once(r"\E").unwrap_or((&text, ""));
                    out.push_str(&regex::escape(literal));
                    return out + &translated(after);
                }
                Some(escaped) => out.extend(['\\', escaped]),
                None => out.push('\\'),
            },
            ('[', 0) => {
                out.push('[');
                within = 1;
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                    within = 2;
                }
                continue;
            }
            (']', 1..) => {
                out.push(']');
                within = 0;
            }
            ('[', _) if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ('[' | '&' | '~', 1..) => out.extend(['\\', c]),
            _ => out.push(c),
        }
        within += usize::from(within > 0);
    }
    out
}
