//! The merges, in the order they were learned: the rank of a merge is its place in the list.

use crate::token::TokenId;

/// Two adjacent tokens and the token that replaces them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Merge {
    /// The token on the left.
    pub left: TokenId,
    /// The token on the right.
    pub right: TokenId,
    /// The token that is `left` and `right` together.
    pub produced: TokenId,
}

/// Merges by rank; lower ranks are applied first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merges(Vec<Merge>);

impl Merges {
    /// Adds a merge of the next rank.
    pub fn push(&mut self, merge: Merge) {
        self.0.push(merge);
    }

    /// The number of merges.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every merge, by rank.
    pub fn iter(&self) -> std::slice::Iter<'_, Merge> {
        self.0.iter()
    }

    /// The merges by rank.
    pub fn as_slice(&self) -> &[Merge] {
        &self.0
    }
}

impl From<Vec<Merge>> for Merges {
    fn from(merges: Vec<Merge>) -> Self {
        Self(merges)
    }
}

impl<'a> IntoIterator for &'a Merges {
    type Item = &'a Merge;
    type IntoIter = std::slice::Iter<'a, Merge>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
