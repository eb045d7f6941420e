//! The types of fields, as the tables name them, and what is nothing in each.

use serde_json::Value;

use super::Fields;
use crate::kubernetes::{duration, quantity};

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'a> {
    Bool,
    Text,
    /// A whole number, from the first to the second.
    Whole(i64, i64),
    Number,
    /// `metav1.Duration`: text.
    Duration,
    /// A duration, or a number of nanoseconds: klog's `flushFrequency`.
    Flush,
    /// `resource.Quantity`: text or a number.
    Quantity,
    List(&'a str),
    Map(&'a str),
    Struct(&'a str),
}

impl<'a> Form<'a> {
    /// The type of that name in the table.
    pub fn read(name: &'a str) -> Self {
        let name = name.trim_end_matches('?');
        if let Some(inner) = name.strip_prefix("[]") {
            return Self::List(inner);
        }
        if let Some(inner) = name.strip_prefix("map ") {
            return Self::Map(inner);
        }
        match name {
            "bool" => Self::Bool,
            "string" | "Time" => Self::Text,
            "int32" => Self::Whole(i32::MIN.into(), i32::MAX.into()),
            "uint32" => Self::Whole(0, u32::MAX.into()),
            "int64" => Self::Whole(i64::MIN, i64::MAX),
            "float64" => Self::Number,
            "Duration" => Self::Duration,
            "TimeOrMetaDuration" => Self::Flush,
            "Quantity" | "QuantityValue" => Self::Quantity,
            name => Self::Struct(name),
        }
    }

    /// Whether Kubernetes cannot tell `value` from one that is not there.
    pub fn is_nothing(self, value: &Value, fields: Fields) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Self::Bool, value) => *value == Value::Bool(false),
            (Self::Text, Value::String(text)) => text.is_empty(),
            (Self::Duration | Self::Flush, value) => nanoseconds(value) == Some(0),
            (Self::Quantity, value) => amount(value) == Some(0),
            (Self::Whole(..) | Self::Number, Value::Number(number)) => number.as_f64() == Some(0.0),
            (Self::List(_), Value::Array(items)) => items.is_empty(),
            (Self::Map(_), Value::Object(entries)) => entries.is_empty(),
            (Self::Struct(name), Value::Object(entries)) => entries.iter().all(|(key, value)| {
                let form = fields.struct_of(name).find(|(field, _)| field == key);
                form.is_some_and(|(_, form)| is_nothing(form, value, fields))
            }),
            _ => false,
        }
    }
}

/// [`Form::is_nothing`] for the type called `form`: where absent is not zero, only absent is nothing.
pub(super) fn is_nothing(form: &str, value: &Value, fields: Fields) -> bool {
    if form.ends_with('?') { value.is_null() } else { Form::read(form).is_nothing(value, fields) }
}

/// How long `value` is: text, or a number of nanoseconds.
pub(super) fn nanoseconds(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => duration::parse(text).map(|duration| duration.0),
        value => value.as_i64(),
    }
}

/// How much `value` is: text or a number.
pub(super) fn amount(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => quantity::nanos(text),
        Value::Number(number) => quantity::nanos(&number.to_string()),
        _ => None,
    }
}
