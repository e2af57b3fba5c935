//! Ranks against their definition, and what is written of them.

use super::*;
use crate::tokenizer::SpecialTokens;
use crate::tokenizer_file;
use proptest::prelude::*;
use std::fmt::Write as _;

/// A rank file of all bytes and then these tokens, at ids that leave some out.
fn ranks_of(tokens: &[Vec<u8>]) -> Vec<(Vec<u8>, TokenId)> {
    let mut ranks: Vec<(Vec<u8>, TokenId)> = (0..=255).map(|byte| (vec![byte], TokenId::from(byte))).collect();
    for token in tokens {
        if ranks.iter().all(|(other, _)| other != token) {
            let next = ranks[ranks.len() - 1].1 + 1 + TokenId::from(token[0] % 2);
            ranks.push((token.clone(), next));
        }
    }
    ranks
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sign = |bits: u32, at: u32| char::from(SIGNS[(bits >> (18 - 6 * at) & 63) as usize]);
    bytes.chunks(3).fold(String::new(), |mut text, group| {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        text.extend((0..4).map(|at| if at as usize <= group.len() { sign(bits, at) } else { '=' }));
        text
    })
}

fn load_ranks(ranks: &[(Vec<u8>, TokenId)], pattern: &str, special_tokens: &[(String, TokenId)]) -> Result<Tokenizer> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = ranks.iter().fold(String::new(), |mut text, (token, rank)| {
        writeln!(text, "{} {rank}", base64(token)).unwrap();
        text
    });
    std::fs::write(file.path(), text).unwrap();
    load(file.path(), pattern, special_tokens)
}

/// The definition: a whole piece is its token; else, of adjacent parts whose concatenation is a token, those of the lowest
/// rank are merged, the leftmost first.
fn encode_naively(ranks: &[(Vec<u8>, TokenId)], piece: &[u8]) -> Vec<TokenId> {
    let rank = |bytes: &[u8]| ranks.iter().find(|(token, _)| token == bytes).map(|(_, rank)| *rank);
    if let Some(id) = rank(piece) {
        return vec![id];
    }
    let mut parts: Vec<Vec<u8>> = piece.iter().map(|&byte| vec![byte]).collect();
    loop {
        let both = |i: usize| [&parts[i][..], &parts[i + 1]].concat();
        let best = (0..parts.len() - 1).filter_map(|i| Some((rank(&both(i))?, i))).min();
        let Some((_, i)) = best else { return parts.iter().map(|part| rank(part).unwrap()).collect() };
        parts[i] = both(i);
        parts.remove(i + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_table_of_ranks_gives_the_ids_of_the_definition(
        tokens in prop::collection::vec("[ab]{2,6}|[abc]{2,3}", 0..30),
        text in "[abc]{1,40}",
    ) {
        let tokens: Vec<Vec<u8>> = tokens.into_iter().map(String::into_bytes).collect();
        let ranks = ranks_of(&tokens);
        let last = ranks[ranks.len() - 1].1;
        let tokenizer = load_ranks(&ranks, "gpt2", &[("<|end|>".into(), last + 5)]).unwrap();
        let expected = encode_naively(&ranks, text.as_bytes());
        prop_assert_eq!(tokenizer.encode(&text, SpecialTokens::AsText).unwrap(), expected.clone());
        let json = tokenizer_file::to_json(&tokenizer).unwrap();
        let again = tokenizer_file::from_json(&json, None, None, None, Vec::new()).unwrap();
        prop_assert_eq!(again.fingerprint(), tokenizer.fingerprint());
        prop_assert_eq!(again.encode(&text, SpecialTokens::AsText).unwrap(), expected);
        prop_assert_eq!(again.vocab().unused_ids(), tokenizer.vocab().unused_ids());
    }
}

#[test]
fn merges_are_ignored_only_where_a_token_needs_it() {
    let of = |tokens: &[&str]| {
        let tokens: Vec<Vec<u8>> = tokens.iter().map(|token| token.as_bytes().to_vec()).collect();
        load_ranks(&ranks_of(&tokens), "gpt2", &[]).unwrap()
    };
    assert!(!of(&["ab", "abc"]).parts().ignore_merges);
    assert!(of(&["abc"]).parts().ignore_merges);
    // `bc` comes before `ab`, so that `abcd` is merged of `a` and `bc`, and never of `ab` and `cd`.
    let other_way = of(&["bc", "cd", "ab", "abcd"]);
    assert!(other_way.parts().ignore_merges);
    assert_eq!(other_way.encode("abcd", SpecialTokens::AsText).unwrap().len(), 1);
    assert_eq!(other_way.encode("abcda", SpecialTokens::AsText).unwrap().len(), 4);
}

#[test]
fn ids_of_special_tokens_must_be_free_and_their_names_too() {
    let refused = |special_tokens: &[(&str, TokenId)], tokens: &[&str]| {
        let special_tokens: Vec<(String, TokenId)> =
            special_tokens.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        let tokens: Vec<Vec<u8>> = tokens.iter().map(|token| token.as_bytes().to_vec()).collect();
        load_ranks(&ranks_of(&tokens), "gpt2", &special_tokens).unwrap_err().to_string()
    };
    assert!(refused(&[("<|end|>", 7)], &[]).contains("has id 7, which is a rank of the file"));
    assert!(refused(&[("<|a|>", 300), ("<|b|>", 300)], &[]).contains("have the same id 300"));
    assert!(refused(&[("<|a|>", 300), ("<|a|>", 301)], &[]).contains("is given twice"));
    assert!(refused(&[("<|a|>", 4_000_000_000)], &[]).contains("may be without a token"));
    assert!(
        refused(&[("ab", 300)], &["ab"]).contains("the special token `ab` (id 300) is token 257 of the rank file too")
    );
    assert!(refused(&[("", 300)], &[]).contains("a special token is empty"));
    assert!(refused(&[("word", 300)], &["abc"]).contains("is one pretoken of text by this pattern"));
}
