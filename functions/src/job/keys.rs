//! [`Keys`]: where in the output place things go. No two inputs meet in one key.
//!
//! An output key is the input's whole key, percent-encoded where a store or a folder might read
//! something into it, and the ending of what it holds. Percent-decoding gives the input's key back,
//! but for keys that are too long: those go by their sha256.

use ampoule_host::sha256_hex;

/// Bytes of an escaped key from which its hash stands for it: stores take 1,024, of which prefix and ending need some.
const LONG: usize = 900;

/// The same for a part between slashes: folders take 255 bytes, of which endings need some.
const LONG_PART: usize = 200;

/// The keys of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What all keys of the output place begin with.
    output: String,
    /// What the keys of what can't be predicted begin with.
    dead: String,
}

/// What keys of records go on with after the output place's own beginning.
const JOBS: &str = "_jobs/";

/// What stands beside an input that can't be predicted.
const ERROR: &str = ".error.json";

impl Keys {
    /// Keys that begin with `output`, and those of what can't be predicted, which begin with `dead`.
    ///
    /// # Errors
    /// A sentence where predictions would lie among what can't be predicted.
    pub fn new(output: &str, dead: &str) -> Result<Self, String> {
        let keys = Self { output: output.to_owned(), dead: dead.to_owned() };
        if dead.is_empty() || output.starts_with(dead) || keys.record("").starts_with(dead) {
            return Err(format!(
                "expected a dead-letter prefix that predictions don't begin with, got {dead:?} beside {output:?}"
            ));
        }
        Ok(keys)
    }

    /// Where the prediction of the input `key` goes.
    pub fn prediction(&self, key: &str, ending: &str) -> String {
        let mut name = escape(key);
        let dead = self.dead.strip_prefix(&self.output);
        if name.starts_with(JOBS) || dead.is_some_and(|dead| name.starts_with(dead)) {
            encode_first(&mut name);
        }
        format!("{}{name}.{ending}", self.output)
    }

    /// Where a copy of an input goes that can't be predicted.
    pub fn dead(&self, key: &str) -> String {
        let mut name = escape(key);
        // Else it would be another's error.
        if let Some(stem) = name.strip_suffix(ERROR) {
            name = format!("{stem}%2Eerror.json");
        }
        format!("{}{name}", self.dead)
    }

    /// Where it says why an input can't be predicted.
    pub fn error(&self, key: &str) -> String {
        format!("{}{}{ERROR}", self.dead, escape(key))
    }

    /// Where a prediction goes that differs from the one that is there. `%o` is no encoding, so no
    /// input's copy has such a key.
    pub fn other(&self, key: &str, ending: &str) -> String {
        format!("{}%other/{}.{ending}", self.dead, escape(key))
    }

    /// Where a job's record stands.
    pub fn record(&self, job: &str) -> String {
        format!("{}{JOBS}{job}.json", self.output)
    }

    /// Where it says how far a job has come.
    pub fn checkpoint(&self, job: &str) -> String {
        format!("{}{JOBS}{job}.checkpoint.json", self.output)
    }
}

/// Percent-encodes what stands outside `[A-Za-z0-9._/-]`, slashes that begin or end nothing, and
/// the parts `.` and `..`.
pub fn escape(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len() + 8);
    let parts: Vec<&str> = key.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).and_then(|before| parts.get(before)) {
            escaped.push_str(if before.is_empty() || part.is_empty() { "%2F" } else { "/" });
        }
        if matches!(*part, "." | "..") {
            escaped.push_str(&"%2E".repeat(part.len()));
            continue;
        }
        for byte in part.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                    escaped.push(char::from(byte))
                }
                _ => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    let long = escaped.len() > LONG || escaped.split('/').any(|part| part.len() > LONG_PART);
    if long {
        return format!("h/{}", sha256_hex(key.as_bytes()));
    }
    if is_hash(&escaped) {
        encode_first(&mut escaped);
    }
    escaped
}

/// Whether the key had to be replaced by its hash.
pub fn is_hash(escaped: &str) -> bool {
    escaped.strip_prefix("h/").is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn encode_first(name: &mut String) {
    if let Some(first) = name.bytes().next() {
        name.replace_range(..1, &format!("%{first:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn decoded(escaped: &str) -> String {
        percent_encoding::percent_decode_str(escaped).decode_utf8().expect("keys are UTF-8").into_owned()
    }

    #[test]
    fn keys_are_escaped_as_the_table_says() {
        for (key, escaped) in [
            ("a.png", "a.png"),
            ("2026/11/a b.png", "2026/11/a%20b.png"),
            ("a+b%2F.png", "a%2Bb%252F.png"),
            ("a//b", "a%2F%2Fb"),
            ("/a", "%2Fa"),
            ("a/", "a%2F"),
            ("a/./b", "a/%2E/b"),
            ("../a", "%2E%2E/a"),
            ("..", "%2E%2E"),
            ("é", "%C3%A9"),
            ("a\nb", "a%0Ab"),
            ("a\\b", "a%5Cb"),
            ("%", "%25"),
            ("", ""),
            ("/", "%2F"),
            ("...", "..."),
        ] {
            assert_eq!(escape(key), escaped, "{key:?}");
        }
    }

    /// Every key of a small alphabet of trouble, up to five characters.
    fn keys() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..5 {
            last = last
                .iter()
                .flat_map(|key| ["/", ".", "a", "%", "_", "2F", "é"].map(|more| format!("{key}{more}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all.extend(
            ["_jobs/a", "%5Fjobs/a", "_dead/a", "_dead/a.error.json", "x.error.json", "x", "x.error"]
                .map(str::to_owned),
        );
        all.push(format!("h/{}", sha256_hex("b".repeat(1000).as_bytes())));
        all.push("b".repeat(1000));
        all.push(format!("{}/c", "b".repeat(300)));
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn escaped_keys_decode_to_the_key_and_are_safe_in_a_folder() {
        for key in keys() {
            let escaped = escape(&key);
            assert_eq!(escaped, escape(&key));
            if !is_hash(&escaped) {
                assert_eq!(decoded(&escaped), key, "{escaped}");
            }
            let whole = format!("out/{escaped}.png");
            for part in whole.split('/') {
                assert!(!matches!(part, "" | "." | "..") && part.len() <= 255, "{key:?}: {whole}");
            }
            assert!(whole.len() <= 1024);
        }
    }

    #[test]
    fn predictions_among_the_dead_are_refused() {
        for (output, dead, good) in [
            ("", "_dead/", true),
            ("out/", "_dead/", true),
            ("out/", "out/_dead/", true),
            ("", "", false),
            ("_dead/out/", "_dead/", false),
            ("out/", "out/", false),
            ("", "_jobs/", false),
        ] {
            assert_eq!(Keys::new(output, dead).is_ok(), good, "{output:?}, {dead:?}");
        }
    }

    #[test]
    fn no_two_inputs_meet_in_one_key() {
        let names = Keys::new("out/", "out/_dead/").expect("they lie apart");
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for key in keys() {
            for (what, place) in [
                ("prediction", names.prediction(&key, "json")),
                ("copy", names.dead(&key)),
                ("error", names.error(&key)),
                ("other", names.other(&key, "json")),
            ] {
                assert!(place.starts_with("out/"));
                let who = format!("{what} of {key:?}");
                if let Some(other) = seen.insert(place.clone(), who.clone()) {
                    panic!("{who} and {other} both go to {place}");
                }
            }
        }
        assert!(!seen.contains_key(&names.record("a")) && !seen.contains_key(&names.checkpoint("a")));
    }
}
