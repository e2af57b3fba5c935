//! A text through an automaton, in linear time.

use super::RegexRule;
use super::automaton::{DEAD, START};
use hashbrown::HashSet;

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
            let Some(end) = self.end_of_match(text, start, &mut vain) else {
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

    /// The end of the match that starts at `start`.
    #[inline]
    fn end_of_match(&self, text: &[u8], start: usize, vain: &mut Vain) -> Option<usize> {
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
        if at == text.len() && state != DEAD && self.automaton.step(state, self.symbols.count()).is_match {
            end = Some(at);
            vain.trail.clear();
        }
        if !vain.trail.is_empty() {
            vain.places.extend(vain.trail.drain(..));
        }
        end
    }
}
