//! From the text of a regex to a tree, in the part of the language that Oniguruma and other engines read alike.
//!
//! Oniguruma, with Ruby's syntax, is what Hugging Face runs. Constructs that it reads differently from most engines (`$`, `\h`,
//! `{1,3}+`), that look back, or that no automaton has, are problems, each with its place and a remedy.

use super::set;
use crate::error::Error;
use regex_syntax::hir::ClassUnicode;

/// Groups within groups that there may be.
const MAX_DEPTH: usize = 50;

/// The largest count of a repetition.
const MAX_COUNT: u32 = 1000;

/// A regex as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// One character of a class.
    Class(ClassUnicode),
    /// No character: the next one is of the class, or the text ends.
    Look { class: ClassUnicode, or_end: bool },
    /// One after another.
    Concat(Vec<Node>),
    /// The first that leads to a match.
    Alternate(Vec<Node>),
    /// Several times, as often as possible or as rarely.
    Repeat { node: Box<Node>, min: u32, max: Option<u32>, is_greedy: bool },
}

/// Why a regex cannot be used.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where, in characters from 0.
    pub(super) at: usize,
    /// What is there.
    pub(super) what: String,
    /// What to write in place of it.
    pub(super) remedy: String,
}

pub(super) type Parsed<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new<T>(at: usize, what: impl Into<String>, remedy: impl Into<String>) -> Parsed<T> {
        Err(Self { at, what: what.into(), remedy: remedy.into() })
    }

    pub(super) fn in_regex(self, regex: &str) -> Error {
        let Self { at, what, remedy } = self;
        Error::Config(format!(
            "the regex `{regex}` cannot be used as `pattern`: at character {at}, {what}\n\nhint: {remedy}"
        ))
    }
}

pub(super) fn parse(regex: &str) -> Parsed<Node> {
    let mut parser = Parser { regex: regex.chars().collect(), at: 0, depth: 0, ignores_case: false };
    let tree = parser.alternation()?;
    match parser.peek() {
        None => Ok(tree),
        Some(_) => Problem::new(parser.at, "`)` closes no group", r"write `\)` for the character"),
    }
}

/// Reads a regex from left to right.
pub(super) struct Parser {
    regex: Vec<char>,
    pub(super) at: usize,
    depth: usize,
    pub(super) ignores_case: bool,
}

impl Parser {
    pub(super) fn peek(&self) -> Option<char> {
        self.regex.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    /// Passes over `text` if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let is_next = self.regex[self.at..].iter().take(length).copied().eq(text.chars());
        if is_next {
            self.at += length;
        }
        is_next
    }

    fn alternation(&mut self) -> Parsed<Node> {
        let mut ways = vec![self.concatenation()?];
        while self.take("|") {
            ways.push(self.concatenation()?);
        }
        Ok(if ways.len() == 1 { ways.remove(0) } else { Node::Alternate(ways) })
    }

    fn concatenation(&mut self) -> Parsed<Node> {
        let mut nodes = Vec::new();
        let mut letters_before = String::new();
        while let Some(next) = self.peek().filter(|next| !matches!(next, '|' | ')')) {
            self.check_folding(&mut letters_before, next)?;
            let start = self.at;
            let atom = self.atom()?;
            nodes.push(self.repeated(atom, start)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) })
    }

    /// Without regard to case Oniguruma takes one character for some two letters, as `ß` for `ss`; nothing else does.
    fn check_folding(&self, before: &mut String, next: char) -> Parsed<()> {
        if !self.ignores_case || !next.is_ascii_alphabetic() {
            before.clear();
            return Ok(());
        }
        let letter = next.to_ascii_lowercase();
        let pair = before.chars().chain([letter]).collect::<String>();
        if ["ss", "ff", "fi", "fl", "st"].contains(&pair.as_str()) {
            let what = format!(
                "Hugging Face's engine takes one character, such as `ß` or `ﬁ`, for `{pair}` without regard to case"
            );
            return Problem::new(self.at, what, "write both cases, as in `[sS][tT]`");
        }
        *before = letter.to_string();
        Ok(())
    }

    fn atom(&mut self) -> Parsed<Node> {
        let start = self.at;
        match self.next() {
            Some('(') => self.group(start),
            Some('[') => set::brackets(self, start).map(Node::Class),
            Some('\\') if self.take("z") => Ok(Node::Look { class: ClassUnicode::empty(), or_end: true }),
            Some('\\') => set::escape(self, start).map(Node::Class),
            Some('.') => {
                let mut class = set::of(&['\n']);
                class.negate();
                Ok(Node::Class(class))
            }
            Some('^') => Problem::new(
                start,
                "`^` looks at the text before",
                "leave it out: a match begins where the one before ended",
            ),
            Some('$') => Problem::new(
                start,
                "`$` is the end of a line to Hugging Face's engine, and the end of the text to others",
                r"write `\z` for the end of the text, `(?=\n)` for that of a line",
            ),
            Some(sign @ ('*' | '+' | '?')) => {
                Problem::new(start, format!("`{sign}` repeats nothing"), format!(r"write `\{sign}` for the character"))
            }
            Some('{') => Problem::new(start, "`{` repeats nothing", r"write `\{` for the character"),
            Some(character) => set::literal(self, character, start).map(Node::Class),
            None => unreachable!("the caller has looked at the next character"),
        }
    }

    fn group(&mut self, start: usize) -> Parsed<Node> {
        let outer_case = self.ignores_case;
        let kind = if !self.take("?") || self.take(":") {
            Kind::Plain
        } else if self.take("i:") {
            self.ignores_case = true;
            Kind::Plain
        } else if self.take("=") {
            Kind::LookAhead { is_negative: false }
        } else if self.take("!") {
            Kind::LookAhead { is_negative: true }
        } else if self.take(">") {
            Kind::Atomic
        } else if self.take("<=") || self.take("<!") {
            return Problem::new(
                start,
                "a look-behind looks at the text before",
                "match what comes before in the same alternative, or leave it out",
            );
        } else if self.take("i)") {
            return Problem::new(
                start,
                "engines differ in how far `(?i)` reaches",
                "write `(?i:...)` around what it is for",
            );
        } else {
            return Problem::new(
                start,
                "this kind of group is not supported",
                "write `(?:...)`, or `(?i:...)` to ignore case",
            );
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Problem::new(
                start,
                format!("there are more than {MAX_DEPTH} groups within groups"),
                "leave out groups that are not needed",
            );
        }
        let inner = self.alternation()?;
        self.depth -= 1;
        self.ignores_case = outer_case;
        if !self.take(")") {
            return Problem::new(start, "a group is not closed", r"write `)` where it ends, or `\(` for the character");
        }
        match kind {
            Kind::Plain => Ok(inner),
            Kind::LookAhead { is_negative } => look_ahead(&inner, is_negative, start),
            Kind::Atomic => atomic(inner, start),
        }
    }

    /// What follows an atom that begins at `start`: a repetition, or nothing.
    fn repeated(&mut self, atom: Node, start: usize) -> Parsed<Node> {
        let sign = self.at;
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(atom, start),
            _ => return Ok(atom),
        };
        self.at += 1;
        check_repeatable(&atom, start)?;
        let (is_greedy, is_possessive) = (!self.take("?"), self.take("+"));
        self.check_not_repeated_again()?;
        if is_possessive && is_greedy {
            return possessive(atom, min, max, sign);
        }
        if is_possessive {
            return Problem::new(sign, "a repetition is repeated", "put the inner one into a group, `(?:...)`");
        }
        Ok(Node::Repeat { node: Box::new(atom), min, max, is_greedy })
    }

    /// `{n}`, `{n,}` or `{n,m}`.
    fn counted(&mut self, atom: Node, start: usize) -> Parsed<Node> {
        let sign = self.at;
        self.at += 1;
        let malformed =
            |what: &str| Problem::new(sign, what, r"write `{n}`, `{n,}` or `{n,m}`, or `\{` for the character");
        let Some(min) = self.number() else { return malformed("`{` begins no count") };
        let (has_comma, max) = if self.take(",") { (true, self.number()) } else { (false, Some(min)) };
        if !self.take("}") {
            return malformed("a count is not closed");
        }
        if max.is_some_and(|max| max < min) {
            return malformed("a count is at most less than at least");
        }
        if min.max(max.unwrap_or(0)) > MAX_COUNT {
            return Problem::new(sign, format!("a count is larger than {MAX_COUNT}"), "write a smaller one, or `+`");
        }
        if max == Some(0) {
            return malformed("a count of 0 matches nothing");
        }
        check_repeatable(&atom, start)?;
        if self.peek() == Some('+') {
            return Problem::new(
                self.at,
                "`+` after a count repeats the count to Hugging Face's engine, and is possessive to others",
                "leave it out: the count takes as many as it can",
            );
        }
        if !has_comma && self.peek() == Some('?') {
            return Problem::new(
                self.at,
                "engines differ in what `?` after `{n}` means",
                "leave it out, or put `{n}` into a group, `(?:...)`",
            );
        }
        let is_greedy = !self.take("?");
        self.check_not_repeated_again()?;
        Ok(Node::Repeat { node: Box::new(atom), min, max, is_greedy })
    }

    fn number(&mut self) -> Option<u32> {
        let digits: String = self.regex[self.at..].iter().take_while(|next| next.is_ascii_digit()).collect();
        self.at += digits.len();
        // Too many digits are too large a number.
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(u32::MAX))
    }

    fn check_not_repeated_again(&self) -> Parsed<()> {
        match self.peek() {
            Some('*' | '+' | '?' | '{') => {
                Problem::new(self.at, "a repetition is repeated", "put the inner one into a group, `(?:...)`")
            }
            _ => Ok(()),
        }
    }
}

enum Kind {
    Plain,
    LookAhead { is_negative: bool },
    Atomic,
}

/// A look at the next character. No automaton here sees further.
fn look_ahead(inner: &Node, is_negative: bool, start: usize) -> Parsed<Node> {
    let Some(mut class) = one_character(inner) else {
        return Problem::new(
            start,
            "a look-ahead sees more than one character",
            r"let it see one character of a class, as `(?!\S)` does",
        );
    };
    if is_negative {
        class.negate();
    }
    Ok(Node::Look { class, or_end: is_negative })
}

/// The class of what is always one character.
fn one_character(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Class(class) => Some(class.clone()),
        Node::Alternate(ways) => {
            let mut class = ClassUnicode::empty();
            for way in ways {
                class.union(&one_character(way)?);
            }
            Some(class)
        }
        _ => None,
    }
}

fn atomic(inner: Node, start: usize) -> Parsed<Node> {
    match inner {
        Node::Class(_) | Node::Look { .. } => Ok(inner),
        Node::Repeat { node, min, max, is_greedy: true } => possessive(*node, min, max, start),
        _ => Problem::new(start, "an atomic group holds more than one repetition of one class", "write `(?:...)`"),
    }
}

/// A repetition that gives nothing back. Of one class it takes all there are, so the next character is of another.
fn possessive(node: Node, min: u32, max: Option<u32>, at: usize) -> Parsed<Node> {
    let Some(mut others) = one_character(&node) else {
        return Problem::new(at, "a possessive repetition is of more than one class", "leave out the second `+`");
    };
    others.negate();
    let stop = Node::Look { class: others, or_end: true };
    match max {
        None => Ok(Node::Concat(vec![Node::Repeat { node: Box::new(node), min, max, is_greedy: true }, stop])),
        Some(1) if min == 0 => Ok(Node::Alternate(vec![node, stop])),
        Some(max) if max == min => Ok(Node::Repeat { node: Box::new(node), min, max: Some(max), is_greedy: true }),
        Some(_) => Problem::new(at, "an atomic group holds a count", "write `(?:...)`"),
    }
}

fn check_repeatable(atom: &Node, start: usize) -> Parsed<()> {
    if can_be_empty(atom) {
        return Problem::new(start, "what is repeated can be empty", "let it take at least one character");
    }
    Ok(())
}

fn can_be_empty(node: &Node) -> bool {
    match node {
        Node::Class(_) => false,
        Node::Look { .. } => true,
        Node::Concat(nodes) => nodes.iter().all(can_be_empty),
        Node::Alternate(nodes) => nodes.iter().any(can_be_empty),
        Node::Repeat { min, .. } => *min == 0,
    }
}
