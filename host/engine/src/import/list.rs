//! Values as libraries write them into JSON, read leniently where versions differ: flags that are numbers, numbers that
//! are strings, names of which there may not be too many.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::budget::MAX_NAMES;

/// `true`, `1`, or any number but 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Flag(pub(super) bool);

/// A whole number, also as text: XGBoost's parameters are strings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Count(pub(super) usize);

/// A number in f32 or f64; null is NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number<T>(pub(super) T);

/// A number, or several.
pub(super) enum Numbers {
    One(f64),
    Many(Vec<f64>),
}

/// Labels, at most [`MAX_NAMES`], as text whatever they are.
#[derive(Default)]
pub(super) struct Labelled(pub(super) Vec<String>);

/// Strings, at most [`MAX_NAMES`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'a> Deserialize<'a> for Flag {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flag")
            }

            fn visit_bool<E: Error>(self, x: bool) -> Result<Flag, E> {
                Ok(Flag(x))
            }

            fn visit_i64<E: Error>(self, x: i64) -> Result<Flag, E> {
                Ok(Flag(x != 0))
            }

            fn visit_u64<E: Error>(self, x: u64) -> Result<Flag, E> {
                Ok(Flag(x != 0))
            }

            fn visit_f64<E: Error>(self, x: f64) -> Result<Flag, E> {
                Ok(Flag(x != 0.0))
            }
        }
        reader.deserialize_any(Reads)
    }
}

impl<'a> Deserialize<'a> for Count {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0")
            }

            fn visit_u64<E: Error>(self, x: u64) -> Result<Count, E> {
                usize::try_from(x).map(Count).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, x: i64) -> Result<Count, E> {
                usize::try_from(x).map(Count).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, x: &str) -> Result<Count, E> {
                x.parse()
                    .map(Count)
                    .map_err(|_| E::custom(format_args!("expected a whole number, got {x:?}")))
            }
        }
        reader.deserialize_any(Reads)
    }
}

macro_rules! number {
    ($t:ident) => {
        impl<'a> Deserialize<'a> for Number<$t> {
            fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
                reader.deserialize_option(Reads(PhantomData::<$t>)).map(Number)
            }
        }

        impl<'a> Visitor<'a> for Reads<$t> {
            type Value = $t;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_none<E: Error>(self) -> Result<$t, E> {
                Ok($t::NAN)
            }

            // Asked for an f32, a JSON reader rounds the digits once.
            fn visit_some<D: Deserializer<'a>>(self, reader: D) -> Result<$t, D::Error> {
                $t::deserialize(reader)
            }
        }
    };
}

struct Reads<T>(PhantomData<T>);

number!(f32);
number!(f64);

impl<'a> Deserialize<'a> for Names {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'a> Visitor<'a> for Reads {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names")
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    if names.len() == MAX_NAMES {
                        return Err(A::Error::custom(format_args!("expected at most {MAX_NAMES} names")));
                    }
                    names.push(name);
                }
                Ok(Names(names))
            }

            fn visit_unit<E: Error>(self) -> Result<Names, E> {
                Ok(Names::default())
            }
        }
        reader.deserialize_any(Reads)
    }
}

impl<'a> Deserialize<'a> for Numbers {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'a> Visitor<'a> for Reads {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }

            fn visit_f64<E: Error>(self, x: f64) -> Result<Numbers, E> {
                Ok(Numbers::One(x))
            }

            fn visit_i64<E: Error>(self, x: i64) -> Result<Numbers, E> {
                Ok(Numbers::One(x as f64))
            }

            fn visit_u64<E: Error>(self, x: u64) -> Result<Numbers, E> {
                Ok(Numbers::One(x as f64))
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Numbers, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Numbers::Many(numbers))
            }
        }
        reader.deserialize_any(Reads)
    }
}

impl<'a> Deserialize<'a> for Labelled {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Label {
            Flag(bool),
            Whole(i64),
            Number(f64),
            Text(String),
        }
        each(reader, "a list of labels", Labelled::default(), |Labelled(labels), label| {
            if labels.len() == MAX_NAMES {
                return Err(format!("expected at most {MAX_NAMES} labels"));
            }
            labels.push(match label {
                // As Python has them.
                Label::Flag(flag) => (if flag { "True" } else { "False" }).to_owned(),
                Label::Whole(number) => number.to_string(),
                Label::Number(number) => number.to_string(),
                Label::Text(text) => text,
            });
            Ok(())
        })
    }
}

/// Reads a list of `what` item by item, none of which is kept but by `take`: a list may be as long as the file.
pub(super) fn each<'a, D, T, S>(
    reader: D,
    what: &'static str,
    all: S,
    take: impl FnMut(&mut S, T) -> Result<(), String>,
) -> Result<S, D::Error>
where
    D: Deserializer<'a>,
    T: Deserialize<'a>,
{
    struct Reads<S, F, T>(&'static str, S, F, PhantomData<T>);

    impl<'a, S, F, T> Visitor<'a> for Reads<S, F, T>
    where
        F: FnMut(&mut S, T) -> Result<(), String>,
        T: Deserialize<'a>,
    {
        type Value = S;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<S, A::Error> {
            let Self(_, mut all, mut take, _) = self;
            while let Some(item) = list.next_element()? {
                take(&mut all, item).map_err(A::Error::custom)?;
            }
            Ok(all)
        }
    }

    reader.deserialize_seq(Reads(what, all, take, PhantomData))
}

/// JSON, or what some writers take for it: with `NaN` and `Infinity` where a number should be. `read` is called again
/// on a copy with nulls for those if the plain bytes fail. XGBoost 1.x wrote NaN as the condition of categorical splits.
pub(super) fn lenient<T>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> serde_json::Result<T>,
) -> serde_json::Result<T> {
    read(bytes).or_else(|error| match nulled(bytes) {
        Some(copy) if error.is_syntax() => read(&copy),
        _ => Err(error),
    })
}

/// `None` if there is nothing to replace.
fn nulled(bytes: &[u8]) -> Option<Vec<u8>> {
    let words: [&[u8]; 4] = [b"NaN", b"Infinity", b"-NaN", b"-Infinity"];
    let mut copy = Vec::new();
    let (mut at, mut taken, mut within) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if within => at += 1,
            b'"' => within = !within,
            b'N' | b'I' | b'-' if !within => {
                if let Some(word) = words.iter().find(|word| bytes[at..].starts_with(word)) {
                    if copy.capacity() == 0 {
                        copy.reserve(bytes.len() + bytes.len() / 4);
                    }
                    copy.extend_from_slice(&bytes[taken..at]);
                    copy.extend_from_slice(b"null");
                    at += word.len();
                    taken = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    (taken != 0).then(|| {
        copy.extend_from_slice(&bytes[taken..]);
        copy
    })
}
