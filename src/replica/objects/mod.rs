//! The objects of a replica: their names, and their bytes. FORMAT.md describes them.
//!
//! * `name`: the names; `kinds`: the heads; `object`: an object of any kind with its name
//! * `layout`: the bytes around every object; `commits`: the body of a batch; `parts`: the body of a manifest

pub(crate) mod commits;
pub(crate) mod kinds;
pub(crate) mod layout;
pub(crate) mod name;
pub(crate) mod object;
pub(crate) mod parts;

#[cfg(test)]
mod test;
