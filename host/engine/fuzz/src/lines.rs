//! Changes to LightGBM's text that leave it lines of `key=value value …`.

use crate::Random;

/// Values that the reader knows.
const WORDS: [&str; 24] = [
    "none",
    "nan",
    "inf",
    "-inf",
    "1e-36",
    "1e308",
    "-1",
    "0",
    "1",
    "2",
    "9",
    "10",
    "4294967296",
    "99999999999999999999",
    "[0:1]",
    "0:1:5",
    "binary sigmoid:1",
    "multiclass num_class:3",
    "multiclassova num_class:3 sigmoid:1",
    "regression sqrt",
    "lambdarank",
    "poisson",
    "cross_entropy_lambda",
    "average_output",
];

/// The text in `data`, changed in one to four places; `None` if there is none.
pub fn mutate(data: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(data).ok().filter(|text| !text.is_empty())?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..1 + random.below(4) {
        if lines.is_empty() {
            break;
        }
        let at = random.below(lines.len());
        match random.below(12) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = random.below(lines.len());
                lines.swap(at, other);
            }
            3 => {
                // A run of lines, such as a tree, once more.
                let run = lines[at..(at + 1 + random.below(30)).min(lines.len())].to_vec();
                let to = random.below(lines.len() + 1);
                lines.splice(to..to, run);
            }
            _ => lines[at] = change(&lines[at], random),
        }
    }
    lines.push(String::new());
    Some(lines.join("\n").into_bytes())
}

fn change(line: &str, random: &mut Random) -> String {
    let Some((key, values)) = line.split_once('=') else {
        return format!("{line}={}", random.pick(&WORDS));
    };
    let mut values: Vec<String> = values.split(' ').map(str::to_owned).collect();
    let at = random.below(values.len());
    let word = |random: &mut Random| match random.below(3) {
        0 => random.integer().to_string(),
        1 => random.float().to_string(),
        _ => (*random.pick(&WORDS)).to_owned(),
    };
    match random.below(8) {
        0 => drop(values.remove(at)),
        1 => values.insert(at, values[at].clone()),
        2 => values.truncate(at),
        3 => values.splice(at..at, vec![word(random); 1 + random.below(8)]).for_each(drop),
        4 => values.swap(at, 0),
        _ => values[at] = word(random),
    }
    format!("{key}={}", values.join(" "))
}
