//! Counting: how often each pretoken occurs in a corpus.
