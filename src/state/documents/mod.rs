//! Documents: JSON texts that a caller hands over as a whole. A document has a kind and a source, and is stored as one
//! record per element. If one bot changed in a document of 10 MB, one record is written, and a diff names that bot.
//!
//! * [`layout`] decides what becomes a row. A container is *split*, which gives each of its elements a row, when
//!   1. it is the document itself; or
//!   2. its compact text is longer than 4 KiB (64 KiB when its elements are on average under 64 bytes, which are not
//!      worth rows of their own); or
//!   3. it is a table, which is a container of containers only, at most two levels below the document, and no container
//!      on the way there has more than 16 elements; or
//!   4. something in it is split.
//!
//!   Everything else is one row; usually a bot or a task is one row. The rule depends only on the value. A change can
//!   make a container pass a limit. Then only that container gets a new layout, because the containers around it are
//!   split for other reasons.
//! * [`rows`] has the bytes. A row's key is the document's, then eight bytes for each level: an *order key*. Its
//!   payload is the element's compact JSON text, after `"name":` for a member of an object. The row of a split
//!   container contains only the opening bracket; its elements are the rows below it. The document's own row also has
//!   the number of rows below it, so that lost rows are an error and not a shorter document.
//! * [`align`] matches stored elements with new ones, and [`order`] gives order keys to new elements.
//!   All other rows stay unchanged.
//! * [`prepared`] is a document that will be stored. Before the transaction begins, [`layout`] prints it once, and the
//!   checksum of its Python text is started, for a long text on another thread; the backup waits for it.
//! * [`put`] changes the stored rows to the new ones; [`names`] names the element of a row for people.
//! * [`check`] finds rows that do not fit together, and [`mend`] makes a document of the rows that a repair has left.
//! * `verbs`: the verbs on documents; `id`: the identity of one

mod align;
mod check;
mod id;
mod layout;
mod mend;
#[cfg(test)]
mod model_test;
mod names;
mod order;
mod prepared;
mod put;
mod rows;
#[cfg(test)]
mod test;
mod verbs;

pub use self::id::DocumentId;
pub use self::put::Written;
pub use self::verbs::Documents;
#[cfg(feature = "transfer")]
pub(crate) use self::verbs::document_of;
pub(crate) use check::check_documents;
pub(crate) use mend::{mend_documents, mend_documents_within};
pub(crate) use names::{RowNames, document_in_words, row_value};
#[cfg(feature = "http")]
pub(crate) use prepared::Preparing;
pub(crate) use prepared::{Prepared, PythonSummary};
