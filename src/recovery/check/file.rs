//! The check of a file that nobody has open yet, also if its pages are damaged.

use std::path::Path;

use crate::engine::check::{CheckReport, Finding};
use crate::engine::options::VerifyOnOpen;
use crate::engine::store::{Options, Store};
use crate::error::{Error, ErrorKind, Hint, Result};

impl Options {
    /// Opens the file at a path with these options, [untouched](Options::untouched), and verifies it as
    /// [`Store::check_with`] does, with its pages if no other process has it open. If pages are damaged, that is the
    /// first finding, and everything that can still be read is verified too. `pages` says whether the pages are
    /// verified although other processes have the file open, as by [`Store::check_pages`]. The result is noted beside
    /// the file, as by [`Store::note_check`], if the folder is writable.
    ///
    /// # Errors
    ///
    /// As [`Options::open`]; `Damaged` only when the damage lets nothing be read; as [`Store::check`] and
    /// [`Store::check_pages`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("h.redb");
    /// # hivekeep::Store::open(&path).unwrap().close().unwrap();
    /// let report = hivekeep::Store::options().check_file(path, false, |_, _| {})?;
    /// assert!(report.is_sound() && report.pages);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn check_file(
        self,
        path: impl AsRef<Path>,
        pages: bool,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<CheckReport> {
        let (store, damage) = self.untouched().open_although_damaged(path.as_ref())?;
        let mut report = store.check_with(progress)?;
        if let Some(damage) = damage {
            report.find_first(Finding::new("pages", b"", damage.to_string()));
            report.pages = true;
        }
        if pages && !report.pages {
            store.check_pages()?.into_iter().for_each(|finding| report.find(finding));
            report.pages = true;
        }
        store.note_check_if_possible(&report);
        Ok(report)
    }

    /// Opens a file. If its pages are damaged, it is opened without their verification, and the damage comes too.
    fn open_although_damaged(self, path: &Path) -> Result<(Store, Option<Error>)> {
        match self.clone().open(path) {
            Err(damage) if damage.kind() == ErrorKind::Damaged => {
                let unverified = self.verify_on_open(VerifyOnOpen::Never).open(path);
                match unverified {
                    Ok(store) => Ok((store, Some(damage))),
                    Err(_) => Err(damage.with_hint(Hint::RepairStore)),
                }
            }
            opened => Ok((opened?, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_with_a_damaged_page_is_verified_as_far_as_it_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("h.redb"), folder.path().join("copy.redb"));
        let store = Store::open(&path).unwrap();
        store
            .write(|tx| {
                (0..2_000).try_for_each(|number| {
                    tx.config().put(&format!("key-{number}"), &serde_json::json!("a value".repeat(10)))
                })
            })
            .unwrap();
        store.close().unwrap();
        let check = |path: &Path| Store::options().check_file(path, false, |_, _| {});
        let sound = check(&path).unwrap();
        assert!(sound.is_sound() && sound.pages && sound.records == 2_000, "{sound:?}");
        let whole = fs::read(&path).unwrap();
        let (mut read_on, mut noted) = (0, 0);
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs::write(&copy, damaged).unwrap();
            match check(&copy) {
                Ok(report) if report.is_sound() => {}
                Ok(report) => {
                    read_on += u32::from(report.findings[0].table == "pages" && report.pages);
                    noted += u32::from(folder.path().join("copy.redb.checked").exists());
                }
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotAStore), "{error}"),
            }
        }
        assert!(read_on > 0 && noted > 0, "{read_on} files were read on");
    }
}
