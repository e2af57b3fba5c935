//! Kinds of characters: those that no class of a regex tells apart are one symbol.
//!
//! A regex with the classes `\p{L}` and `[a-z]` has three: small ASCII letters, other letters, and all else. So its automaton
//! has a handful of columns, and a character beyond ASCII costs one look at a table.

use super::parse::Node;
use crate::pretokenize::classes::decode;
use hashbrown::HashMap;
use regex_syntax::hir::ClassUnicode;

/// Symbols that there may be; the end of the text is one more.
const MAX_SYMBOLS: usize = 250;

/// A set of symbols, the end of the text included, by number.
pub(super) type SymbolSet = Vec<bool>;

pub(super) struct Symbols {
    /// The symbol of every code point.
    of_code_point: Box<[u8]>,
    /// Of each class, which symbols it has.
    sets: Vec<(ClassUnicode, Vec<bool>)>,
    count: usize,
}

impl Symbols {
    /// The symbols of the classes in a tree; `None` if there are too many.
    pub(super) fn new(tree: &Node) -> Option<Self> {
        let mut classes = Vec::new();
        collect(tree, &mut classes);
        // Within a stretch from one border to the next all characters are in the same classes.
        let mut borders = vec![0, 0x11_0000];
        for class in &classes {
            borders.extend(class.ranges().iter().flat_map(|range| [range.start() as u32, range.end() as u32 + 1]));
        }
        borders.sort_unstable();
        borders.dedup();
        let mut cursors = vec![0; classes.len()];
        let mut symbols: HashMap<Vec<bool>, u8, _> = HashMap::with_hasher(foldhash::fast::FixedState::default());
        let mut of_code_point = vec![0; 0x11_0000].into_boxed_slice();
        for stretch in borders.windows(2) {
            let memberships: Vec<bool> = classes
                .iter()
                .zip(&mut cursors)
                .map(|(class, cursor)| {
                    let ranges = class.ranges();
                    while ranges.get(*cursor).is_some_and(|range| (range.end() as u32) < stretch[0]) {
                        *cursor += 1;
                    }
                    ranges.get(*cursor).is_some_and(|range| range.start() as u32 <= stretch[0])
                })
                .collect();
            let next = symbols.len();
            let symbol = *symbols.entry(memberships).or_insert(u8::try_from(next.min(255)).unwrap_or(u8::MAX));
            of_code_point[stretch[0] as usize..stretch[1] as usize].fill(symbol);
        }
        let count = symbols.len();
        if count > MAX_SYMBOLS {
            return None;
        }
        let mut sets: Vec<Vec<bool>> = vec![vec![false; count]; classes.len()];
        for (memberships, symbol) in symbols {
            for (set, is_in) in sets.iter_mut().zip(memberships) {
                set[usize::from(symbol)] = is_in;
            }
        }
        let sets = classes.into_iter().cloned().zip(sets).collect();
        Some(Self { of_code_point, sets, count })
    }

    /// How many there are; the number of the end of the text.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The symbols of a class of the tree, with the end of the text or without.
    pub(super) fn set(&self, class: &ClassUnicode, with_end: bool) -> SymbolSet {
        let of_class = self.sets.iter().find(|(known, _)| known == class);
        let mut set = of_class.expect("the tree that the symbols were made for has the class").1.clone();
        set.push(with_end);
        set
    }

    /// The symbol and the length of the character that starts at `at`, which is within `text`.
    #[inline]
    pub(super) fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        let byte = text[at];
        let (code_point, length) = if byte < 0x80 { (u32::from(byte), 1) } else { decode(text, at) };
        (self.of_code_point[code_point as usize], length)
    }
}

fn collect<'a>(node: &'a Node, classes: &mut Vec<&'a ClassUnicode>) {
    match node {
        Node::Class(class) | Node::Look { class, .. } => {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().for_each(|node| collect(node, classes)),
        Node::Repeat { node, .. } => collect(node, classes),
    }
}
