//! [`InstanceConfig`]: which fields of a row make the instance, as Vertex AI's batch prediction
//! configures it (`BatchPredictionJob.InstanceConfig`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

#[cfg(feature = "parquet")]
use super::arrow;
use super::csv::Record;
use super::{Original, Place, table};
use crate::{Code, Refusal, quoted};

/// Which fields of a row go to the model, and in what form. The default takes rows as they are.
///
/// It decides for JSON, and for tables where the signature leaves an instance open; columns that the
/// signature names are found by their names in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InstanceConfig {
    /// What an instance becomes; left open, tables become arrays and Parquet rows objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceType>,
    /// A field that doesn't go to the model: the output has its value in place of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_field: Option<String>,
    /// The only fields that go to the model; their order is that of the array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_fields: Vec<String>,
    /// Fields that don't go to the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_fields: Vec<String>,
}

/// What an instance becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceType {
    Object,
    Array,
}

impl InstanceConfig {
    /// # Errors
    /// Fields are both included and excluded.
    pub fn check(&self) -> Result<(), String> {
        if !self.included_fields.is_empty() && !self.excluded_fields.is_empty() {
            return Err("instanceConfig: expected includedFields or excludedFields, got both".to_owned());
        }
        Ok(())
    }

    /// Whether rows go to the model as they are.
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The instance that a JSON text makes.
    ///
    /// # Errors
    /// It is no object, or lacks a field.
    pub(super) fn instance<'t>(&self, place: Place, text: &'t str) -> Result<Cow<'t, str>, Refusal> {
        if self.is_plain() {
            return Ok(Cow::Borrowed(text));
        }
        let refuse =
            |why| Refusal { code: Code::InvalidInstance, path: format!("instances[{}]", place.row), why };
        let Members(members) = match serde_json::from_str(text) {
            Ok(members) => members,
            Err(cause) if cause.is_data() => {
                return Err(refuse("expected an object of fields (see instanceConfig)".to_owned()));
            }
            Err(cause) => {
                return Err(Refusal { code: Code::InvalidJson, ..refuse(format!("not JSON: {cause}")) });
            }
        };
        let fields = members.iter().map(|(name, value)| (name.as_str(), value.get()));
        self.select(fields, InstanceType::Object).map(Cow::Owned).map_err(refuse)
    }

    /// The instance that fields and their JSON texts make.
    ///
    /// # Errors
    /// A field is missing.
    pub(super) fn select<'f>(
        &self,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
        default: InstanceType,
    ) -> Result<String, String> {
        let mut fields: Vec<(&str, &str)> = fields.collect();
        if self.included_fields.is_empty() {
            let out = |name: &str| {
                self.key_field.as_deref() == Some(name)
                    || self.excluded_fields.iter().any(|field| field == name)
            };
            fields.retain(|(name, _)| !out(name));
        } else {
            let find = |wanted: &String| {
                let found = fields.iter().find(|(name, _)| name == wanted).copied();
                found.ok_or_else(|| format!("expected the field {}, which is missing", quoted(wanted)))
            };
            fields = self.included_fields.iter().map(find).collect::<Result<_, _>>()?;
        }
        let mut text = String::new();
        match self.instance_type.unwrap_or(default) {
            InstanceType::Array => {
                text.push('[');
                for (index, (_, value)) in fields.into_iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(value);
                }
                text.push(']');
            }
            InstanceType::Object => push_object(fields.into_iter(), &mut text),
        }
        Ok(text)
    }

    /// The member that tells an output's line from others: `"key":…`, or `"instance":…` with the row
    /// as it came.
    pub(super) fn name(&self, original: &Original) -> String {
        let whole = self.whole(original);
        let key = self.key_field.as_ref().and_then(|key| {
            let Members(members) = serde_json::from_str(&whole).ok()?;
            let (_, value) = members.into_iter().find(|(name, _)| name == key)?;
            Some(value.get().to_owned())
        });
        match (key, original) {
            (Some(key), _) => format!("\"key\":{key}"),
            (None, Original::Record(_, record)) if self.instance_type != Some(InstanceType::Object) => {
                format!("\"instance\":{}", table::array(record))
            }
            (None, _) => format!("\"instance\":{whole}"),
        }
    }

    /// The row as it came, as one JSON value on one line; a table's is an object.
    fn whole(&self, original: &Original) -> String {
        match original {
            Original::Lost => "null".to_owned(),
            Original::Name(name) => serde_json::Value::from(name.as_str()).to_string(),
            Original::Json(text) if serde_json::from_str::<&RawValue>(text).is_ok() => {
                // A line's end stands between values only.
                text.replace(['\n', '\r'], " ")
            }
            Original::Json(text) => serde_json::Value::from(text.as_str()).to_string(),
            Original::Record(header, record) => {
                let mut text = String::new();
                let values = values(record);
                let fields = header.names.iter().zip(&values);
                push_object(fields.map(|(name, value)| (name.as_str(), value.as_str())), &mut text);
                text
            }
            #[cfg(feature = "parquet")]
            Original::Columns(batch, index) => super::parquet::object(batch, *index),
        }
    }

    /// The instance that a record makes where the signature is open.
    pub(super) fn record(&self, names: &[String], record: &Record) -> Result<String, String> {
        if self.is_plain() {
            return Ok(table::array(record));
        }
        let values = values(record);
        let fields = names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str()));
        self.select(fields, InstanceType::Array)
    }

    /// The instance that a row of columns makes where the signature is open.
    #[cfg(feature = "parquet")]
    pub(super) fn columns(&self, batch: &arrow_array::RecordBatch, index: usize) -> Result<String, String> {
        if self.is_plain() {
            return Ok(super::parquet::object(batch, index));
        }
        let value = |column: &arrow_array::ArrayRef| {
            let mut text = String::new();
            arrow::push_json(&arrow::value(column.as_ref(), index), &mut text);
            text
        };
        let values: Vec<String> = batch.columns().iter().map(value).collect();
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        self.select(names.zip(values.iter().map(String::as_str)), InstanceType::Object)
    }
}

/// The cells of a record as JSON values.
fn values(record: &Record) -> Vec<String> {
    let value = |cell| {
        let mut text = String::new();
        table::push_value(cell, &mut text);
        text
    };
    record.cells().map(value).collect()
}

fn push_object<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>, into: &mut String) {
    into.push('{');
    for (index, (name, value)) in fields.enumerate() {
        into.push_str(if index > 0 { "," } else { "" });
        into.push_str(&serde_json::Value::from(name).to_string());
        into.push(':');
        into.push_str(value);
    }
    into.push('}');
}

/// The members of an object in their order, with their values' texts.
pub(super) struct Members<'t>(pub Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Pairs).map(Members)
    }
}
