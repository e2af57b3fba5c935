//! Progress reports and cancellation: workers count, the calling thread tells, and may say stop.
//!
//! A long call runs its work on other threads while the thread that made the call wakes every [`POLL_INTERVAL`], hands a
//! [`Progress`] to the callback and, when that answers `Break`, raises the [`Stop`] flag that the workers look at. Only the
//! calling thread ever runs the callback, so a Python callback (and Ctrl-C, which Python delivers to its main thread) works.

use crate::error::{Error, Result};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How often the callback runs, and so how long Ctrl-C waits at most before the stop flag is up.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How far a long call has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, such as `count` or `merge`.
    pub phase: &'static str,
    /// What `done` and `total` count, such as `bytes` or `merges`.
    pub unit: &'static str,
    /// Units finished.
    pub done: u64,
    /// Units in all, or 0 where that is not known.
    pub total: u64,
    /// Further figures of the phase, such as `("unique_pretokens", 1_204_311)`.
    pub counters: Vec<(&'static str, u64)>,
}

/// What the caller of a long function passes in; `Break` stops the work.
pub type Callback<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// The flag that workers look at about every millisecond of work.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks every worker to end.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends the caller with [`Error::Interrupted`] once somebody asked; made for `?` in a loop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after [`Stop::request`].
    pub fn check(&self) -> Result<()> {
        if self.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Runs `work` on another thread while this one reports `snapshot` to `callback`.
///
/// The callback sees the last snapshot once more after the work has ended well, so that a progress bar reaches its end.
///
/// # Errors
/// Those of `work`; [`Error::Interrupted`] if the callback broke off and `work` looked at its [`Stop`].
///
/// # Panics
/// A panic of `work` goes on in the caller.
pub fn supervise<T: Send>(
    callback: &mut Callback<'_>,
    snapshot: impl Fn() -> Progress,
    work: impl FnOnce(&Stop) -> Result<T> + Send,
) -> Result<T> {
    supervise_while(callback, snapshot, work, |_| Ok(()))
}

/// As [`supervise`], and runs `meanwhile` on this thread first, while the work begins; if it fails the work is stopped. Where it
/// takes long it calls what it is given every [`POLL_INTERVAL`], which reports and passes on a `Break` as an error.
///
/// # Errors
/// As [`supervise`]; that of `meanwhile`, whatever becomes of the work.
///
/// # Panics
/// A panic of `work` goes on in the caller.
pub fn supervise_while<T: Send>(
    callback: &mut Callback<'_>,
    snapshot: impl Fn() -> Progress,
    work: impl FnOnce(&Stop) -> Result<T> + Send,
    meanwhile: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<T> {
    let stop = Stop::default();
    thread::scope(|scope| {
        let (finished, is_finished) = mpsc::channel::<()>();
        let stop = &stop;
        let worker = scope.spawn(move || {
            // Dropped when `work` returns or panics, which wakes the loop below at once.
            let _finished = finished;
            work(stop)
        });
        let outcome =
            meanwhile(&mut || if callback(&snapshot()).is_break() { Err(Error::Interrupted) } else { Ok(()) });
        if outcome.is_err() {
            stop.request();
        }
        while is_finished.recv_timeout(POLL_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
            if callback(&snapshot()).is_break() {
                stop.request();
            }
        }
        let result = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        outcome?;
        if result.is_ok() {
            // The work is complete: a late `Break` has nothing left to stop.
            let _ = callback(&snapshot());
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_from_the_callback_stops_the_work() {
        let outcome: Result<()> = supervise(&mut |_| ControlFlow::Break(()), Progress::default, |stop| {
            loop {
                stop.check()?;
                thread::yield_now();
            }
        });
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }

    #[test]
    fn the_last_report_comes_after_the_work() {
        let mut reports = 0;
        let mut count = |_: &Progress| {
            reports += 1;
            ControlFlow::Continue(())
        };
        let value = supervise(&mut count, Progress::default, |_| Ok(7)).unwrap();
        assert_eq!((value, reports), (7, 1));
    }
}
