//! A request body with documents: each is prepared for storage while the body is parsed, so
//! that a long one is parsed once.

use axum::extract::{FromRequest, Request};

use crate::Result;
use crate::face::http::app::App;
use crate::face::http::bodies::body;
use crate::face::http::bodies::metered::MeteredValue;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::memory::{Charge, Meter};
use crate::face::wire::fields::Fields;
use crate::json::{self, Container, Pieces, Scalar};
use crate::state::documents::{Prepared, Preparing};

/// About how many bytes an element of a document takes beside its text: its place among the rows.
const ELEMENT: usize = 96;
/// The fields that are documents.
const DOCUMENTS: [&str; 4] = ["data", "registry_data", "queue_data", "assignments_data"];

/// A body's documents, and its other fields.
#[derive(Debug)]
pub(in crate::face::http) struct DocumentBody {
    pub(in crate::face::http) fields: Fields,
    documents: Vec<(&'static str, Prepared)>,
}

impl FromRequest<App> for DocumentBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let charge = Charge::current(app.memory());
        let bytes = body::bytes(request, app, &charge).await?;
        let handed = body::parsed(app, bytes, &charge, Self::parse).await?;
        Ok(handed.unwrap_or(Ok(Self { fields: Fields::default(), documents: Vec::new() }))?)
    }
}

impl DocumentBody {
    /// A document; null means none.
    pub(in crate::face::http) fn document(&mut self, name: &str) -> Option<Prepared> {
        let at = self.documents.iter().position(|(other, _)| *other == name)?;
        Some(self.documents.swap_remove(at).1).filter(|document| document.text() != b"null")
    }

    /// Parses a body; the inner error is that of JSON that is not an object.
    fn parse(text: &[u8], meter: Meter) -> (Result<Result<Self>>, Meter) {
        let mut parts = Parts { whole: MeteredValue::new(meter), depth: 0, document: None, documents: Vec::new() };
        let parsed = json::parse_into(text, &mut parts);
        let Parts { whole, documents, .. } = parts;
        let (value, meter) = whole.into_parts();
        let handed = |()| Fields::of(Some(value)).map(|fields| Self { fields, documents });
        (parsed.map(handed), meter)
    }
}

/// Splits a body into documents and the other fields.
struct Parts {
    /// The body without its documents, and how many containers of it are open.
    whole: MeteredValue,
    depth: usize,
    /// The document that is being read, and how many containers of it are open.
    document: Option<(&'static str, Preparing, usize)>,
    documents: Vec<(&'static str, Prepared)>,
}

impl Parts {
    /// Ends the document that is being read when nothing of it is open.
    fn document_ends(&mut self) {
        if let Some((name, preparing, _)) = self.document.take_if(|(_, _, depth)| *depth == 0) {
            self.documents.push((name, preparing.finish()));
        }
    }
}

impl Pieces for Parts {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        match &mut self.document {
            Some((_, preparing, _)) => {
                self.whole.meter().count(ELEMENT + scalar.text_bytes());
                preparing.scalar(scalar);
                self.document_ends();
            }
            None => self.whole.scalar(scalar),
        }
    }

    fn open(&mut self, container: Container) {
        match &mut self.document {
            Some((_, preparing, depth)) => {
                self.whole.meter().count(ELEMENT);
                *depth += 1;
                preparing.open(container);
            }
            None => {
                self.depth += 1;
                self.whole.open(container);
            }
        }
    }

    fn name(&mut self, name: &str) {
        let document = DOCUMENTS.into_iter().find(|document| self.depth == 1 && *document == name);
        match (&mut self.document, document) {
            (Some((_, preparing, _)), _) => {
                self.whole.meter().count(name.len());
                preparing.name(name);
            }
            (None, Some(document)) => self.document = Some((document, Preparing::default(), 0)),
            (None, None) => self.whole.name(name),
        }
    }

    fn close(&mut self) {
        match &mut self.document {
            Some((_, preparing, depth)) => {
                *depth -= 1;
                preparing.close();
                self.document_ends();
            }
            None => {
                self.depth -= 1;
                self.whole.close();
            }
        }
    }

    fn is_full(&self) -> bool {
        self.whole.is_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::http::sockets::memory::Memory;

    fn parse(body: &[u8]) -> Result<Result<DocumentBody>> {
        DocumentBody::parse(body, Meter::new(Memory::new(usize::MAX).charge())).0
    }

    #[test]
    fn documents_are_separated_from_the_other_fields_wherever_they_stand() {
        let body =
            br#"{"backup_type":"queue","data":{"data":[1,{"data":2}],"x":{}},"tags":{"data":"kept"},"queue_data":7}"#;
        let mut handed = parse(body).unwrap().unwrap();
        assert_eq!(handed.document("data").unwrap().text(), br#"{"data":[1,{"data":2}],"x":{}}"#);
        assert_eq!(handed.document("queue_data").unwrap().text(), b"7");
        assert!(handed.document("data").is_none() && handed.document("registry_data").is_none());
        assert_eq!(handed.fields.tags("tags").unwrap(), [("data".into(), "kept".into())].into());
        assert_eq!(handed.fields.text("backup_type").unwrap().unwrap(), "queue");
        assert!(handed.fields.end().is_ok());
    }

    #[test]
    fn null_is_no_document_and_a_body_that_is_no_object_is_refused() {
        assert!(parse(br#"{"data":null}"#).unwrap().unwrap().document("data").is_none());
        assert!(parse(br#"["data",{"data":1}]"#).unwrap().is_err());
        assert!(parse(br#"{"data":{"a":1,"a":2}}"#).unwrap_err().to_string().contains("/data/a"));
    }
}
