//! [`Wanted`]: the form in which a caller wants predictions, by the header `Accept` (RFC 9110, section 12.5.1).

use ampoule_host::{Batch, Field, Form, Media};
use axum::http::{HeaderMap, StatusCode, header};

use super::refusal::Refusal;
use ampoule_wire::media;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `{"predictions": […]}`.
    Json,
    /// One JSON value on each line.
    Lines,
    /// A row without header for each prediction.
    Csv,
    /// The one blob as it is.
    Raw,
}

impl Answer {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Raw => "application/json",
            Self::Lines => "application/jsonlines",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The form that one media type stands for.
    pub fn named(content_type: &str) -> Option<Self> {
        match content_type.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            name if media::JSON_LINES.contains(&name) => Some(Self::Lines),
            _ => None,
        }
    }
}

/// What a caller wants: media ranges, the most wanted first.
pub(crate) struct Wanted {
    /// Empty where nothing was said.
    ranges: Vec<String>,
}

impl Wanted {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut ranges: Vec<(u32, String)> = Vec::new();
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in texts.flat_map(|text| text.split(',')) {
            let mut parts = range.split(';');
            let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts
                .filter_map(|part| part.trim().strip_prefix("q="))
                .find_map(|weight| weight.trim().parse::<f32>().ok())
                .unwrap_or(1.0);
            if !name.is_empty() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
                ranges.push(((weight.clamp(0.0, 1.0) * 1000.0) as u32, name));
            }
        }
        // The sort is stable: of equals, the first named is wanted more.
        ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Self { ranges: ranges.into_iter().filter(|(weight, _)| *weight > 0).map(|(_, name)| name).collect() }
    }

    /// The form of the answer to `instances` instances; `usual` where the caller doesn't mind.
    ///
    /// # Errors
    /// 406 where predictions have none of the forms that the caller accepts.
    pub fn choose(&self, outputs: &[Field], instances: usize, usual: Answer) -> Result<Answer, Refusal> {
        let blobs: &[String] = match outputs {
            [output] => match output.form() {
                Form::Media(types) => types,
                _ => &[],
            },
            _ => &[],
        };
        if self.ranges.is_empty() {
            return Ok(if usual == Answer::Csv && !blobs.is_empty() { Answer::Json } else { usual });
        }
        let offers: Vec<(Answer, &str)> = [Answer::Json, Answer::Lines, Answer::Csv]
            .into_iter()
            .filter(|answer| blobs.is_empty() || *answer != Answer::Csv)
            .map(|answer| (answer, answer.content_type().split(';').next().unwrap_or_default()))
            .chain(blobs.iter().filter(|_| instances == 1).map(|blob| (Answer::Raw, blob.as_str())))
            .collect();
        let usual = if offers.iter().any(|(offer, _)| *offer == usual) { usual } else { Answer::Json };
        for range in &self.ranges {
            if range == "*/*" {
                return Ok(usual);
            }
            let named = Answer::named(range).filter(|named| offers.iter().any(|(offer, _)| offer == named));
            if let Some(named) = named {
                return Ok(named);
            }
            let first = |kind: &str| {
                let within = |content_type: &str| content_type.split('/').next() == Some(kind);
                let mut matching = offers.iter().filter(move |(_, content_type)| within(content_type));
                matching.clone().find(|(offer, _)| *offer == usual).or_else(|| matching.next()).copied()
            };
            let found = match range.strip_suffix("/*") {
                Some(kind) => first(kind),
                None => offers.iter().find(|(_, content_type)| content_type == range).copied(),
            };
            if let Some((answer, _)) = found {
                return Ok(answer);
            }
        }
        let offered: Vec<&str> = offers.iter().map(|(_, content_type)| *content_type).collect();
        let shown: String = self.ranges.join(", ").chars().take(80).collect();
        let why = format!("expected Accept to name {}, got {shown:?}", offered.join(" or "));
        Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", why))
    }

    /// The one blob of `batch` if it is of a type that the caller accepts.
    pub fn raw(&self, batch: Batch) -> Result<Media, Batch> {
        let wanted = |media: &Media| {
            self.ranges.iter().any(|range| match range.strip_suffix("/*") {
                Some(kind) => kind == "*" || media.content_type.split('/').next() == Some(kind),
                None => media.content_type == *range,
            })
        };
        match batch {
            Batch::Media(mut items) if items.len() == 1 && items.iter().all(wanted) => Ok(items.remove(0)),
            batch => Err(batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn outputs(value: serde_json::Value) -> Vec<Field> {
        serde_json::from_value(value).expect("fields")
    }

    #[test]
    fn the_most_wanted_form_that_there_is_comes_back() {
        let table = outputs(json!([{ "name": "label", "dtype": "string" }]));
        let mask = outputs(json!([{ "name": "mask", "media": ["image/png"] }]));
        for (accept, of_table, of_mask, of_masks) in [
            ("", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("*/*", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("text/csv", Ok(Answer::Csv), Err(406), Err(406)),
            ("application/x-ndjson", Ok(Answer::Lines), Ok(Answer::Lines), Ok(Answer::Lines)),
            ("application/jsonlines;verbose=true", Ok(Answer::Lines), Ok(Answer::Lines), Ok(Answer::Lines)),
            ("text/csv;q=0.5, application/json", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("text/csv, application/json;q=0.9", Ok(Answer::Csv), Ok(Answer::Json), Ok(Answer::Json)),
            ("text/html, */*;q=0.1", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("text/*", Ok(Answer::Csv), Err(406), Err(406)),
            ("image/png", Err(406), Ok(Answer::Raw), Err(406)),
            ("image/*;q=0.8, application/*;q=0.2", Ok(Answer::Json), Ok(Answer::Raw), Ok(Answer::Json)),
            ("application/json, image/png", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("application/json;q=0", Ok(Answer::Json), Ok(Answer::Json), Ok(Answer::Json)),
            ("application/xml", Err(406), Err(406), Err(406)),
            ("banana", Err(406), Err(406), Err(406)),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            let wanted = Wanted::of(&headers);
            for (outputs, instances, expected) in
                [(&table, 1, of_table), (&mask, 1, of_mask), (&mask, 2, of_masks)]
            {
                let chosen = wanted.choose(outputs, instances, Answer::Json);
                let chosen = chosen.map_err(|refusal| refusal.status.as_u16());
                assert_eq!(chosen, expected, "{accept:?} for {instances} of {outputs:?}");
            }
        }
    }

    #[test]
    fn the_usual_form_is_the_operators() {
        let table = outputs(json!([{ "name": "label", "dtype": "string" }]));
        let mask = outputs(json!([{ "name": "mask", "media": ["image/png"] }]));
        let wanted = Wanted::of(&HeaderMap::new());
        assert_eq!(wanted.choose(&table, 1, Answer::Csv).expect("there is a table"), Answer::Csv);
        assert_eq!(wanted.choose(&mask, 1, Answer::Csv).expect("there is JSON"), Answer::Json);
    }
}
