//! Periodic work.
//!
//! * `scheduler`: all periodic work, by a thread or by the caller's own loop; `background`: such a thread
//! * `work`: the kinds of periodic work, and their health
//! * `clockwork`: the thread that fires schedules
//! * `auto_backup`: automatic backups
//! * `keeper`: reopens the file after a failure

pub(crate) mod auto_backup;
pub(crate) mod background;
pub(crate) mod clockwork;
pub(crate) mod keeper;
pub(crate) mod scheduler;
pub(crate) mod work;
