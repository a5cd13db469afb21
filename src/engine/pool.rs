//! Work for all cores that is not known beforehand: a worker that takes a piece may give back pieces of it, so that
//! none is idle for long, however unevenly the work lies.

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Hint, Result};

/// The work that is left.
pub(crate) struct Pool<W> {
    state: Mutex<State<W>>,
    /// Notified when pieces are given back, and when a worker has done its piece.
    changed: Condvar,
}

struct State<W> {
    /// The last one is the next one, so that those that come of it are done before those beside it.
    waiting: Vec<W>,
    /// Workers that may give some back.
    busy: usize,
}

/// That one worker is busy; when it is dropped, the others know that nothing more comes of its piece.
struct Busy<'a, W>(&'a Pool<W>);

impl<W: Send> Pool<W> {
    pub(crate) fn of(waiting: Vec<W>) -> Self {
        Self { state: Mutex::new(State { waiting, busy: 0 }), changed: Condvar::new() }
    }

    /// Does every piece, each worker with an `S` of its own; returns these.
    ///
    /// # Errors
    ///
    /// The first error that `piece` gives, `Damaged` before others. The pieces that wait then are not begun.
    pub(crate) fn run<S: Send>(
        &self,
        start: impl Fn() -> Result<S> + Sync,
        piece: impl Fn(&mut S, W) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let worker = || {
            let mut made = start()?;
            while let Some((work, _busy)) = self.take() {
                piece(&mut made, work).inspect_err(|_| self.state.lock().waiting.clear())?;
            }
            Ok(made)
        };
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let done: Vec<Result<S>> = std::thread::scope(|scope| {
            // Where the system has no thread left, fewer do it.
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, worker).ok();
            let others: Vec<_> = (1..workers).filter_map(start).collect();
            let mut done = vec![worker()];
            done.extend(others.into_iter().map(|other| {
                other.join().unwrap_or_else(|_| {
                    Err(Error::damaged("pages of the file are damaged; repair the store").with_hint(Hint::RepairStore))
                })
            }));
            done
        });
        // When one worker meets damaged pages, the others are refused; what counts is the damage.
        let (damaged, others): (Vec<_>, Vec<_>) =
            done.into_iter().partition(|part| part.as_ref().is_err_and(|error| error.kind() == ErrorKind::Damaged));
        damaged.into_iter().chain(others).collect()
    }

    /// Gives back parts of the piece that was taken.
    pub(crate) fn give_back(&self, rest: impl IntoIterator<Item = W>) {
        self.state.lock().waiting.extend(rest);
        self.changed.notify_all();
    }

    /// A piece of work; none once everything has been done.
    fn take(&self) -> Option<(W, Busy<'_, W>)> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && state.busy > 0 {
            self.changed.wait(&mut state);
        }
        let work = state.waiting.pop()?;
        state.busy += 1;
        Some((work, Busy(self)))
    }
}

impl<W> Drop for Busy<'_, W> {
    fn drop(&mut self) {
        self.0.state.lock().busy -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_given_back_is_done_once() {
        let pool = Pool::of(vec![(0u32, 100_000u32)]);
        let piece = |done: &mut Vec<u32>, (from, to): (u32, u32)| {
            let rest = (from + 10).min(to);
            done.extend(from..rest);
            let middle = rest.midpoint(to);
            pool.give_back([(rest, middle), (middle, to)].into_iter().filter(|(from, to)| from < to));
            Ok(())
        };
        let mut done = pool.run(|| Ok(Vec::new()), piece).unwrap().concat();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..100_000));
    }

    #[test]
    fn an_error_ends_the_work_and_damage_counts_before_others() {
        let pool = Pool::of((0..1000).collect());
        let piece = |_: &mut (), number: u32| match number {
            999 => Err(Error::invalid("on purpose")),
            _ => Err(Error::damaged("on purpose, too")),
        };
        let kind = pool.run(|| Ok(()), piece).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Damaged | ErrorKind::Invalid));
        assert_eq!(pool.take().map(|(number, _)| number), None);
    }
}
