//! Bots as processes of their own, which are killed as the kernel kills, and the operations that were acknowledged to
//! them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::transfer::drill::bot::{DONE, HOLD, PUT};
use crate::transfer::drill::options::{DrillWatch, stop_if_asked};

/// The interval of looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(2);
/// An operation that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A line of a bot: its first word, the task, and the time.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) what: String,
    pub(super) task: String,
    pub(super) at: Instant,
}

/// A process with bots. To drop it kills it.
pub(super) struct Bots {
    child: Child,
    heard: Arc<Mutex<Vec<Heard>>>,
    reader: Option<JoinHandle<()>>,
}

impl Bots {
    /// Starts a process with this many bots on the store.
    pub(super) fn start(program: &Path, store: &Path, name: &str, threads: usize) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--store").arg(store).args(["drill-bot", name, "--threads"]).arg(threads.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| Error::from(error).context(program.display()))?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (out, own) = (child.stdout.take(), heard.clone());
        let reader = std::thread::Builder::new().name("hivekeep-drill".into()).spawn(move || {
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                let Ok(line) = line else { break };
                let Some((what, task)) = line.split_once(' ') else { continue };
                let heard = Heard { what: what.to_owned(), task: task.to_owned(), at: Instant::now() };
                own.lock().push(heard);
            }
        })?;
        Ok(Self { child, heard, reader: Some(reader) })
    }

    /// Waits until its lines fulfil a condition.
    pub(super) fn wait_until(&mut self, watch: &dyn DrillWatch, is_so: impl Fn(&[Heard]) -> bool) -> Result<()> {
        wait_until(watch, || {
            if is_so(&self.heard.lock()) {
                return Ok(true);
            }
            match self.child.try_wait()? {
                Some(status) => Err(Error::conflict(format!("a bot of the drill ended on its own: {status}"))),
                None => Ok(false),
            }
        })
    }

    /// Waits until it has completed this many tasks.
    pub(super) fn wait_for_done(&mut self, watch: &dyn DrillWatch, count: usize) -> Result<()> {
        self.wait_until(watch, |heard| heard.iter().filter(|heard| heard.what == DONE).count() >= count)
    }

    /// Waits until it ends.
    pub(super) fn wait_for_end(&mut self, watch: &dyn DrillWatch) -> Result<ExitStatus> {
        let mut ended = None;
        wait_until(watch, || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.ok_or_else(|| Error::conflict("a process of the drill did not end"))
    }

    /// Kills it. Returns the time, and all acknowledged operations.
    pub(super) fn kill(mut self) -> Result<(Instant, Vec<Heard>)> {
        self.child.kill()?;
        let killed = Instant::now();
        self.end();
        Ok((killed, std::mem::take(&mut *self.heard.lock())))
    }

    fn end(&mut self) {
        // It is dead, now or before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Bots {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for a condition. Gives up on request, or after two minutes.
pub(super) fn wait_until(watch: &dyn DrillWatch, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        stop_if_asked(watch)?;
        if begun.elapsed() > PATIENCE {
            let waited = PATIENCE.as_secs();
            return Err(Error::conflict(format!("the work did not continue: waited_s={waited}")));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The tasks that were held and not completed, according to the lines.
pub(super) fn held(heard: &[Heard]) -> Vec<String> {
    let of = |what: &'static str| heard.iter().filter(move |heard| heard.what == what).map(|heard| &heard.task);
    of(HOLD).filter(|task| !of(DONE).any(|done| done == *task)).cloned().collect()
}

/// The operations that the store acknowledged: enqueued or completed.
pub(super) fn told(heard: &[Heard]) -> impl Iterator<Item = &Heard> {
    heard.iter().filter(|heard| [PUT, DONE].contains(&heard.what.as_str()))
}
