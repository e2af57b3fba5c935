//! Rows of shards for Python: their order, and what is in them.

use crate::interruptible::interruptible;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use slm_core::rows::{self, ArrayFile, Layout, Packing, Rows, Stretches};
use slm_core::shard::header::Element;
use std::path::PathBuf;

/// Maps indices in [0, size) to their places in the order of a seed and an epoch; `size` is 1 to 2^63.
#[pyfunction]
#[pyo3(signature = (indices: "numpy.typing.NDArray[numpy.int64]", *, size, seed, epoch) -> "numpy.typing.NDArray[numpy.int64]")]
pub fn permute<'py>(
    py: Python<'py>,
    indices: PyReadonlyArray1<'py, i64>,
    size: u64,
    seed: u64,
    epoch: u64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    if !(1..=1 << 63).contains(&size) {
        return Err(PyValueError::new_err(format!("the size of a permutation is 1 to 2^63, not {size}")));
    }
    let order = rows::Permutation::new(size, seed, epoch);
    let image = |&index: &i64| {
        let index = u64::try_from(index).ok().filter(|&index| index < size);
        index.map(|index| order.apply(index).cast_signed())
    };
    let images: Option<Vec<i64>> = indices.as_array().iter().map(image).collect();
    let outside = || PyIndexError::new_err(format!("an index into a permutation of {size} is outside [0, {size})"));
    Ok(images.ok_or_else(outside)?.into_pyarray(py))
}

/// What `find_stretches` gives: `cu_seqlens` of all batches, where each batch's end in it, and each one's longest stretch.
type Found<'py> = (Bound<'py, PyArray1<i32>>, Vec<usize>, Vec<i32>);

/// Finds where documents begin in batches of `batch_rows` rows; see `slm.data.boundaries`.
///
/// Gives the `cu_seqlens` of all batches in one array, where those of each batch end in it, and the longest stretch of each.
#[pyfunction]
#[pyo3(signature = (document_ids: "numpy.typing.NDArray[numpy.int32]", *, batch_rows)
    -> "tuple[numpy.typing.NDArray[numpy.int32], list[int], list[int]]")]
pub fn find_stretches<'py>(
    py: Python<'py>,
    document_ids: PyReadonlyArray2<'py, i32>,
    batch_rows: usize,
) -> PyResult<Found<'py>> {
    let [num_rows, row_tokens] = *document_ids.as_array().shape() else { unreachable!("the array has two dimensions") };
    let batch_tokens = batch_rows.saturating_mul(row_tokens);
    if batch_tokens == 0 || i32::try_from(batch_tokens).is_err() || !num_rows.is_multiple_of(batch_rows) {
        return Err(PyValueError::new_err(format!(
            "{num_rows} rows of {row_tokens} are not batches of {batch_rows} rows with 1 to 2^31 - 1 positions"
        )));
    }
    let ids = document_ids.as_slice()?;
    let found = interruptible(py, None, |_| Ok(Stretches::of_batches(ids, row_tokens, batch_rows)))?;
    Ok((found.cu_seqlens.into_pyarray(py), found.ends, found.longest))
}

/// Reads the rows of a split into arrays; see `slm.data.rows`.
#[pyclass(frozen, module = "slm._core")]
pub struct RowReader {
    reader: rows::RowReader,
    row_tokens: usize,
    boundaries: bool,
}

#[pymethods]
impl RowReader {
    /// Opens the files of ids and of offsets, each given as path, bytes before the array and elements in it.
    ///
    /// Rows are the stream of all documents cut every `row_tokens`, or, with a directory for the file of the plan, documents packed
    /// by best fit.
    #[new]
    #[pyo3(signature = (tokens, indices, *, token_bytes, vocab_size, end_of_text_id, row_tokens, best_fit_directory, boundaries, max_open_files))]
    #[allow(clippy::too_many_arguments)] // each is a fact of its own about the split
    fn new(
        py: Python<'_>,
        tokens: Vec<(PathBuf, u64, u64)>,
        indices: Vec<(PathBuf, u64, u64)>,
        token_bytes: usize,
        vocab_size: u64,
        end_of_text_id: i64,
        row_tokens: usize,
        best_fit_directory: Option<PathBuf>,
        boundaries: bool,
        max_open_files: usize,
    ) -> PyResult<Self> {
        let files = |listed: Vec<_>| {
            listed.into_iter().map(|(path, header_bytes, len)| ArrayFile { path, header_bytes, len }).collect()
        };
        let layout = Layout {
            tokens: files(tokens),
            indices: files(indices),
            element: if token_bytes == 2 { Element::U16 } else { Element::U32 },
            vocab_size,
            end_of_text_id,
            row_tokens,
            packing: best_fit_directory.map_or(Packing::Stream, Packing::BestFit),
            boundaries,
            max_open_files,
        };
        let reader = interruptible(py, None, |callback| rows::RowReader::open(layout, callback))?;
        Ok(Self { reader, row_tokens, boundaries })
    }

    /// Rows in one pass.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.reader.num_rows()
    }

    /// Positions in one pass that hold no token.
    #[getter]
    fn padding_tokens(&self) -> u64 {
        self.reader.padding_tokens()
    }

    /// Writes row `rows[i]` to row `slots[i]` of contiguous arrays of `row_tokens` columns.
    #[pyo3(signature = (
        rows: "numpy.typing.NDArray[numpy.int64]",
        slots: "numpy.typing.NDArray[numpy.int64]",
        input_ids: "numpy.typing.NDArray[numpy.int64]",
        target_ids: "numpy.typing.NDArray[numpy.int64]",
        position_ids: "numpy.typing.NDArray[numpy.int64] | None",
        document_ids: "numpy.typing.NDArray[numpy.int32] | None",
    ))]
    #[allow(clippy::too_many_arguments)] // two lists and four arrays
    fn read<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, i64>,
        slots: PyReadonlyArray1<'py, i64>,
        mut input_ids: PyReadwriteArray2<'py, i64>,
        mut target_ids: PyReadwriteArray2<'py, i64>,
        mut position_ids: Option<PyReadwriteArray2<'py, i64>>,
        mut document_ids: Option<PyReadwriteArray2<'py, i32>>,
    ) -> PyResult<()> {
        let below = |limit: u64| move |&number: &i64| u64::try_from(number).ok().filter(|&number| number < limit);
        let num_slots = input_ids.as_array().nrows();
        let is_like = |shape: &[usize]| shape == [num_slots, self.row_tokens];
        let are_alike = is_like(input_ids.as_array().shape())
            && is_like(target_ids.as_array().shape())
            && position_ids.as_ref().is_none_or(|places| is_like(places.as_array().shape()))
            && document_ids.as_ref().is_none_or(|documents| is_like(documents.as_array().shape()))
            && position_ids.is_some() == document_ids.is_some()
            && position_ids.is_some() == self.boundaries
            && rows.len()? == slots.len()?;
        if !are_alike {
            return Err(PyValueError::new_err("the arrays do not have the shapes of these rows"));
        }
        let rows: Option<Vec<u64>> = rows.as_array().iter().map(below(self.reader.num_rows())).collect();
        let slots: Option<Vec<usize>> =
            slots.as_array().iter().map(|slot| usize::try_from(below(num_slots as u64)(slot)?).ok()).collect();
        let (Some(rows), Some(slots)) = (rows, slots) else {
            return Err(PyIndexError::new_err("a row or a slot does not exist"));
        };
        let boundaries = match (&mut position_ids, &mut document_ids) {
            (Some(places), Some(documents)) => Some((places.as_slice_mut()?, documents.as_slice_mut()?)),
            _ => None,
        };
        let mut out = Rows { input_ids: input_ids.as_slice_mut()?, target_ids: target_ids.as_slice_mut()?, boundaries };
        interruptible(py, None, |_| self.reader.read(&rows, &slots, &mut out))
    }
}
