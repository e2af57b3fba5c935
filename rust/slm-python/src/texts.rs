//! The texts of a Python list, given to be encoded one after another.
//!
//! Of a `str` in ASCII Python has the UTF-8, and it is shared. Of another one Python would make it, and keep it for as long as the
//! `str` lives, which more than doubles the memory of Chinese text. So its characters are copied, a stretch at a time, and brought
//! to UTF-8 here.

use crate::error::{lone_surrogate, utf8};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};
use slm_core::code_points;
use slm_core::encode::giving::{Given, Giving};

/// Texts that are given between two looks for Ctrl-C.
const TEXTS_BETWEEN_SIGNALS: usize = 1024;

/// Characters up to which a text is copied even if it is ASCII, as that takes less than to ask and to hold it.
const MAX_SHORT_CHARACTERS: usize = 128;

/// Characters that are copied at a time: the nearest caches hold them, and a text of a common length is no more.
const STRETCH_CHARACTERS: usize = 16 * 1024;

/// The texts of a list, and how far they are given.
pub struct Texts {
    list: Py<PyList>,
    next: usize,
    code_points: Vec<u32>,
}

impl Texts {
    pub fn new(list: Py<PyList>) -> Self {
        Self { list, next: 0, code_points: Vec::new() }
    }

    /// Gives as many as there is room for.
    pub fn give(&mut self, py: Python<'_>, giving: &mut Giving<'_, PyBackedStr>) -> PyResult<Given> {
        let list = self.list.bind(py);
        while self.next < list.len() {
            if self.next.is_multiple_of(TEXTS_BETWEEN_SIGNALS) {
                py.check_signals()?;
            }
            let text = list.get_item(self.next)?.cast_into::<PyString>()?;
            let what = || format!("text {} of the batch", self.next);
            if len(&text)? > MAX_SHORT_CHARACTERS && text.call_method0(intern!(py, "isascii"))?.is_truthy()? {
                utf8(&text, what)?;
                giving.share(PyBackedStr::try_from(text)?);
            } else if giving.has_room() {
                giving.copy(|buffer| match append(&text, &mut self.code_points, buffer)? {
                    Ok(()) => Ok(()),
                    Err(place) => Err(lone_surrogate(py, &what(), Some(place))),
                })?;
            } else {
                return Ok(Given::SoFar);
            }
            self.next += 1;
        }
        Ok(Given::All)
    }
}

/// Appends a text to `buffer`; or says where it has a lone surrogate.
fn append(text: &Bound<'_, PyString>, code_points: &mut Vec<u32>, buffer: &mut String) -> PyResult<Result<(), usize>> {
    let len = len(text)?;
    if len > code_points.len() && code_points.len() < STRETCH_CHARACTERS {
        code_points.resize(len.next_power_of_two().min(STRETCH_CHARACTERS), 0);
    }
    if len <= code_points.len() {
        return Ok(code_points::append(buffer, copied(text, &mut code_points[..len])?));
    }
    for start in (0..len).step_by(code_points.len()) {
        text.py().check_signals()?;
        let end = len.min(start + code_points.len());
        let stretch = stretch(text, start, end)?;
        if let Err(place) = code_points::append(buffer, copied(&stretch, &mut code_points[..end - start])?) {
            return Ok(Err(start + place));
        }
    }
    Ok(Ok(()))
}

/// How many characters a text has, whatever `__len__` of a subclass says.
fn len(text: &Bound<'_, PyString>) -> PyResult<usize> {
    // SAFETY: a `str`, with the GIL held.
    let len = unsafe { ffi::PyUnicode_GetLength(text.as_ptr()) };
    usize::try_from(len).map_err(|_| PyErr::fetch(text.py()))
}

/// The characters of a text, all of which `code_points` takes.
fn copied<'a>(text: &Bound<'_, PyString>, code_points: &'a mut [u32]) -> PyResult<&'a [u32]> {
    // SAFETY: a `str`, with the GIL held, and a buffer of as many numbers as is said, beyond which nothing is written: a longer text
    // is an error.
    let outcome =
        unsafe { ffi::PyUnicode_AsUCS4(text.as_ptr(), code_points.as_mut_ptr(), code_points.len().cast_signed(), 0) };
    if outcome.is_null() { Err(PyErr::fetch(text.py())) } else { Ok(code_points) }
}

/// A part of a text.
fn stretch<'py>(text: &Bound<'py, PyString>, start: usize, end: usize) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: a `str`, with the GIL held; the outcome is a new reference to a `str`, or null with an exception set.
    let part = unsafe {
        let part = ffi::PyUnicode_Substring(text.as_ptr(), start.cast_signed(), end.cast_signed());
        Bound::from_owned_ptr_or_err(text.py(), part)?
    };
    Ok(part.cast_into()?)
}
