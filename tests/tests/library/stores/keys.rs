//! Keys that something on the way could mistake for something else.

/// Legal keys of 1 to 1,024 bytes, no two the same.
pub fn odd() -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    // Each of these at the begin, in the middle, at the end, as a segment, and alone.
    let marks = [
        "+", " ", "  ", "%", "%2F", "%252F", "%2f", "%00", "%20", "%zz", "%C3%A9", "?", "#", "&", "=", ";",
        ":", "@", "!", "$", "'", "\"", "(", ")", "*", ",", "<", ">", "[", "]", "{", "}", "|", "^", "`", "~",
        "\\", "\t", "\r\n", "\n", "\u{1}", "\u{7f}", "\u{85}", "\u{a0}", "\u{200b}", "\u{202e}", "\u{feff}",
        "&amp;", "<Key>", "]]>", "+%2B",
    ];
    for mark in marks {
        for key in [
            format!("{mark}begin"),
            format!("mid{mark}dle"),
            format!("end{mark}"),
            format!("a/{mark}/b"),
            mark.to_owned(),
        ] {
            keys.push(key);
        }
    }
    let whole = [
        // Slashes and dots, which paths know and keys don't.
        "/",
        "//",
        "/a",
        "//a",
        "a/",
        "a//",
        "x//y",
        "x/./y",
        "x/../y",
        "./x",
        "../x",
        "../../x",
        "x/..",
        "x/.",
        ".",
        "..",
        "...",
        ".x",
        "x.",
        "x./y",
        "/../x",
        "x/%2e%2e/y",
        "%2e%2e/x",
        "..\\x",
        "C:\\x",
        "~/x",
        "-x",
        "-rf",
        // Twins: composed and decomposed, cases, look-alikes, prefixes of one another.
        "é",
        "e\u{301}",
        "É",
        "ñ/ñ",
        "n\u{303}/n\u{303}",
        "Å",
        "Å",
        "ﬁ",
        "fi",
        "Twin",
        "twin",
        "TWIN",
        "p",
        "p.",
        "p0",
        "p-",
        "p ",
        // Scripts, directions, planes.
        "عربي/שלום.tif",
        "雲.tif",
        "🌩️/👩‍👩‍👧",
        "𐍈",
        "\u{10ffff}",
        "\u{fffd}",
        "a\u{0}b",
        // Words that servers and systems use themselves.
        "soap",
        "con",
        "NUL",
        "index.html",
        ".ampoule",
        ".ampoule=",
        ".ampoule/about",
        ".ampoule+x",
        ".uploads",
        "s3:TestEvent",
        "?versions",
        "?uploads",
        "a?versionId=1",
        "a b+c%2F?&#=.csv",
        "red flower+%20.jpg",
    ];
    keys.extend(whole.map(str::to_owned));
    // Lengths.
    keys.extend([255, 256, 1_023, 1_024].map(|bytes| "n".repeat(bytes)));
    keys.push("é".repeat(512));
    keys.push("雲".repeat(341) + "x");
    keys.push("s/".repeat(100) + "deep");
    keys.push("x".to_owned() + &"/".repeat(60));
    keys.sort();
    keys.dedup();
    keys
}
