//! Long calls: the GIL is released, the caller hears how far they are, and Ctrl-C ends them.

use crate::error::{panicked, to_py};
use pyo3::prelude::*;
use slm_core::error::Result;
use slm_core::progress::{self, Callback};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How far a long call has come.
#[pyclass(frozen, get_all, module = "slm._core")]
pub struct Progress {
    /// What is being done, such as `count` or `merge`.
    phase: &'static str,
    /// What `done` and `total` count, such as `bytes`.
    unit: &'static str,
    /// Units finished.
    done: u64,
    /// Units in all, or 0 where that is not known.
    total: u64,
    /// Further figures of the phase by name.
    counters: BTreeMap<&'static str, u64>,
}

#[pymethods]
impl Progress {
    fn __repr__(&self) -> String {
        let Self { phase, unit, done, total, .. } = self;
        format!("Progress(phase='{phase}', unit='{unit}', done={done}, total={total})")
    }
}

/// Runs `work` without the GIL. The callback that it is given reports to `progress` and looks for signals; an exception there
/// stops the work and is raised here. A panic of `work` becomes `InternalError`.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut Callback<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let outcome = py.detach(|| {
        let mut callback = |report: &progress::Progress| match Python::attach(|py| report_to(py, progress, report)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised.get_or_insert(error);
                ControlFlow::Break(())
            }
        };
        catch_unwind(AssertUnwindSafe(|| work(&mut callback)))
    });
    if let Some(error) = raised {
        return Err(error);
    }
    match outcome {
        Ok(outcome) => outcome.map_err(|error| to_py(py, error)),
        Err(panic) => Err(panicked(py, panic.as_ref())),
    }
}

fn report_to(py: Python<'_>, progress: Option<&Py<PyAny>>, report: &progress::Progress) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        let progress::Progress { phase, unit, done, total, counters } = report.clone();
        progress.call1(py, (Progress { phase, unit, done, total, counters: counters.into_iter().collect() },))?;
    }
    Ok(())
}
