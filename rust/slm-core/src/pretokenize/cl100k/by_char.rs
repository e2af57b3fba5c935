//! GPT-4's pattern, character by character: the reference of the one by masks.

use crate::pretokenize::classes::{Class, Classes};
use crate::pretokenize::joining::contraction;

/// Where the pretoken that starts at `start`, which is within `text`, ends. At most `MAX_NUMBERS` numbers are in one.
#[inline]
pub(in crate::pretokenize) fn end_of_pretoken<const MAX_NUMBERS: u8>(
    text: &[u8],
    classes: Classes,
    start: usize,
) -> usize {
    let (class, length) = classes.at(text, start);
    let second = start + length;
    match class {
        Class::Letter => end_of_run(text, classes, second, Class::Letter),
        Class::Number => end_of_numbers::<MAX_NUMBERS>(text, classes, second),
        Class::Other => {
            if text[start] == b'\''
                && let Some(length) = contraction(&text[second..])
            {
                return start + length;
            }
            if is(text, classes, second, Class::Letter) {
                end_of_run(text, classes, second, Class::Letter)
            } else {
                end_of_other(text, classes, second)
            }
        }
        Class::Space => {
            let first = text[start];
            if first != b'\r' && first != b'\n' && is(text, classes, second, Class::Letter) {
                end_of_run(text, classes, second, Class::Letter)
            } else if first == b' ' && is(text, classes, second, Class::Other) {
                end_of_other(text, classes, second)
            } else {
                end_of_space(text, classes, start)
            }
        }
    }
}

#[inline]
fn is(text: &[u8], classes: Classes, at: usize, class: Class) -> bool {
    at < text.len() && classes.at(text, at).0 == class
}

/// The end of the characters of `class` from `at` on.
#[inline]
fn end_of_run(text: &[u8], classes: Classes, mut at: usize, class: Class) -> usize {
    while at < text.len() {
        let (next, length) = classes.at(text, at);
        if next != class {
            break;
        }
        at += length;
    }
    at
}

/// The end of numbers, of which the first ends at `at`.
fn end_of_numbers<const MAX_NUMBERS: u8>(text: &[u8], classes: Classes, mut at: usize) -> usize {
    for _ in 1..MAX_NUMBERS {
        if !is(text, classes, at, Class::Number) {
            break;
        }
        at += classes.at(text, at).1;
    }
    at
}

/// The end of a run of other characters, and of the line ends right after it.
fn end_of_other(text: &[u8], classes: Classes, at: usize) -> usize {
    let at = end_of_run(text, classes, at, Class::Other);
    at + text[at..].iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count()
}

/// The end of a pretoken of whitespace: after the last line end; else before the last character, unless it is all there is
/// or nothing follows.
fn end_of_space(text: &[u8], classes: Classes, start: usize) -> usize {
    let (mut at, mut last, mut after_line_end) = (start, start, None);
    while at < text.len() {
        let (class, length) = classes.at(text, at);
        if class != Class::Space {
            break;
        }
        last = at;
        at += length;
        if text[last] == b'\r' || text[last] == b'\n' {
            after_line_end = Some(at);
        }
    }
    match after_line_end {
        Some(end) => end,
        None if at == text.len() || last == start => at,
        None => last,
    }
}
