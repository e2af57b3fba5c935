//! The vocabulary: the bytes of every token, and the id of every byte string that is a token.

use crate::token::TokenId;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A token with a meaning of its own, which text never becomes by merging alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialToken {
    /// The text it is written as, such as `<|endoftext|>`.
    pub content: String,
    /// Its id.
    pub id: TokenId,
}

/// Token bytes by id, ids by token bytes, and the special tokens.
///
/// Takes about 16 bytes a token besides the tokens' own bytes.
#[derive(Clone, Debug, Default)]
pub struct Vocab {
    bytes: Vec<u8>,
    /// Where each token ends in `bytes`; it starts where the one before it ends.
    ends: Vec<usize>,
    /// Ids of the tokens that are not special, by the hash of their bytes.
    ids: HashTable<TokenId>,
    special_tokens: Vec<SpecialToken>,
    /// Ids that no token has, ascending.
    unused_ids: Vec<TokenId>,
}

impl Vocab {
    /// Adds a token under the next id, and returns that id. Bytes that are a token already keep their first id too.
    ///
    /// # Panics
    /// With more than `u32::MAX` tokens.
    pub fn push(&mut self, token: &[u8]) -> TokenId {
        let id = self.push_bytes(token);
        self.index(id);
        id
    }

    /// Adds a special token under the next id, and returns that id.
    ///
    /// # Panics
    /// With more than `u32::MAX` tokens.
    pub fn push_special(&mut self, content: &str) -> TokenId {
        let id = self.push_bytes(content.as_bytes());
        self.special_tokens.push(SpecialToken { content: content.to_owned(), id });
        id
    }

    /// Leaves the next id without a token, as vocabularies have it whose special tokens do not follow the others at once.
    ///
    /// # Panics
    /// With more than `u32::MAX` tokens.
    pub fn push_unused(&mut self) -> TokenId {
        let id = self.push_bytes(b"");
        self.unused_ids.push(id);
        id
    }

    /// Marks a token that is in the vocabulary as special.
    pub fn mark_special(&mut self, content: &str, id: TokenId) {
        if self.special_tokens.iter().all(|special| special.id != id) {
            self.special_tokens.push(SpecialToken { content: content.to_owned(), id });
        }
    }

    /// Makes the bytes of a special token findable by [`Vocab::id`], for a special token that merging also produces.
    pub fn index(&mut self, id: TokenId) {
        let Self { bytes, ends, ids, .. } = self;
        let token = slice(bytes, ends, id as usize);
        let same = |&other: &TokenId| slice(bytes, ends, other as usize) == token;
        if ids.find(xxh3_64(token), same).is_none() {
            ids.insert_unique(xxh3_64(token), id, |&other| xxh3_64(slice(bytes, ends, other as usize)));
        }
    }

    /// One more than the largest id: the number of tokens, special ones included, and of ids without a token.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of a token, `None` for an id without one; for a special token, the UTF-8 of its content.
    pub fn token(&self, id: TokenId) -> Option<&[u8]> {
        ((id as usize) < self.ends.len() && !self.is_unused(id)).then(|| slice(&self.bytes, &self.ends, id as usize))
    }

    /// The id of the token with these bytes. Special tokens are not found here: see [`Vocab::special_tokens`].
    pub fn id(&self, token: &[u8]) -> Option<TokenId> {
        self.ids.find(xxh3_64(token), |&id| slice(&self.bytes, &self.ends, id as usize) == token).copied()
    }

    /// The special tokens, in the order they were added.
    pub fn special_tokens(&self) -> &[SpecialToken] {
        &self.special_tokens
    }

    /// Ids that no token has, ascending.
    pub fn unused_ids(&self) -> &[TokenId] {
        &self.unused_ids
    }

    /// Whether no token has this id, which is below [`Vocab::len`].
    pub fn is_unused(&self, id: TokenId) -> bool {
        self.unused_ids.binary_search(&id).is_ok()
    }

    /// Every token's bytes, by id; none for an id without a token.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|idx| slice(&self.bytes, &self.ends, idx))
    }

    fn push_bytes(&mut self, token: &[u8]) -> TokenId {
        let id = TokenId::try_from(self.ends.len()).expect("a vocabulary has fewer than 2^32 tokens");
        self.bytes.extend_from_slice(token);
        self.ends.push(self.bytes.len());
        id
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], idx: usize) -> &'a [u8] {
    let start = if idx == 0 { 0 } else { ends[idx - 1] };
    &bytes[start..ends[idx]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_are_not_found_as_text() {
        let mut vocab = Vocab::default();
        assert_eq!(vocab.push_special("<|endoftext|>"), 0);
        assert_eq!(vocab.push(b"a"), 1);
        assert_eq!(vocab.id(b"<|endoftext|>"), None);
        assert_eq!(vocab.id(b"a"), Some(1));
        assert_eq!(vocab.token(0), Some(&b"<|endoftext|>"[..]));
        assert_eq!(vocab.token(2), None);
        assert_eq!(vocab.special_tokens(), [SpecialToken { content: "<|endoftext|>".into(), id: 0 }]);
    }

    #[test]
    fn an_id_may_have_no_token() {
        let mut vocab = Vocab::default();
        vocab.push(b"a");
        assert_eq!(vocab.push_unused(), 1);
        assert_eq!(vocab.push(b""), 2);
        assert_eq!((vocab.token(1), vocab.token(2), vocab.id(b"")), (None, Some(&b""[..]), Some(2)));
        assert_eq!((vocab.len(), vocab.unused_ids()), (3, &[1][..]));
    }

    #[test]
    fn tokens_may_be_empty_or_invalid_utf8() {
        let mut vocab = Vocab::default();
        vocab.push(b"");
        vocab.push(b"\xff\xfe");
        assert_eq!(vocab.iter().collect::<Vec<_>>(), [&b""[..], b"\xff\xfe"]);
        assert_eq!(vocab.id(b"\xff\xfe"), Some(1));
    }
}
