//! A text through an automaton, in linear time.

use super::RegexRule;
use super::automaton::{DEAD, START};
use hashbrown::HashSet;

/// What comes of looking for a match.
enum Found {
    /// It ends here.
    Match(usize),
    /// There is none.
    Nothing,
    /// What follows the text decides.
    Open,
}

/// Bytes that a match is looked for beyond the last one found, before it is remembered where that was in vain.
const PATIENCE: usize = 256;

/// Where, and in what state, looking for a longer match was in vain.
///
/// A regex such as `a+b|a` looks at a run of `a` to its end for every single one of them. The automaton's future depends on its
/// state and its place alone: who comes to one from which another found nothing can give up (Reps 1998, "Maximal-munch
/// tokenization in linear time"). Places are remembered once in [`PATIENCE`] bytes.
#[derive(Default)]
struct Vain {
    places: HashSet<(u32, usize), foldhash::fast::FixedState>,
    /// Those of the search that goes on.
    trail: Vec<(u32, usize)>,
}

/// How far to look from `at` on; a multiple, so that searches from all starts come to the same places.
fn patience_from(at: usize) -> usize {
    (at / PATIENCE + 2) * PATIENCE
}

impl RegexRule {
    /// Calls `f` with where each pretoken of `text` starts and ends.
    pub(in crate::pretokenize) fn for_each_range(&self, text: &[u8], mut f: impl FnMut(usize, usize)) {
        let mut vain = Vain::default();
        let (mut start, mut unmatched) = (0, 0);
        while start < text.len() {
            let Found::Match(end) = self.end_of_match::<false>(text, start, &mut vain) else {
                start += self.symbols.at(text, start).1;
                continue;
            };
            if unmatched < start {
                f(unmatched, start);
            }
            f(start, end);
            (start, unmatched) = (end, end);
        }
        if unmatched < text.len() {
            f(unmatched, text.len());
        }
    }

    /// The ends of the pretokens of `text` that are the same whatever follows it.
    pub(in crate::pretokenize) fn settled<'a>(&'a self, text: &'a [u8]) -> Settled<'a> {
        Settled { rule: self, text, start: 0, unmatched: 0, after_gap: None, vain: Vain::default() }
    }

    /// The match that starts at `start`. Where the text `GOES_ON`, an attempt that comes to its end is open.
    #[inline]
    fn end_of_match<const GOES_ON: bool>(&self, text: &[u8], start: usize, vain: &mut Vain) -> Found {
        let (mut state, mut at, mut end) = (START, start, None);
        let mut patient_until = patience_from(start);
        while at < text.len() {
            let (symbol, length) = self.symbols.at(text, at);
            let step = self.automaton.step(state, usize::from(symbol));
            if step.is_match {
                end = Some(at);
                patient_until = patience_from(at);
                vain.trail.clear();
            }
            state = step.target;
            if state == DEAD {
                break;
            }
            at += length;
            if at >= patient_until {
                if vain.places.contains(&(state, at)) {
                    break;
                }
                patient_until = (at / PATIENCE + 1) * PATIENCE;
                vain.trail.push((state, at));
            }
        }
        if at == text.len() && state != DEAD {
            if GOES_ON {
                vain.trail.clear();
                return Found::Open;
            }
            if self.automaton.step(state, self.symbols.count()).is_match {
                end = Some(at);
                vain.trail.clear();
            }
        }
        if !vain.trail.is_empty() {
            vain.places.extend(vain.trail.drain(..));
        }
        end.map_or(Found::Nothing, Found::Match)
    }
}

/// Goes through the pretokens that nothing can change which follows the text.
pub(in crate::pretokenize) struct Settled<'a> {
    rule: &'a RegexRule,
    text: &'a [u8],
    start: usize,
    unmatched: usize,
    /// The end of the match that comes after the stretch without one that came last.
    after_gap: Option<usize>,
    vain: Vain,
}

impl Iterator for Settled<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(end) = self.after_gap.take() {
            return Some(end);
        }
        while self.start < self.text.len() {
            match self.rule.end_of_match::<true>(self.text, self.start, &mut self.vain) {
                Found::Open => return None,
                Found::Nothing => self.start += self.rule.symbols.at(self.text, self.start).1,
                Found::Match(end) => {
                    let gap = (self.unmatched < self.start).then_some(self.start);
                    (self.start, self.unmatched) = (end, end);
                    self.after_gap = gap.map(|_| end);
                    return gap.or(Some(end));
                }
            }
        }
        None
    }
}

/// Looks for the end of a match in a text that comes in parts; places are counted from the first of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::pretokenize) struct Attempt {
    state: u32,
    /// Up to where the text was looked at.
    at: usize,
    /// Where the longest match ends that was found: one that is found later is longer.
    pub(in crate::pretokenize) end: Option<usize>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { state: START, at: 0, end: None }
    }
}

impl Attempt {
    /// Looks at the rest of `text`, which there is more of now; whether `end` is the end, whatever follows or, where it `is_whole`,
    /// as nothing does.
    pub(in crate::pretokenize) fn is_decided(&mut self, rule: &RegexRule, text: &[u8], is_whole: bool) -> bool {
        while self.state != DEAD && self.at < text.len() {
            let (symbol, length) = rule.symbols.at(text, self.at);
            let step = rule.automaton.step(self.state, usize::from(symbol));
            if step.is_match {
                self.end = Some(self.at);
            }
            self.state = step.target;
            self.at += length;
        }
        if is_whole && self.state != DEAD && rule.automaton.step(self.state, rule.symbols.count()).is_match {
            self.end = Some(self.at);
        }
        is_whole || self.state == DEAD
    }

    /// Counts places from `start` on, which is before the end of the match.
    pub(in crate::pretokenize) fn count_from(&mut self, start: usize) {
        (self.at, self.end) = (self.at - start, self.end.map(|end| end - start));
    }

    /// Counts places from where the next text begins, which was looked at up to there; a match is known once it ends there or later.
    pub(in crate::pretokenize) fn begin_text(&mut self) {
        (self.at, self.end) = (0, None);
    }
}
