//! The one place where errors of the core become Python exceptions.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use slm_core::error::Error;
use std::any::Any;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The Python exception for an error of the core.
pub fn to_py(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Io { path, source } => {
            let message = source.to_string();
            // What the error says ends in its number, which Python shows by itself.
            let message = message.split(" (os error").next().unwrap_or(&message).to_owned();
            // Given the number, Python chooses the class: FileNotFoundError, PermissionError, ...
            PyOSError::new_err((number_of(&source), message, path))
        }
        Error::Config(message) => slm_error(py, "ConfigError", message),
        Error::Data(message) => slm_error(py, "DataError", message),
        Error::Tokenizer(message) => slm_error(py, "TokenizerError", message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
    }
}

/// Runs a short call of the core; a panic in it becomes `InternalError`.
pub fn guarded<T>(py: Python<'_>, work: impl FnOnce() -> slm_core::error::Result<T>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| to_py(py, error)),
        Err(panic) => Err(panicked(py, panic.as_ref())),
    }
}

/// The exception for a panic, which is a bug of ours.
pub fn panicked(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    slm_error(py, "InternalError", format!("panic in the Rust core: {message}\n\nhint: please report this as a bug"))
}

/// The text of a `str`: in ASCII as it is, otherwise as UTF-8 that Python makes the first time and keeps. Only a lone surrogate, which
/// is no character, stands in the way.
pub fn utf8<'a>(text: &'a Bound<'_, PyString>, what: impl FnOnce() -> String) -> PyResult<&'a str> {
    text.to_str().map_err(|error| {
        let place = error.value(text.py()).getattr("start").and_then(|start| start.extract::<usize>());
        lone_surrogate(text.py(), &what(), place.ok())
    })
}

/// The exception for a text with a lone surrogate, at this index if that is known.
pub fn lone_surrogate(py: Python<'_>, what: &str, index: Option<usize>) -> PyErr {
    let place = index.map_or_else(String::new, |index| format!(" at index {index}"));
    slm_error(
        py,
        "DataError",
        format!(
            "{what} has a lone surrogate{place}, which has no form in UTF-8\n\n\
             hint: repair it with `text.encode(\"utf-16\", \"surrogatepass\").decode(\"utf-16\", \"replace\")`"
        ),
    )
}

fn slm_error(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made =
        py.import("slm.errors").and_then(|errors| errors.getattr(class)).and_then(|class| class.call1((message,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The system's number of an error; for those that Rust makes itself, the nearest one.
fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        ErrorKind::NotFound => 2,
        ErrorKind::PermissionDenied => 13,
        ErrorKind::AlreadyExists => 17,
        // EIO
        _ => 5,
    })
}
