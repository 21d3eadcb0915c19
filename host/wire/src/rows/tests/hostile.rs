//! Files that mean harm, or were cut.

use serde_json::json;

use super::{BOUNDS, came, came_bounded, gzip, typed, whatever_the_chunks};
use crate::rows::{Bounds, Format};

#[test]
fn a_quote_that_is_never_closed_names_its_line() {
    let text = "size,count,word\n1,2,a\n1,2,\"b\n3,4,c\n5,6,d\n";
    let came = whatever_the_chunks(&typed(), Format::Csv, text.as_bytes());
    let why = "line 3: expected a closing quote for the cell that begins here, got the file's end";
    assert_eq!(came.end, Err(why.to_owned()));
}

#[test]
fn what_is_too_long_is_refused_and_the_next_row_is_read() {
    let long = "x".repeat(100_000);
    let text = format!("size,count,word\n1,2,a\n1,2,{long}\n1,2,\"{long}\n{long}\"\n7,8,h\n");
    let came = whatever_the_chunks(&typed(), Format::Csv, text.as_bytes());
    assert_eq!(came.instances.len(), 2);
    assert_eq!(
        came.refused,
        [
            "row 1 (line 3): instances[1]: expected at most 65536 bytes, got 100026",
            "row 2 (line 4): instances[2]: expected at most 65536 bytes, got 200027",
        ]
    );
    let lines = format!("[1,2,\"a\"]\n[1,2,\"{long}\"]\n[7,8,\"h\"]\n");
    let came = whatever_the_chunks(&typed(), Format::Jsonl, lines.as_bytes());
    assert_eq!(came.instances.len(), 2);
    assert_eq!(came.refused, ["row 1 (line 2): instances[1]: expected at most 65536 bytes, got 100008"]);
    let elements = format!("[[1,2,\"a\"],[1,2,\"{long}\"],[7,8,\"h\"]]");
    let came = whatever_the_chunks(&typed(), Format::Json, elements.as_bytes());
    assert_eq!(came.instances.len(), 2);
    assert_eq!(came.refused.len(), 1);
}

#[test]
fn a_million_columns_are_counted() {
    let bounds = Bounds { row_bytes: 64 << 20, ..BOUNDS };
    let commas = ",".repeat(1_000_000);
    let end = came_bounded(&typed(), Format::Csv, bounds, commas.as_bytes()).end;
    assert_eq!(
        end,
        Err("expected 3 columns, got 1000001 (\"\", \"\", \"\", \"\", \"\", \"\", \"\", \"\")".to_owned())
    );
    let names = (0..1_000_000).map(|index| format!("c{index},")).collect::<String>();
    let text = format!("{names}size,count,word\n{commas}1,2,x\n{commas}1,2\n");
    let came = came_bounded(&typed(), Format::Csv, bounds, text.as_bytes());
    assert_eq!(came.instances, [json!({"size": 1.0, "count": 2, "word": "x"})]);
    assert_eq!(came.refused, ["row 1 (line 3): instances[1]: expected 1000003 cells, got 1000002"]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let came = whatever_the_chunks(&typed(), Format::Csv, b"size,count,word\n1,2,\xff\xfe\n3,4,b\n");
    assert_eq!(came.instances, [json!({"size": 3.0, "count": 4, "word": "b"})]);
    assert_eq!(
        came.refused,
        ["row 0 (line 2): instances[0]: expected UTF-8, got other bytes after 2 of them"]
    );
    for wide in [&b"\xff\xfes\0i\0z\0e\0"[..], b"\xfe\xff\0s\0i"] {
        let end = whatever_the_chunks(&typed(), Format::Csv, wide).end;
        assert_eq!(end, Err("expected UTF-8, got UTF-16 (its byte order mark)".to_owned()));
    }
}

#[test]
fn a_cut_gzip_file_is_broken_wherever_it_is_cut() {
    let text = (0..2000).map(|row| format!("{row},{row},w{row}\n")).collect::<String>();
    let packed = gzip(text.as_bytes());
    for sixteenth in 1..16 {
        let cut = &packed[..packed.len() * sixteenth / 16];
        let cut = whatever_the_chunks(&typed(), Format::Csv, cut);
        let why = cut.end.expect_err("it was cut");
        assert!(why.starts_with("not gzip: "), "{why}");
    }
    let mut flipped = packed.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    assert!(came(&typed(), Format::Csv, &flipped[..]).end.is_err(), "its checksum is wrong");
    let mut trailing = packed;
    trailing.extend_from_slice(b"more");
    assert!(came(&typed(), Format::Csv, &trailing[..]).end.is_err());
}

#[test]
fn a_cut_text_gives_its_rows_and_says_what_is_wrong_with_the_last() {
    let table = "size,count,word\n".to_owned() + &"1,2,\"a,b\"\n".repeat(64);
    let lines = "[1,2,\"ab\"]\n".repeat(64);
    let array = format!("[{}]", ["[1,2,\"ab\"]"; 64].join(",\n"));
    for sixteenth in 1..16 {
        for (format, text) in [(Format::Csv, &table), (Format::Jsonl, &lines), (Format::Json, &array)] {
            let cut = &text.as_bytes()[..text.len() * sixteenth / 16 - 1];
            let came = whatever_the_chunks(&typed(), format, cut);
            assert!(came.instances.len() < 64);
            match format {
                Format::Json => assert!(came.end.is_err(), "{sixteenth}"),
                _ => assert!(came.refused.len() <= 1, "{:?}", came.refused),
            }
        }
    }
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}{}\n[1,2,\"a\"]\n", "[".repeat(20_000), "]".repeat(20_000));
    let came = whatever_the_chunks(&typed(), Format::Jsonl, deep.as_bytes());
    assert_eq!((came.instances.len(), came.refused.len()), (1, 1));
}

#[test]
fn a_bomb_is_unpacked_a_little_at_a_time() {
    // 64 MiB without a line's end, packed to 64 KiB.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 19);
    let refused = came(&typed(), Format::Jsonl, &bomb[..]).refused;
    assert_eq!(refused, ["row 0 (line 1): instances[0]: expected at most 65536 bytes, got 67108864"]);
}
