//! The process that holds a session, written down so that others notice its end although a forked child of it lives.
//! Such a child has a copy of the descriptor, and the kernel releases a lock only when the last copy is closed.
//!
//! This only adds to the lock: a session without a lock is over. A session with a lock is over too if its process has
//! certainly ended. Only a reader that would see the process can decide that: one since the same boot, in the same name
//! spaces of processes and of time. For all others, as in another container, the lock alone counts.

use std::fmt;

/// A process, distinguished from all others of its boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockHolder {
    pid: i32,
    /// The time of its start, in ticks since the boot, because pids are reused.
    started: u64,
    /// The scope of its pid: a digest of the boot and the name spaces.
    sees: String,
}

impl LockHolder {
    /// Its text, behind the number of its session.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (pid, started, sees) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned());
        (words.next().is_none() && !sees.is_empty()).then_some(Self { pid, started, sees })
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.started, self.sees)
    }
}

#[cfg(target_os = "linux")]
mod of_the_system {
    use std::fs;

    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    use super::LockHolder;

    /// The description that the system gives of a process.
    struct Stat {
        /// It has ended, and its parent has not asked for its exit code yet.
        has_ended: bool,
        started: u64,
    }

    impl Stat {
        /// None where the system does not tell, as of the processes of other users on some machines.
        fn of(process: &str) -> Option<Self> {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // The name before may hold anything; see proc(5) for the fields.
            let (_, fields) = stat.rsplit_once(") ")?;
            let fields: Vec<_> = fields.split(' ').collect();
            let (state, threads) = (*fields.first()?, fields.get(17)?.parse::<u64>().ok()?);
            // A first thread that has ended is one of a living process while there are others.
            Some(Self { has_ended: matches!(state, "Z" | "X") && threads <= 1, started: fields.get(19)?.parse().ok()? })
        }
    }

    impl LockHolder {
        /// This process; none where the system does not tell.
        pub(crate) fn this() -> Option<Self> {
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            // The processes that are seen here may be those of another name space.
            if fs::read_link("/proc/self").ok()?.to_str()? != pid.to_string() {
                return None;
            }
            let boot = crate::clock::boot_id()?;
            let pids = fs::read_link("/proc/self/ns/pid").ok()?;
            let times = fs::read_link("/proc/self/ns/time").unwrap_or_default();
            let mut hasher = blake3::Hasher::new();
            hasher.update(boot.as_bytes()).update(pids.as_os_str().as_encoded_bytes()).update(&[0]);
            hasher.update(times.as_os_str().as_encoded_bytes());
            let sees = hasher.finalize().to_hex().chars().take(16).collect();
            Some(Self { pid, started: Stat::of("self")?.started, sees })
        }

        /// Whether it has certainly ended.
        pub(crate) fn is_gone(&self) -> bool {
            let Some(this) = Self::this() else { return false };
            let Some(pid) = Pid::from_raw(self.pid) else { return false };
            if self.sees != this.sees {
                return false;
            }
            match test_kill_process(pid) {
                Err(Errno::SRCH) => true,
                _ => Stat::of(&self.pid.to_string()).is_some_and(|stat| stat.has_ended || stat.started != self.started),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl LockHolder {
    /// This process; none where the system does not tell.
    pub(crate) fn this() -> Option<Self> {
        None
    }

    /// Whether it has certainly ended.
    pub(crate) fn is_gone(&self) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_recognized_by_its_text_and_this_one_is_alive() {
        let this = LockHolder::this().unwrap();
        assert_eq!(LockHolder::parse(&this.to_string()), Some(this.clone()));
        assert!(!this.is_gone());
        for text in ["", "1 2", "1 2 ", "1 x 3", "x 2 3", "1 2 3 4"] {
            assert_eq!(LockHolder::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_is_gone_once_it_has_ended_and_so_is_an_earlier_one_of_its_number() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let started = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let started = started.split(' ').nth(21).unwrap().parse().unwrap();
        let holder = LockHolder { pid, started, ..LockHolder::this().unwrap() };
        let earlier = LockHolder { started: started - 1, ..holder.clone() };
        let elsewhere = LockHolder { sees: "0123456789abcdef".into(), ..earlier.clone() };
        assert!(!holder.is_gone() && earlier.is_gone() && !elsewhere.is_gone());
        child.kill().unwrap();
        // It is not waited for yet.
        let began = std::time::Instant::now();
        while !holder.is_gone() {
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "a killed process was taken for alive");
        }
        child.wait().unwrap();
        assert!(holder.is_gone());
    }
}
