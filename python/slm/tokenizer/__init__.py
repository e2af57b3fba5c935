"""Tokenizers: train one, load one, encode and decode with it, look inside it. Loads no torch."""

from slm.tokenizer.tokenizer import Tokenizer
from slm.tokenizer.train import train_tokenizer

__all__ = ["Tokenizer", "train_tokenizer"]
