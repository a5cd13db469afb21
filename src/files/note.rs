//! The record of names that are set and removed, which is made in tests alone.

/// Records the last operation on one or two paths for the tests.
macro_rules! note {
    ($step:ident($($path:expr),+)) => {
        #[cfg(test)]
        crate::files::journal::note(crate::files::journal::NameStep::$step($($path.to_path_buf()),+));
    };
}
