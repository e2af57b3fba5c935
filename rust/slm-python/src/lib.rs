//! The Python module `slm._core`: conversion of arguments and results, and nothing else.

#[pyo3::pymodule]
mod _core {}
