//! A key's segments as file names, and back. Both ways are exact.

use std::borrow::Cow;

/// Names that begin so are the store's own: its side folder, and the segments that it escapes.
pub(super) const OWN: &str = ".ampoule";

/// An escaped segment, or the end of one that is too long for one name.
const END: &str = ".ampoule=";
/// A piece of an escaped segment; the next lies in the folder of this name.
const PIECE: &str = ".ampoule+";
/// What file systems give a name, in bytes: NAME_MAX of ext4, XFS, APFS and NTFS.
const NAME_BYTES: usize = 255;
const PIECE_BYTES: usize = NAME_BYTES - PIECE.len();
/// Folders in one another that a key may ask for: each costs an open descriptor while a listing is inside.
pub(super) const MAX_FOLDERS: usize = 128;

/// The folders to pass and the file's name, in this order; or why there is no such file.
pub(super) fn names(key: &str) -> Result<Vec<Cow<'_, str>>, &'static str> {
    if key.is_empty() {
        return Err("expected a key of one byte or more");
    }
    let mut names = Vec::new();
    for segment in key.split('/') {
        if is_plain(segment) {
            names.push(Cow::Borrowed(segment));
        } else {
            escape(segment, &mut names);
        }
    }
    if names.len() > MAX_FOLDERS { Err("expected at most 128 folders in one another") } else { Ok(names) }
}

fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.len() <= NAME_BYTES
        && !segment.contains('\0')
        && !segment.starts_with(OWN)
}

fn escape(segment: &str, names: &mut Vec<Cow<'_, str>>) {
    let escaped = segment.replace('%', "%25").replace('\0', "%00");
    let mut rest = escaped.as_str();
    while rest.len() > PIECE_BYTES {
        let cut = (0..=PIECE_BYTES).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(0);
        let (piece, left) = rest.split_at(cut);
        names.push(Cow::Owned(format!("{PIECE}{piece}")));
        rest = left;
    }
    names.push(Cow::Owned(format!("{END}{rest}")));
}

/// What a name in a folder stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A whole segment of a key.
    Segment(Cow<'a, str>),
    /// The begin of a segment that goes on in the folder of this name.
    Piece,
    /// The store's own, or a name that no key leads to.
    Nothing,
}

/// What `name` stands for in the folder that the `pieces` of one segment lead to, mostly none.
pub(super) fn meaning<'a>(name: &'a str, pieces: &[String]) -> Meaning<'a> {
    if name.starts_with(PIECE) {
        return Meaning::Piece;
    }
    let Some(end) = name.strip_prefix(END) else {
        let plain = pieces.is_empty() && is_plain(name);
        return if plain { Meaning::Segment(Cow::Borrowed(name)) } else { Meaning::Nothing };
    };
    let begin = pieces.iter().map(|piece| piece.strip_prefix(PIECE).unwrap_or_default());
    let segment = begin.chain([end]).collect::<String>().replace("%00", "\0").replace("%25", "%");
    let mut names = Vec::new();
    escape(&segment, &mut names);
    // A segment has one spelling: another one on disk isn't an object.
    let same = names.iter().map(|name| &**name).eq(pieces.iter().map(String::as_str).chain([name]));
    if same && !is_plain(&segment) && !segment.contains('/') {
        Meaning::Segment(Cow::Owned(segment))
    } else {
        Meaning::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_path_where_a_path_can_hold_it() {
        for key in ["a", "a/b.png", "a+b%2F c", "é/e\u{301}", "a\\b", "\r\n", ".hidden", "..."] {
            assert_eq!(names(key).expect("it fits").join("/"), key);
        }
    }

    #[test]
    fn every_other_segment_is_escaped_and_comes_back() {
        let long = "é%".repeat(300);
        let odd = [
            "",
            ".",
            "..",
            "a\0b",
            "\0",
            ".ampoule",
            ".ampoule=",
            ".ampoule+x",
            "\0%00%25",
            &long,
            &"x".repeat(256),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for segment in odd {
            // A key of one empty segment is no key; with a neighbour it is.
            let key = format!("{segment}/");
            let mut names: Vec<String> =
                names(&key).expect("it fits").iter().map(|name| name.to_string()).collect();
            assert_eq!(names.pop().as_deref(), Some(".ampoule="), "{segment:?}");
            assert!(names.iter().all(|name| name.len() <= 255 && !name.contains(['\0', '/'])), "{names:?}");
            assert!(seen.insert(names.clone()), "{names:?} is another segment's too");
            let last = names.pop().expect("a name");
            for piece in &names {
                assert_eq!(meaning(piece, &[]), Meaning::Piece);
            }
            assert_eq!(meaning(&last, &names), Meaning::Segment(Cow::Borrowed(segment)));
        }
    }

    #[test]
    fn a_name_that_no_key_leads_to_means_nothing() {
        for name in [".ampoule", ".ampoule=plain", ".ampoule=%41", ".ampoule=a%00b%", ".ampouled", ""] {
            assert_eq!(meaning(name, &[]), Meaning::Nothing, "{name:?}");
        }
        assert_eq!(meaning("plain", &[".ampoule+a".to_owned()]), Meaning::Nothing);
        assert!(names("").is_err());
        assert!(names(&"/".repeat(500)).is_err());
    }
}
