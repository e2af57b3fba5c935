//! How the number of different pretokens grows with the text, read off a sample.

use crate::count::PretokenCounts;
use crate::error::Result;
use crate::io::blocks::{HEADER_BYTES, Packing, Sealer};
use crate::progress::Stop;

/// The sample grows by this factor from one point of the curve to the next.
const CURVE_STEP: f64 = 4.0;

/// How much of a fall of the exponent from one step to the next is taken to go on.
const FALL_KEPT: f64 = 0.5;

/// About as much as a block of a run has.
const BLOCK_BYTES: usize = 32 << 10;

/// Text between two points of the curve.
const POINT_BYTES: u64 = 64 << 10;

/// Memory of a short pretoken in a table that is between half and three quarters full, and doubles: 24 bytes a slot.
pub(super) const SHORT_BYTES: f64 = 56.0;

/// The same of a long one, besides its bytes.
const LONG_BYTES: f64 = 80.0;

/// The pretokens of the sample, and how many there were at growing parts of it.
#[derive(Default)]
pub(super) struct Curve {
    pub counts: PretokenCounts,
    pub text_bytes: u64,
    unique_bytes: u64,
    points: Vec<(u64, usize, u64)>,
}

impl Curve {
    /// Counts the pretoken at `text[start..end]`.
    #[inline]
    pub fn add(&mut self, text: &[u8], start: usize, end: usize) {
        let before = self.counts.len();
        self.counts.add_range_times(text, start, end, 1);
        self.unique_bytes += if self.counts.len() > before { (end - start) as u64 } else { 0 };
    }

    /// Says that so much more text was looked at.
    pub fn end_text(&mut self, num_bytes: u64) {
        self.text_bytes += num_bytes;
        if self.points.last().is_none_or(|point| self.text_bytes >= point.0 + POINT_BYTES) {
            self.points.push((self.text_bytes, self.counts.len(), self.unique_bytes));
        }
    }

    /// Different pretokens and their bytes in the first `text_bytes`, as far as they were looked at.
    fn at(&self, text_bytes: f64) -> (f64, f64) {
        let now = (self.text_bytes, self.counts.len(), self.unique_bytes);
        let idx = self.points.partition_point(|point| as_f64(point.0) < text_bytes);
        let (bytes, unique, unique_bytes) = *self.points.get(idx).unwrap_or(&now);
        // Between two points the number is about proportional to the text.
        let share = (text_bytes / as_f64(bytes)).min(1.0);
        (as_f64(unique as u64) * share, as_f64(unique_bytes) * share)
    }
}

/// Which of two numbers grows.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// Different pretokens.
    Pretokens,
    /// Their bytes.
    Bytes,
}

/// The sample in figures, and how they grow.
pub(super) struct Growth {
    pub text_bytes: f64,
    /// Different pretokens, and their bytes.
    unique: [f64; 2],
    /// The exponents by which they last grew.
    exponents: [f64; 2],
    /// How much the exponents fell from the step before.
    falls: [f64; 2],
    /// Bytes that a pretoken takes in a table.
    pub table_bytes: f64,
    /// Bytes that a pretoken takes in a sorted run that is kept.
    pub run_bytes: f64,
    /// Bytes that it takes in one that is removed again, which is packed.
    pub packed_bytes: f64,
}

impl Growth {
    pub fn new(curve: Curve, stop: &Stop) -> Result<Self> {
        let text_bytes = as_f64(curve.text_bytes);
        let [(unique, unique_bytes), middle, first] =
            [0, 1, 2].map(|back| curve.at(text_bytes / CURVE_STEP.powi(back)));
        let exponent = |larger: f64, smaller: f64| {
            if smaller > 0.0 { ((larger / smaller).ln() / CURVE_STEP.ln()).clamp(0.0, 1.0) } else { 1.0 }
        };
        let exponents = [exponent(unique, middle.0), exponent(unique_bytes, middle.1)];
        let before = [exponent(middle.0, first.0), exponent(middle.1, first.1)];
        let [table_bytes, run_bytes, packed_bytes] = bytes_of_pretoken(curve.counts, stop)?;
        Ok(Self {
            text_bytes,
            unique: [unique, unique_bytes],
            exponents,
            falls: [0, 1].map(|i| (before[i] - exponents[i]).max(0.0)),
            table_bytes,
            run_bytes,
            packed_bytes,
        })
    }

    /// Different pretokens, or their bytes, in `times` as much text.
    pub fn grown(&self, of: Of, mut times: f64) -> f64 {
        let which = of as usize;
        let mut grown = self.unique[which];
        if times <= 1.0 {
            return grown * times.powf(self.exponents[which]);
        }
        let (mut exponent, mut fall) = (self.exponents[which], self.falls[which]);
        while times > 1.0 {
            fall *= FALL_KEPT;
            exponent = (exponent - fall).max(0.0);
            let step = times.min(CURVE_STEP);
            grown *= step.powf(exponent);
            times /= step;
        }
        grown
    }

    /// How many times the text of the sample it takes until there are `unique` different pretokens; `most` at most.
    pub fn text_until(&self, unique: f64, most: f64) -> f64 {
        let (mut low, mut high) = (0.0, most);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.grown(Of::Pretokens, middle) < unique { low = middle } else { high = middle }
        }
        high.max(f64::MIN_POSITIVE)
    }
}

/// Bytes that a pretoken of the sample takes in a table, in a sorted run where neighbours share their beginning, and in one that
/// is packed.
fn bytes_of_pretoken(mut counts: PretokenCounts, stop: &Stop) -> Result<[f64; 3]> {
    let num = as_f64(counts.len().max(1) as u64);
    let (mut table_bytes, mut run_bytes, mut packed_bytes) = (0.0, 0, 0);
    let mut sealer = Sealer::new(Packing::Zstd);
    let mut block = vec![0; HEADER_BYTES];
    let mut previous: Vec<u8> = Vec::new();
    counts.take_sorted(false, stop, |pretoken, count| {
        let is_long = pretoken.len() > 15;
        table_bytes += if is_long { LONG_BYTES + 1.5 * as_f64(pretoken.len() as u64) } else { SHORT_BYTES };
        let shared = previous.iter().zip(pretoken).take_while(|(one, other)| one == other).count();
        // Two lengths and the count, of which most are one byte.
        let number = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        block.extend_from_slice(&[number(shared as u64), number((pretoken.len() - shared) as u64), number(count)]);
        block.extend_from_slice(&pretoken[shared..]);
        previous.truncate(shared);
        previous.extend_from_slice(&pretoken[shared..]);
        if block.len() >= BLOCK_BYTES {
            run_bytes += block.len() as u64;
            packed_bytes += sealer.seal(&mut block, 0)?.len() as u64;
            block.truncate(HEADER_BYTES);
        }
        Ok(())
    })?;
    run_bytes += block.len() as u64;
    packed_bytes += sealer.seal(&mut block, 0)?.len() as u64;
    Ok([table_bytes, as_f64(run_bytes), as_f64(packed_bytes)].map(|bytes| bytes / num))
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
pub(super) fn as_f64(number: u64) -> f64 {
    number as f64
}
