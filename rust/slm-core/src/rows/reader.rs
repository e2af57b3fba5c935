//! Rows by number, into arrays of the caller: ids, what is to be predicted, and where documents begin.

use super::documents::DocumentIndex;
use super::files::{ArrayFile, ArrayFiles};
use super::pieces::{Piece, Plan};
use crate::error::{Error, Result};
use crate::progress::{Callback, Progress, supervise};
use crate::shard::header::Element;
use std::path::PathBuf;

/// Target of a position that has nothing to predict; what `PyTorch`'s losses leave out.
pub const NO_TARGET: i64 = -100;

/// Document of a position that belongs to none.
pub const NO_DOCUMENT: i32 = -1;

/// How documents become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packing {
    /// End to end, cut every `row_tokens`; the last incomplete row is left out.
    Stream,
    /// Whole where they fit, in pieces where they are longer than a row, and no row is cut from two halves; the file with the
    /// plan lies in the directory, without a name.
    BestFit(PathBuf),
}

/// What a split of a shard directory is, and how its rows are cut.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Ids, a file a shard.
    pub tokens: Vec<ArrayFile>,
    /// Offsets of documents, a file a shard.
    pub indices: Vec<ArrayFile>,
    /// What an id is stored as.
    pub element: Element,
    /// Every id is below it.
    pub vocab_size: u64,
    /// What fills a row behind its last piece.
    pub end_of_text_id: i64,
    /// Tokens in a row.
    pub row_tokens: usize,
    /// How documents become rows.
    pub packing: Packing,
    /// Whether rows come with positions and documents.
    pub boundaries: bool,
    /// Files of ids, and as many of offsets, that stay open.
    pub max_open_files: usize,
}

/// Where rows are written: arrays of any number of rows of `row_tokens`.
pub struct Rows<'a> {
    /// What the model reads.
    pub input_ids: &'a mut [i64],
    /// What it is to predict: the inputs one token later, or [`NO_TARGET`].
    pub target_ids: &'a mut [i64],
    /// Places in the document, or in the part of it that is in the row; and which document of the row, or [`NO_DOCUMENT`].
    pub boundaries: Option<(&'a mut [i64], &'a mut [i32])>,
}

/// Reads rows of one split.
pub struct RowReader {
    tokens: ArrayFiles,
    documents: Option<DocumentIndex>,
    plan: Option<Plan>,
    layout: Layout,
}

impl RowReader {
    /// Opens the files, and plans the rows where documents are packed by length.
    ///
    /// # Errors
    /// [`Error::Data`] if a file is not what the layout says; [`Error::Io`] if one cannot be read or the plan cannot be written;
    /// [`Error::Interrupted`] if the callback broke off.
    pub fn open(layout: Layout, callback: &mut Callback<'_>) -> Result<Self> {
        let tokens = ArrayFiles::open(layout.tokens.clone(), layout.element.bytes() as u64, layout.max_open_files)?;
        let index = || DocumentIndex::open(layout.indices.clone(), tokens.starts(), layout.max_open_files);
        let (documents, plan) = match &layout.packing {
            Packing::Stream => (if layout.boundaries { Some(index()?) } else { None }, None),
            Packing::BestFit(directory) => {
                let progress = || Progress { phase: "pack", unit: "documents", ..Progress::default() };
                let plan = |stop: &_| Plan::new(&index()?, layout.row_tokens, directory, stop);
                (None, Some(supervise(callback, progress, plan)?))
            }
        };
        Ok(Self { tokens, documents, plan, layout })
    }

    /// Rows in one pass.
    pub fn num_rows(&self) -> u64 {
        match &self.plan {
            Some(plan) => plan.num_rows(),
            None => self.tokens.num_elements().saturating_sub(1) / self.layout.row_tokens as u64,
        }
    }

    /// Positions in one pass that hold no token.
    pub fn padding_tokens(&self) -> u64 {
        if self.plan.is_some() {
            self.num_rows() * self.layout.row_tokens as u64 - self.tokens.num_elements()
        } else {
            0
        }
    }

    /// Writes row `rows[i]` to row `slots[i]` of the arrays.
    ///
    /// # Errors
    /// [`Error::Data`] if an id is outside the vocabulary, or a file has changed; [`Error::Io`] if one cannot be read.
    ///
    /// # Panics
    /// If a row, a slot or an array does not exist.
    pub fn read(&self, rows: &[u64], slots: &[usize], out: &mut Rows<'_>) -> Result<()> {
        let row_tokens = self.layout.row_tokens;
        let mut bytes = vec![0; (row_tokens + 1) * self.layout.element.bytes()];
        let mut pieces = Vec::new();
        for (&row, &slot) in rows.iter().zip(slots) {
            assert!(row < self.num_rows(), "row {row} of {}", self.num_rows());
            let span = slot * row_tokens..(slot + 1) * row_tokens;
            let mut out = Rows {
                input_ids: &mut out.input_ids[span.clone()],
                target_ids: &mut out.target_ids[span.clone()],
                boundaries: out
                    .boundaries
                    .as_mut()
                    .map(|(places, documents)| (&mut places[span.clone()], &mut documents[span])),
            };
            match &self.plan {
                Some(plan) => {
                    plan.pieces(row, &mut pieces)?;
                    self.read_pieces(&pieces, &mut bytes, &mut out)?;
                }
                None => self.read_stream(row * row_tokens as u64, &mut bytes, &mut out)?,
            }
        }
        Ok(())
    }

    fn read_stream(&self, start: u64, bytes: &mut [u8], out: &mut Rows<'_>) -> Result<()> {
        self.read_piece(
            &Piece { start, len: self.layout.row_tokens, is_last: false },
            bytes,
            out.input_ids,
            out.target_ids,
        )?;
        if let (Some((places, document_ids)), Some(documents)) = (&mut out.boundaries, &self.documents) {
            let (mut from, mut document) = (0, 0);
            documents.for_each_start(start, start + self.layout.row_tokens as u64, |position| {
                #[allow(clippy::cast_possible_truncation)] // less than the tokens of a row
                let to = (position - start) as usize;
                fill_document(places, document_ids, from..to, document);
                (from, document) = (to, document + 1);
            })?;
            fill_document(places, document_ids, from..self.layout.row_tokens, document);
        }
        Ok(())
    }

    fn read_pieces(&self, pieces: &[Piece], bytes: &mut [u8], out: &mut Rows<'_>) -> Result<()> {
        let mut from = 0;
        for (document, piece) in pieces.iter().enumerate() {
            let to = from + piece.len;
            self.read_piece(piece, bytes, &mut out.input_ids[from..to], &mut out.target_ids[from..to])?;
            if let Some((places, document_ids)) = &mut out.boundaries {
                #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // less than the tokens of a row
                fill_document(places, document_ids, from..to, document as i32);
            }
            from = to;
        }
        out.input_ids[from..].fill(self.layout.end_of_text_id);
        out.target_ids[from..].fill(NO_TARGET);
        if let Some((places, document_ids)) = &mut out.boundaries {
            fill_document(places, document_ids, from..self.layout.row_tokens, NO_DOCUMENT);
        }
        Ok(())
    }

    /// Reads consecutive tokens, and each one's successor as its target, but not over the end of a document if that is where the
    /// piece ends.
    fn read_piece(&self, piece: &Piece, bytes: &mut [u8], input_ids: &mut [i64], target_ids: &mut [i64]) -> Result<()> {
        let width = self.layout.element.bytes();
        let bytes = &mut bytes[..(piece.len + usize::from(!piece.is_last)) * width];
        self.tokens.read(piece.start, bytes)?;
        let largest = match self.layout.element {
            Element::U16 => widen(bytes, u16::from_le_bytes, input_ids, target_ids),
            _ => widen(bytes, u32::from_le_bytes, input_ids, target_ids),
        };
        if piece.is_last {
            target_ids[piece.len - 1] = NO_TARGET;
        }
        if largest < self.layout.vocab_size { Ok(()) } else { Err(self.outside_vocabulary(piece.start, bytes)) }
    }

    fn outside_vocabulary(&self, start: u64, bytes: &[u8]) -> Error {
        let id_of = |element: &[u8]| element.iter().rev().fold(0, |id, &byte| id << 8 | u64::from(byte));
        let ids = bytes.chunks_exact(self.layout.element.bytes()).map(id_of);
        let (at, id) = ids.enumerate().find(|&(_, id)| id >= self.layout.vocab_size).unwrap_or_default();
        let (file_idx, offset) = self.tokens.locate(start + at as u64);
        let path = &self.tokens.files()[file_idx].path;
        Error::Data(format!(
            "token id {id} in `{}` at token {offset} is outside the vocabulary of {}\n\nhint: `slm data verify {}` says which \
             shards are damaged; rebuild them",
            path.display(),
            self.layout.vocab_size,
            path.parent().unwrap_or(path).display()
        ))
    }
}

/// Writes ids as inputs, and from the second one on as targets; gives the largest.
fn widen<const WIDTH: usize, Id: Copy + Ord + Default + Into<i64> + Into<u64>>(
    bytes: &[u8],
    id_of: impl Fn([u8; WIDTH]) -> Id,
    input_ids: &mut [i64],
    target_ids: &mut [i64],
) -> u64 {
    let elements = bytes.as_chunks::<WIDTH>().0;
    for (input_id, &element) in input_ids.iter_mut().zip(elements) {
        *input_id = id_of(element).into();
    }
    for (target_id, &element) in target_ids.iter_mut().zip(&elements[1..]) {
        *target_id = id_of(element).into();
    }
    elements.iter().map(|&element| id_of(element)).max().unwrap_or_default().into()
}

fn fill_document(places: &mut [i64], document_ids: &mut [i32], span: std::ops::Range<usize>, document: i32) {
    document_ids[span.clone()].fill(document);
    for (place, at) in places[span].iter_mut().zip(0..) {
        *place = at;
    }
}
