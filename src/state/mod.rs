//! What the records mean: each file is its types, its keys, and its verbs on transactions and views.

pub(crate) mod audit;
pub(crate) mod chat;
pub(crate) mod collection;
pub(crate) mod config;
pub(crate) mod ids;
pub(crate) mod page;
