"""Shards of token ids: build them from a corpus, check them, look inside them, and feed them to a trainer."""
