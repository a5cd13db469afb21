//! Opening the file anew in a store that stays, after a failure that has closed it.

use std::mem;

use crate::engine::entrance::End;
use crate::engine::nested::Nested;
use crate::engine::slot::Content;
use crate::engine::store::Store;
use crate::error::Result;

impl Store {
    /// Opens the file anew after [`ErrorKind::Reopen`](crate::ErrorKind::Reopen) or
    /// [`ErrorKind::Uncertain`](crate::ErrorKind::Uncertain), for this store and all its clones. The session of this
    /// process goes on, with all that was claimed in it. Where nothing has failed, nothing is done, so that of several who
    /// call this after one failure only the first opens the file.
    ///
    /// Calls in progress are waited for. Views that were begun before fail from then on with `Reopen`. Pages are not verified,
    /// so that after damage all is to be had that does not lie on a damaged page. On a full disk, too, the file is opened:
    /// one can read then, and remove what is not needed.
    ///
    /// # Errors
    ///
    /// As [`Store::open`] as long as the file cannot be opened: then every call fails with `Reopen`, and this can be called
    /// again. `Moved` while another file, or none, has its path. `Reopen` once the store was closed; `Conflict` inside of a write.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::ErrorKind;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let put = || store.write(|tx| tx.config().put("a", &serde_json::json!(1)));
    /// match put() {
    ///     Err(error) if error.kind() == ErrorKind::Reopen => store.reopen().and_then(|()| put()),
    ///     done => done,
    /// }?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn reopen(&self) -> Result<()> {
        self.refuse_forked()?;
        let _nested = Nested::enter(self.inner.context())?;
        let mut content = self.inner.slot.exclusively()?;
        match &*content {
            Content::Closed => return Err(End::Closed.error()),
            Content::Open(handle) if !handle.is_spent() && !self.inner.gate.is_poisoned() => return Ok(()),
            Content::Open(_) | Content::Lost => {}
        }
        self.refuse_moved()?;
        // The old one first: a file that is not shared is opened once at a time.
        if let Content::Open(handle) = mem::replace(&mut *content, Content::Lost) {
            handle.give_up();
        }
        let handle = (self.inner.opener)(self.path())?;
        // Between the look and the opening it may have been replaced.
        self.refuse_moved()?;
        *content = Content::Open(handle);
        self.inner.gate.renew();
        drop(content);
        self.commits().look_again();
        Ok(())
    }
}
