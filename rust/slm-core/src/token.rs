//! What a token is to every other module: a number.

/// The number of a token in its vocabulary, from 0 to the vocabulary size.
pub type TokenId = u32;
