use super::*;
use crate::train::TrainOptions;
use std::collections::BTreeMap;

type Words = BTreeMap<Vec<TokenId>, u64>;

fn scanned<'a>(pool: &mut Pool<'a>, tokens: &Tokens, num_threads: usize, spill: &'a Spill) -> Words {
    let threads = (num_threads, Some(spill), &Stop::default());
    let parts = pool.scan(tokens, 2, threads, Words::new, |own, ids, count| {
        *own.entry(ids.to_vec()).or_default() += count;
        Ok(())
    });
    let mut all = Words::new();
    for (ids, count) in parts.unwrap().into_iter().flatten() {
        *all.entry(ids).or_default() += count;
    }
    all
}

/// What merging one pair after another makes of all pretokens.
fn merged(counts: &PretokenCounts, tokens: &Tokens) -> Words {
    let mut words = Words::new();
    counts.for_each(|pretoken, count| {
        let mut ids: Vec<_> = pretoken.iter().map(|&byte| tokens.id_of_byte[usize::from(byte)]).collect();
        for merge in tokens.merges.as_slice() {
            let mut at = 0;
            while at + 1 < ids.len() {
                if (ids[at], ids[at + 1]) == (merge.left, merge.right) {
                    ids.splice(at..at + 2, [merge.produced]);
                }
                at += 1;
            }
        }
        if ids.len() > 1 {
            *words.entry(ids).or_default() += count;
        }
    });
    words
}

#[test]
fn every_form_gives_the_pretokens_as_the_merges_make_them() {
    let mut counts = PretokenCounts::default();
    for number in 0..20_000_u64 {
        counts.add(format!("{:b}", number * number).as_bytes(), 1 + number % 3);
    }
    let parent = tempfile::tempdir().unwrap();
    for (max_bytes, forms) in [(0, "CD"), (500_000, "CM"), (1 << 30, "M"), (usize::MAX, "M")] {
        let spill = Spill::new(parent.path(), None);
        let mut tokens = Tokens::new(&TrainOptions::default(), &[true; 256]).unwrap();
        let mut pool = if max_bytes == usize::MAX {
            Pool::of_table(&counts, &Stop::default()).unwrap()
        } else {
            let mut copy = PretokenCounts::default();
            counts.for_each(|pretoken, count| copy.add(pretoken, count));
            let sorted = SortedCounts::of_table(copy, &spill, &Stop::default()).unwrap();
            Pool::of_counts(Box::new(sorted), max_bytes)
        };
        let mut found = String::new();
        let mut symbols = [b'0', b'1'].map(|byte| tokens.id_of_byte[usize::from(byte)]).to_vec();
        for round in 0..4 {
            assert_eq!(scanned(&mut pool, &tokens, 1 + round % 3, &spill), merged(&counts, &tokens));
            assert_eq!(scanned(&mut pool, &tokens, 2, &spill), merged(&counts, &tokens));
            let form = match &pool.form {
                Form::Counts(_) => 'C',
                Form::Memory(_) => 'M',
                Form::Disk(_) => 'D',
            };
            if !found.ends_with(form) {
                found.push(form);
            }
            // All pairs of the last round's symbols, which halves the pretokens, and later on some of them.
            let pairs = symbols.iter().flat_map(|&left| symbols.iter().map(move |&right| (left, right)));
            symbols = pairs.take(16).map(|(left, right)| tokens.push_merge(left, right, 1)).collect();
        }
        assert_eq!(found, forms, "{max_bytes}");
        assert!(pool.memory_bytes() <= max_bytes);
    }
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn ids_of_every_width_are_written_and_read() {
    for (num_ids, width) in [(1, 2), (0x1_0000, 2), (0x1_0001, 3), (0x100_0000, 3), (0x100_0001, 4)] {
        assert_eq!(width_of(num_ids), width);
        let piece = [0, 255, TokenId::try_from(num_ids - 1).unwrap()];
        let (mut bytes, mut ids) = (Vec::new(), Vec::new());
        write(&piece, width, &mut bytes);
        read(&bytes, width, &mut ids);
        assert_eq!((bytes.len(), &ids[..]), (3 * width, &piece[..]));
    }
}
