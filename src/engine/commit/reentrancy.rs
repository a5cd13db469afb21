//! A write inside a write on the same thread would wait for itself, so it is refused.

use std::cell::RefCell;

use crate::engine::commit::locks::thread_local;
use crate::engine::opening::context::Context;
use crate::error::{Error, Result};

thread_local! {
    /// The stores that this thread is writing to, by address.
    static WRITING: RefCell<Vec<usize>> = RefCell::default();
}

/// Marks that this thread writes to a store, until it is dropped.
pub(crate) struct Writing(usize);

impl Writing {
    /// Whether this thread is writing to the store.
    pub(crate) fn is_inside(context: &Context) -> bool {
        let address = std::ptr::from_ref(context).addr();
        WRITING.with(|writing| writing.borrow().contains(&address))
    }

    pub(crate) fn enter(context: &Context) -> Result<Self> {
        let address = std::ptr::from_ref(context).addr();
        WRITING.with(|writing| {
            let mut writing = writing.borrow_mut();
            if writing.contains(&address) {
                return Err(Error::conflict(
                    "a write inside of a write would wait for itself; use the transaction given",
                ));
            }
            writing.push(address);
            Ok(Self(address))
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.with(|writing| writing.borrow_mut().retain(|address| *address != self.0));
    }
}
