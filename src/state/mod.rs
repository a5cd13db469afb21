//! What the records mean: each file has its types, their keys, and the verbs on transactions and views.

pub(crate) mod documents;
