"""Naive readers of other projects' token files, with the checks of those projects, and naive writers."""

import struct
from pathlib import Path

import numpy as np


def read_nanogpt(path: Path) -> list[int]:
    """As nanoGPT's training maps it."""
    return np.memmap(path, dtype=np.uint16, mode="r").tolist()


def read_llmc(path: Path) -> list[int]:
    """As the loaders of llm.c do: `dataloader.h` for GPT-2, `train_llama3.py` for Llama 3."""
    content = path.read_bytes()
    header = np.frombuffer(content[:1024], dtype=np.int32)
    assert len(header) == 256
    assert not header[3:].any()
    dtype = {(20240520, 1): np.uint16, (20240801, 7): np.uint32}[int(header[0]), int(header[1])]
    num_tokens = int(header[2])
    assert num_tokens > 0
    assert len(content) == 1024 + num_tokens * np.dtype(dtype).itemsize
    return np.frombuffer(content, dtype=dtype, offset=1024).tolist()


def read_megatron(prefix: Path) -> tuple[list[list[int]], np.dtype]:
    """Sequences by the steps of `IndexedDataset`, which here are documents; and what ids are stored as."""
    index = Path(f"{prefix}.idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, num_sequences, num_documents = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    dtype = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16}[code]
    at = 34
    lengths = np.frombuffer(index, np.int32, num_sequences, at)
    pointers = np.frombuffer(index, np.int64, num_sequences, at + lengths.nbytes)
    documents = np.frombuffer(index, np.int64, num_documents, at + lengths.nbytes + pointers.nbytes)
    assert at + lengths.nbytes + pointers.nbytes + documents.nbytes == len(index)
    assert lengths.shape[0] == num_sequences == documents[-1]
    assert documents.tolist() == list(range(num_sequences + 1))
    tokens = Path(f"{prefix}.bin").read_bytes()
    sequences = [
        np.frombuffer(tokens, dtype, length, pointer).tolist()
        for pointer, length in zip(pointers, lengths, strict=True)
    ]
    assert sum(map(len, sequences)) * np.dtype(dtype).itemsize == len(tokens)
    return sequences, np.dtype(dtype)


def write_nanogpt(path: Path, documents: list[list[int]], end_of_text_id: int) -> Path:
    """As `prepare.py` does: the end-of-text id after each document."""
    ids = [token for document in documents for token in [*document, end_of_text_id]]
    np.array(ids, dtype=np.uint16).tofile(path)
    return path


def write_llmc(path: Path, ids: list[int], *, is_llama: bool = False) -> Path:
    """As `write_datafile` does."""
    header = np.zeros(256, dtype=np.int32)
    header[:3] = [20240801, 7, len(ids)] if is_llama else [20240520, 1, len(ids)]
    path.write_bytes(header.tobytes() + np.array(ids, dtype=np.uint32 if is_llama else np.uint16).tobytes())
    return path
