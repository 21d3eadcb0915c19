//! A profile as SVG: three rows of boxes, each box as wide as its time.

use std::fmt::Write;

use super::{Implementation, NodeTime, Profile};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 26.0;
const TOP: f64 = 34.0;
/// Width of a letter, to leave out what doesn't fit
const LETTER: f64 = 6.6;

pub(super) fn svg(profile: &Profile) -> String {
    let height = TOP + 3.0 * ROW + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"6\" y=\"20\" font-size=\"13\">{:.2?} each of {} runs; \
         <tspan fill=\"#b4530a\">this engine's kernels</tspan>, <tspan fill=\"#30638e\">tract's</tspan></text>\n",
        profile.whole(),
        profile.runs(),
    );
    draw(
        &mut svg,
        0,
        (0.0, 1.0),
        "#c9ccd1",
        "all nodes",
        &format!("all nodes, {:.2?}", sum(profile.nodes())),
    );
    let mut from = 0.0;
    for operator in profile.operators() {
        let fill = colour(operator.by, true);
        let about = format!(
            "{} ({}), {} nodes, {:.2?}, {:.1} %",
            operator.operator,
            operator.by,
            operator.nodes,
            operator.time,
            100.0 * operator.share
        );
        draw(&mut svg, 1, (from, operator.share), fill, &operator.operator, &about);
        let own = |node: &&NodeTime| node.operator == operator.operator && node.by == operator.by;
        let mut nodes: Vec<&NodeTime> = profile.nodes().iter().filter(own).collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.time));
        let mut inside = from;
        for node in nodes {
            let about = format!(
                "{}: {} ({}), {:.2?}, {:.1} %",
                node.name,
                node.operator,
                node.by,
                node.time,
                100.0 * node.share
            );
            draw(&mut svg, 2, (inside, node.share), colour(node.by, false), &node.name, &about);
            inside += node.share;
        }
        from += operator.share;
    }
    svg += "</svg>\n";
    svg
}

fn sum(nodes: &[NodeTime]) -> std::time::Duration {
    nodes.iter().map(|node| node.time).sum()
}

fn colour(by: Implementation, strong: bool) -> &'static str {
    match (by, strong) {
        (Implementation::Ours, true) => "#f2a65a",
        (Implementation::Ours, false) => "#f8d2a8",
        (Implementation::Tract, true) => "#7fb2d9",
        (Implementation::Tract, false) => "#c2dcef",
        (Implementation::OnnxRuntime, true) => "#9ac48a",
        (Implementation::OnnxRuntime, false) => "#d0e5c8",
    }
}

/// A box from `place.0`, `place.1` wide, both of the whole's width.
fn draw(svg: &mut String, row: u32, place: (f64, f64), fill: &str, label: &str, about: &str) {
    let (x, y, width) = (place.0 * WIDTH, TOP + f64::from(row) * ROW, place.1 * WIDTH);
    let letters = ((width - 6.0) / LETTER).max(0.0) as usize;
    let _ = write!(
        svg,
        "<g><title>{}</title><rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{}\" fill=\"{fill}\" stroke=\"#fff\" \
         stroke-width=\"0.5\"/>",
        escaped(about),
        ROW - 2.0
    );
    if letters >= 3 {
        let shown: String = label.chars().take(letters).collect();
        let _ = write!(svg, "<text x=\"{:.2}\" y=\"{}\">{}</text>", x + 3.0, y + 16.0, escaped(&shown));
    }
    svg.push_str("</g>\n");
}

/// A name is data: no markup, and no character that XML forbids.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}')
            }
            letter => safe.push(letter),
        }
    }
    safe
}
