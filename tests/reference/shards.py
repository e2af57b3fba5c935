"""A naive writer of shard directories, from token ids straight to files, for tests of what reads them."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np

END_OF_TEXT_ID = 0


def write_shards(
    path: Path,
    documents: dict[str, list[list[int]]],
    *,
    vocab_size: int = 257,
    documents_per_shard: int = 1_000_000,
    fingerprint: str = "f" * 64,
) -> Path:
    """Write a shard directory.

    Args:
        path: The directory, made with its parents.
        documents: For each split the ids of its documents, without the end-of-text id.
        vocab_size: What the manifest says of the tokenizer.
        documents_per_shard: Documents in one shard.
        fingerprint: What the manifest says of the tokenizer.
    """
    path.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if vocab_size <= 65536 else np.uint32
    shards: list[dict[str, object]] = []
    splits: dict[str, dict[str, int]] = {}
    for split in ("train", "validation"):
        of_split = documents.get(split, [])
        for start in range(0, len(of_split), documents_per_shard):
            ended = [[*ids, END_OF_TEXT_ID] for ids in of_split[start : start + documents_per_shard]]
            name = f"shard-{len(shards):05d}"
            tokens = np.array([token for ids in ended for token in ids], dtype=dtype)
            np.save(path / f"{name}.npy", tokens)
            np.save(path / f"{name}.index.npy", np.cumsum([0, *map(len, ended)]).astype(np.uint64))
            shards.append(
                {
                    "name": name,
                    "split": split,
                    "tokens": len(tokens),
                    "documents": len(ended),
                    "bytes": sum(len(ids) - 1 for ids in ended),
                    "tokens_xxh3": sha256(tokens.tobytes()).hexdigest()[:16],
                    "index_xxh3": "0" * 16,
                }
            )
        mine = [shard for shard in shards if shard["split"] == split]
        splits[split] = {key: sum(int(str(shard[key])) for shard in mine) for key in ("tokens", "documents", "bytes")}
    manifest = {
        "format": "slm.shards",
        "version": 1,
        "dtype": np.dtype(dtype).name,
        "tokenizer": {
            "fingerprint": fingerprint,
            "vocab_size": vocab_size,
            "end_of_text_id": END_OF_TEXT_ID,
            "pattern": "gpt2",
        },
        "splits": splits,
        "shards": shards,
        "corpus": {"files": 1, "bytes": 1, "documents": 1, "skipped": {"empty": 0}, "fingerprint": "0" * 32},
        "validation_fraction": 0.0,
        "created_by": "slm tests",
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def random_documents(count: int, *, seed: int, vocab_size: int = 257, longest: int = 60) -> list[list[int]]:
    """Draw documents of 1 to `longest` ids in [1, vocab_size), with some regularity for a model to learn."""
    generator = np.random.default_rng(seed)
    documents: list[list[int]] = []
    for _ in range(count):
        length = int(generator.integers(1, longest + 1))
        start, stride = generator.integers(1, vocab_size), generator.integers(1, 4)
        documents.append(((start + stride * np.arange(length)) % (vocab_size - 1) + 1).tolist())
    return documents
