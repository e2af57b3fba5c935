//! Best-fit-decreasing packing of pieces into rows, on counts of lengths instead of on pieces.
//!
//! Pieces of one length are alike, so rows are made by the group: "3,000 rows of one piece of 700 tokens and two of 162". What is
//! held depends on the number of different lengths, which is at most that of tokens in a row, and never on the number of documents:
//! each length splits at most two groups, and a row has fewer than `sqrt(2 * row_tokens)` different lengths.
//!
//! Johnson 1973, Near-optimal bin packing algorithms; for training rows Ding et al. 2024, Fewer Truncations Improve Language Modeling,
//! arXiv:2404.10830.

use std::collections::BTreeMap;

/// Rows with pieces of the same lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many rows.
    pub rows: u64,
    /// What is in each, the longest first.
    pub items: Vec<Item>,
}

/// Pieces of one length in each row of a group: the first row has those from `first` on, the second the next ones, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Tokens in a piece.
    pub len: usize,
    /// Pieces in a row.
    pub per_row: u64,
    /// The first row's first piece, counted among those of this length.
    pub first: u64,
}

impl Group {
    /// Takes the first `rows` rows off.
    fn take(&mut self, rows: u64) -> Self {
        let taken = Self { rows, items: self.items.clone() };
        self.rows -= rows;
        for item in &mut self.items {
            item.first += rows * item.per_row;
        }
        taken
    }
}

/// Packs `counts[len]` pieces of each length into rows of `counts.len() - 1` tokens.
///
/// The longest pieces come first, and each goes into the fullest row that has room for it.
pub fn pack(counts: &[u64]) -> Vec<Group> {
    let row_tokens = counts.len() - 1;
    let mut full = Vec::new();
    // Groups by the tokens for which each of their rows has room.
    let mut open: BTreeMap<usize, Vec<Group>> = BTreeMap::new();
    for len in (1..=row_tokens).rev() {
        let mut first = 0;
        while first < counts[len] {
            let left = counts[len] - first;
            let room = open.range(len..).next().map_or(row_tokens, |(&room, _)| room);
            // A row that took one piece and has room for another is now the fullest with room, so it takes that one too.
            let fitting = usize::try_from(left).map_or(room / len, |left| left.min(room / len));
            let per_row = fitting as u64;
            let rows = left / per_row;
            let mut group = match open.get_mut(&room).and_then(|groups| Some((groups.pop()?, groups))) {
                Some((mut group, groups)) if group.rows > rows => {
                    let taken = group.take(rows);
                    groups.push(group);
                    taken
                }
                Some((group, _)) => group,
                None => Group { rows, items: Vec::new() },
            };
            if open.get(&room).is_some_and(Vec::is_empty) {
                open.remove(&room);
            }
            group.items.push(Item { len, per_row, first });
            first += group.rows * per_row;
            match room - len * fitting {
                0 => full.push(group),
                room => open.entry(room).or_default().push(group),
            }
        }
    }
    full.extend(open.into_values().flatten());
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook: one piece after the other into the fullest row with room.
    fn naive_rooms(counts: &[u64]) -> Vec<usize> {
        let mut rooms: Vec<usize> = Vec::new();
        for len in (1..counts.len()).rev() {
            for _ in 0..counts[len] {
                let best = rooms.iter_mut().filter(|room| **room >= len).min();
                match best {
                    Some(room) => *room -= len,
                    None => rooms.push(counts.len() - 1 - len),
                }
            }
        }
        rooms.sort_unstable();
        rooms
    }

    proptest! {
        #[test]
        fn rows_are_as_full_as_those_packed_one_by_one(counts in prop::collection::vec(0u64..12, 2..40)) {
            let mut counts = counts;
            counts[0] = 0;
            let groups = pack(&counts);
            let row_tokens = counts.len() - 1;
            let mut rooms = Vec::new();
            let mut used: Vec<Vec<u64>> = vec![Vec::new(); counts.len()];
            for group in &groups {
                let held: u64 = group.items.iter().map(|item| item.len as u64 * item.per_row).sum();
                for row in 0..group.rows {
                    rooms.push(row_tokens - usize::try_from(held).unwrap());
                    for item in &group.items {
                        let first = item.first + row * item.per_row;
                        used[item.len].extend(first..first + item.per_row);
                    }
                }
            }
            rooms.sort_unstable();
            prop_assert_eq!(rooms, naive_rooms(&counts));
            for (len, mut pieces) in used.into_iter().enumerate() {
                pieces.sort_unstable();
                prop_assert_eq!(pieces, (0..counts[len]).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_held_does_not_grow_with_the_pieces() {
        let groups = |scale: u64| {
            let mut counts: Vec<u64> = (0..=1024).map(|len| scale * (1 + (len * 7919) % 101)).collect();
            counts[0] = 0;
            pack(&counts).len()
        };
        assert!(groups(1) <= 3 * 1024);
        assert!(groups(1_000_000_000) <= 3 * 1024);
    }
}
