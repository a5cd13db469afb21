//! Shortened values in lists: a list of a hundred tasks is short although each payload may have megabytes.

use serde::Serialize;
use serde_json::Value;

use crate::face::http::bodies::query::Query;
use crate::face::wire::field::FieldType::Number;
use crate::face::wire::field::{Field, optional};
use crate::face::wire::shorten::shorten_fields;
use crate::{Error, Result};

/// Lists of long values take it.
pub(in crate::face::http) const PREVIEW: Field = optional(
    "preview",
    Number,
    "show longer values as the first bytes of their text or JSON, with an ellipsis; whole values unless set",
);

/// The length to which values are shortened, in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::face::http) struct Preview(Option<usize>);

impl Preview {
    /// The length that a query asks for.
    pub(in crate::face::http) fn of(query: &Query) -> Result<Self> {
        Ok(Self(query.number("preview")?.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))))
    }

    /// An item with these fields shortened.
    pub(in crate::face::http) fn of_item<T: Serialize>(self, item: T, fields: &[&str]) -> Previewed<T> {
        let Some(most) = self.0 else { return Previewed::Whole(item) };
        match serde_json::to_value(&item) {
            Ok(mut short) => {
                shorten_fields(&mut short, fields, most);
                Previewed::Short(short)
            }
            Err(_) => Previewed::Whole(item),
        }
    }

    /// An answer with these fields of each object in the list of that name shortened.
    pub(in crate::face::http) fn of_list<T: Serialize>(
        self,
        answer: T,
        list: &str,
        fields: &[&str],
    ) -> Result<Previewed<T>> {
        let Some(most) = self.0 else { return Ok(Previewed::Whole(answer)) };
        let wrong = |source| Error::invalid("an item cannot be shown as JSON").with_source(source);
        let mut short = serde_json::to_value(&answer).map_err(wrong)?;
        if let Some(Value::Array(items)) = short.get_mut(list) {
            items.iter_mut().for_each(|item| shorten_fields(item, fields, most));
        }
        Ok(Previewed::Short(short))
    }
}

/// An item or an answer: as it is, or shortened.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::face::http) enum Previewed<T> {
    Whole(T),
    Short(Value),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The JSON of an item, shortened to a number of bytes.
    fn short(item: Value, most: Option<usize>) -> Value {
        json!(Preview(most).of_item(item, &["payload", "result", "attributes", "missing"]))
    }

    #[test]
    fn longer_values_are_cut_between_characters_and_shorter_ones_stay() {
        let long =
            json!({"payload": "ääää", "result": [1, 2, 3, 4], "attributes": {"name": "abcdef"}, "id": "a long id"});
        let cut = json!({"payload": "ää…", "result": "[1,2,…", "attributes": {"…": "{\"nam…"}, "id": "a long id"});
        assert_eq!(short(long.clone(), Some(5)), cut);
        let brief = json!({"payload": "abcde", "result": [1, 2], "attributes": {}});
        assert_eq!(short(brief.clone(), Some(5)), brief);
        assert_eq!(short(long.clone(), None), long);
        let list = Preview(Some(5)).of_list(json!({"items": [long], "next": null}), "items", &["payload"]).unwrap();
        assert_eq!(json!(list)["items"][0]["payload"], "ää…");
    }
}
