"""Tokenizers: train one, load one, encode and decode with it, look inside it. Loads no torch."""

from slm.tokenizer.counts import Counts, count_pretokens, merge_counts
from slm.tokenizer.tokenizer import Tokenizer
from slm.tokenizer.train import train_tokenizer, train_tokenizers

__all__ = ["Counts", "Tokenizer", "count_pretokens", "merge_counts", "train_tokenizer", "train_tokenizers"]
