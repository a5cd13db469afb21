//! The names of a list, as they come from a bucket.

use crate::error::{Error, Result};
use crate::replica::objects::name::{Folder, ObjectName};

/// The greatest number of names in one list, which limits its memory. A bucket with more is listed from behind a name.
const NAMES_MAX: usize = 2_000_000;

/// Gets each name of a list, with a way to its length.
pub(super) type Each<'a> = dyn FnMut(&str, &dyn Fn() -> u64) -> Result<()> + 'a;

/// Names of a list, as they come.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) folder: Folder,
    pub(super) after: Option<ObjectName>,
    pub(super) names: Vec<(ObjectName, u64)>,
    pub(super) has_lengths: bool,
}

impl Listed {
    /// Adds the object of a name, unless the name is not of a replica.
    pub(super) fn add(&mut self, text: &str, length: &dyn Fn() -> u64) -> Result<()> {
        let after = self.after;
        let name = ObjectName::parse(text).filter(|name| after.is_none_or(|after| *name > after));
        self.names.extend(name.map(|name| (name, if self.has_lengths { length() } else { 0 })));
        if self.names.len() > NAMES_MAX {
            let folder = self.folder;
            return Err(Error::invalid(format!(
                "a folder of the replica has more than {NAMES_MAX} objects: folder={folder}"
            )));
        }
        Ok(())
    }

    /// All of them, in order.
    pub(super) fn sorted(mut self) -> Vec<(ObjectName, u64)> {
        self.names.sort_unstable();
        self.names
    }
}
