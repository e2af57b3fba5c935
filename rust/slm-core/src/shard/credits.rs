//! Bytes that may be on their way through the pipeline at a time.

use crate::error::Result;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a wait lasts before it looks whether the work was stopped.
const WAIT: Duration = Duration::from_millis(20);

/// A stock of bytes: taken by what is read, and given back by what is written.
#[derive(Debug)]
pub(super) struct ByteCredits {
    max: u64,
    left: Mutex<u64>,
    given: Condvar,
}

impl ByteCredits {
    pub fn new(max: u64) -> Self {
        Self { max, left: Mutex::new(max), given: Condvar::new() }
    }

    /// Takes bytes as soon as they are there, and says how many: what is more than there ever is goes alone, for all there is.
    ///
    /// # Errors
    /// Those of `check`, which is asked now and then while this waits.
    pub fn take(&self, bytes: u64, check: impl Fn() -> Result<()>) -> Result<u64> {
        let bytes = bytes.min(self.max);
        let mut left = self.lock();
        while *left < bytes {
            left = self.given.wait_timeout(left, WAIT).unwrap_or_else(PoisonError::into_inner).0;
            check()?;
        }
        *left -= bytes;
        Ok(bytes)
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: u64) {
        *self.lock() += bytes;
        self.given.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::thread;

    #[test]
    fn nobody_takes_more_than_there_is_and_the_largest_goes_alone() {
        let credits = ByteCredits::new(10);
        assert_eq!(credits.take(4, || Ok(())).unwrap(), 4);
        assert!(matches!(credits.take(7, || Err(Error::Interrupted)), Err(Error::Interrupted)));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| credits.take(1000, || Ok(())));
            thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            credits.give(4);
            assert_eq!(waiting.join().unwrap().unwrap(), 10);
        });
    }
}
