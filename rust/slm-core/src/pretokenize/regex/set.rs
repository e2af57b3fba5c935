//! Characters and classes of characters in a regex.

use super::parse::{Parsed, Parser, Problem};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// These characters.
pub(super) fn of(characters: &[char]) -> ClassUnicode {
    ClassUnicode::new(characters.iter().map(|&character| ClassUnicodeRange::new(character, character)))
}

/// A character that stands for itself.
pub(super) fn literal(parser: &Parser, character: char, start: usize) -> Parsed<ClassUnicode> {
    folded(parser, of(&[character]), start)
}

/// The other case of what is ASCII, where case is ignored.
fn folded(parser: &Parser, mut class: ClassUnicode, start: usize) -> Parsed<ClassUnicode> {
    if !parser.ignores_case {
        return Ok(class);
    }
    if !class.is_ascii() {
        return Problem::new(
            start,
            "engines differ in what is the other case of this",
            "let only ASCII characters stand in `(?i:...)`",
        );
    }
    class.try_case_fold_simple().expect("regex-syntax has its tables of cases");
    Ok(class)
}

/// What a `\` begins, which was at `start`.
pub(super) fn escape(parser: &mut Parser, start: usize) -> Parsed<ClassUnicode> {
    let Some(next) = parser.next() else {
        return Problem::new(start, r"`\` is the last character", r"write `\\` for the character");
    };
    let class = match next {
        'n' => of(&['\n']),
        'r' => of(&['\r']),
        't' => of(&['\t']),
        'f' => of(&['\u{c}']),
        'v' => of(&['\u{b}']),
        'a' => of(&['\u{7}']),
        'e' => of(&['\u{1b}']),
        's' | 'S' | 'd' | 'D' => by_name(&format!(r"\{next}")).expect("these are names of classes"),
        'w' => word(),
        'W' => {
            let mut class = word();
            class.negate();
            class
        }
        'p' | 'P' => property(parser, next == 'P', start)?,
        'x' | 'u' => of(&[code_point(parser, next, start)?]),
        'b' | 'B' | 'A' | 'G' | 'K' => {
            return Problem::new(start, format!(r"`\{next}` looks at the text before"), "leave it out");
        }
        'Z' => {
            return Problem::new(start, r"`\Z` is before a last line end too", r"write `\z` for the end of the text");
        }
        '0'..='9' | 'k' | 'g' => {
            return Problem::new(
                start,
                format!(r"`\{next}` refers back to what was matched, which no automaton can"),
                "write out what it stands for",
            );
        }
        'h' | 'H' => {
            return Problem::new(
                start,
                format!(r"`\{next}` is a hexadecimal digit to Hugging Face's engine, and a blank to others"),
                r"write `[0-9a-fA-F]` or `[ \t]`",
            );
        }
        'R' | 'X' | 'N' | 'O' => {
            return Problem::new(
                start,
                format!(r"`\{next}` is not supported"),
                "write out the characters that it stands for",
            );
        }
        next if next.is_ascii_punctuation() || next == ' ' => of(&[next]),
        next => {
            return Problem::new(
                start,
                format!(r"`\{next}` has no meaning that all engines agree on"),
                "write the character without the backslash",
            );
        }
    };
    folded(parser, class, start)
}

/// `\w` as Oniguruma has it: without joiners, and with all numbers of Latin-1.
fn word() -> ClassUnicode {
    by_name(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}²³¹¼½¾]").expect("these are names of classes")
}

/// A class that `regex-syntax` knows, as of Unicode 16.
fn by_name(class: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(class).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

/// `\p{Name}`, after the `p`.
fn property(parser: &mut Parser, is_negative: bool, start: usize) -> Parsed<ClassUnicode> {
    let remedy = r"write a category or a script as in `\p{L}`, `\p{Lu}`, `\p{Han}`";
    if !parser.take("{") {
        return Problem::new(start, "a property has no braces", remedy);
    }
    let is_negative = is_negative != parser.take("^");
    let mut name = String::new();
    loop {
        match parser.next() {
            Some('}') => break,
            Some(next) if next.is_ascii_alphanumeric() || next == '_' => name.push(next),
            _ => {
                return Problem::new(
                    start,
                    "a property is not closed, or its name has other signs than letters",
                    remedy,
                );
            }
        }
    }
    // Names that the engines read differently, or only one of them knows.
    let is_ambiguous =
        ["alnum", "alpha", "word", "punct", "graph", "print", "space", "cntrl", "digit", "xdigit", "blank"]
            .contains(&name.to_ascii_lowercase().as_str());
    let class = if is_ambiguous { None } else { by_name(&format!(r"\p{{{name}}}")) };
    let Some(mut class) = class else {
        return Problem::new(start, format!("no category or script is called `{name}` in all engines"), remedy);
    };
    if is_negative {
        class.negate();
    }
    Ok(class)
}

/// `\x41`, `\x{1F600}` or `\u0041`, after the letter.
fn code_point(parser: &mut Parser, letter: char, start: usize) -> Parsed<char> {
    let is_braced = letter == 'x' && parser.take("{");
    let most = if is_braced {
        8
    } else if letter == 'x' {
        2
    } else {
        4
    };
    let mut digits = String::new();
    while digits.len() < most && parser.peek().is_some_and(|next| next.is_ascii_hexdigit()) {
        digits.extend(parser.next());
    }
    let is_whole = if is_braced { parser.take("}") && !digits.is_empty() } else { digits.len() == most };
    let character = u32::from_str_radix(&digits, 16).ok().filter(|_| is_whole).and_then(char::from_u32);
    match character {
        Some(character) if is_braced || letter == 'u' || character.is_ascii() => Ok(character),
        Some(_) => Problem::new(
            start,
            r"`\x` from 80 on is a byte to Hugging Face's engine",
            r"write `\x{E9}` for the character",
        ),
        None => Problem::new(
            start,
            format!(r"`\{letter}` is not followed by the number of a character"),
            r"write as in `\x41`, `\x{1F600}` or `\u00E9`",
        ),
    }
}

/// `[...]`, after the bracket that was at `start`.
pub(super) fn brackets(parser: &mut Parser, start: usize) -> Parsed<ClassUnicode> {
    let is_negative = parser.take("^");
    if is_negative && parser.ignores_case {
        return Problem::new(
            start,
            "engines differ in what `[^...]` is without regard to case",
            "let it stand outside of `(?i:...)`",
        );
    }
    let mut class = ClassUnicode::empty();
    let mut both: Option<ClassUnicode> = None;
    let mut is_first = true;
    loop {
        let at = parser.at;
        if parser.take("&&") {
            if is_first {
                return Problem::new(at, "nothing is before `&&`", "write a class on both sides");
            }
            both = Some(intersected(both, &class));
            (class, is_first) = (ClassUnicode::empty(), true);
            continue;
        }
        match parser.next() {
            None => {
                return Problem::new(
                    start,
                    "a class is not closed",
                    r"write `]` where it ends, or `\[` for the character",
                );
            }
            Some(']') if is_first => {
                return Problem::new(at, "a class is empty, or `]` is in it", r"write `\]` for the character");
            }
            Some(']') => break,
            Some('[') if parser.peek() == Some(':') => {
                return Problem::new(
                    at,
                    "engines differ in what `[:...:]` has beyond ASCII",
                    r"write a category, as in `\p{L}`",
                );
            }
            Some('[') => class.union(&brackets(parser, at)?),
            Some(first) => class.union(&item(parser, first, at, is_first)?),
        }
        is_first = false;
    }
    class = intersected(both, &class);
    if is_negative {
        class.negate();
    }
    if class.ranges().is_empty() {
        return Problem::new(start, "a class has no characters", "leave it out");
    }
    Ok(class)
}

fn intersected(both: Option<ClassUnicode>, class: &ClassUnicode) -> ClassUnicode {
    match both {
        None => class.clone(),
        Some(mut both) => {
            both.intersect(class);
            both
        }
    }
}

/// A character, a range or a named class within brackets.
fn item(parser: &mut Parser, first: char, at: usize, is_first: bool) -> Parsed<ClassUnicode> {
    let dash = |at| Problem::new(at, "engines differ in what this `-` means", r"write `\-` for the character");
    if first == '-' && !is_first && parser.peek() != Some(']') || first == '-' && parser.peek() == Some('-') {
        return dash(at);
    }
    if first == '~' && parser.peek() == Some('~') {
        return Problem::new(at, "engines differ in what `~~` means", r"write `~` once");
    }
    let low = one(parser, first, at)?;
    if first == '-' || parser.peek() != Some('-') {
        return folded(parser, low, at);
    }
    let dash_at = parser.at;
    parser.at += 1;
    match parser.next() {
        // A dash at the end stands for itself: it is read again.
        Some(']') => {
            parser.at = dash_at;
            folded(parser, low, at)
        }
        Some(last) if !matches!(last, '[' | '-') => {
            let high = one(parser, last, dash_at + 1)?;
            range(parser, &low, &high, at)
        }
        _ => dash(dash_at),
    }
}

fn one(parser: &mut Parser, first: char, at: usize) -> Parsed<ClassUnicode> {
    // Ranges need the characters themselves; the other case is added to the whole.
    let ignores_case = std::mem::replace(&mut parser.ignores_case, false);
    let class = if first == '\\' { escape(parser, at) } else { literal(parser, first, at) };
    parser.ignores_case = ignores_case;
    class
}

fn range(parser: &Parser, low: &ClassUnicode, high: &ClassUnicode, at: usize) -> Parsed<ClassUnicode> {
    let single = |class: &ClassUnicode| match class.ranges() {
        [range] if range.start() == range.end() => Some(range.start()),
        _ => None,
    };
    match (single(low), single(high)) {
        (Some(low), Some(high)) if low <= high => {
            folded(parser, ClassUnicode::new([ClassUnicodeRange::new(low, high)]), at)
        }
        (Some(_), Some(_)) => Problem::new(at, "a range ends before it begins", "write the smaller character first"),
        _ => Problem::new(at, "a range begins or ends with a class", r"write `\-` for the character"),
    }
}
