"""Check that a shard directory still holds what its manifest says, byte by byte."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slm import _core
from slm.data.manifest import TOKENIZER_DIRECTORY, Manifest, ShardEntry
from slm.errors import DataError
from slm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class VerifyResult:
    """What was checked and found right."""

    files: int
    """Files that were hashed."""

    bytes: int
    """Their bytes."""


def verify_shards(
    directory: str | os.PathLike[str], *, progress: "Callable[[_core.Progress], object] | None" = None
) -> VerifyResult:
    """Hash every shard, and check its arrays and the tokenizer beside it.

    Args:
        directory: The shard directory.
        progress: Called about twenty times a second from this thread; an exception in it stops the work.

    Raises:
        DataError: A file differs from what the manifest says; the message names the first one.
        FileNotFoundError: The directory, the manifest or a shard is missing.
        TokenizerError: The tokenizer in the directory is missing, malformed or another one.
    """
    directory = Path(directory)
    manifest = Manifest.load(directory)
    num_files = num_bytes = 0
    for shard in manifest.shards:
        for name, expected in ((shard.tokens_file, shard.tokens_xxh3), (shard.index_file, shard.index_xxh3)):
            path = directory / name
            found = _core.file_checksum(path, progress=progress)
            if found != expected:
                raise DataError(
                    f"`{path}` has checksum {found}, its manifest says {expected}: its bytes have changed\n\n"
                    "hint: copy it again from where it came, or remove the directory and run `slm data build`"
                )
            num_files, num_bytes = num_files + 1, num_bytes + path.stat().st_size
        _check_arrays(directory, manifest, shard)
    tokenizer = Tokenizer.load(directory / TOKENIZER_DIRECTORY)
    manifest.require_tokenizer(tokenizer.fingerprint, owner=f"`{directory / TOKENIZER_DIRECTORY}`")
    return VerifyResult(num_files, num_bytes)


def _check_arrays(directory: Path, manifest: Manifest, shard: ShardEntry) -> None:
    """Checksums tell accidents to the file; this tells a writer that was wrong from the start."""
    tokens = np.load(directory / shard.tokens_file, mmap_mode="r", allow_pickle=False)
    offsets = np.load(directory / shard.index_file, mmap_mode="r", allow_pickle=False)
    claims = {
        "type and length of the ids": tokens.dtype == manifest.dtype and tokens.shape == (shard.tokens,),
        "type and length of the offsets": offsets.dtype == np.uint64 and offsets.shape == (shard.documents + 1,),
        "first and last offset": len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == shard.tokens,
        "order of the offsets": bool(np.all(offsets[1:] > offsets[:-1])),
    }
    for claim, holds in claims.items():
        if not holds:
            raise DataError(f"`{directory / shard.name}`: the manifest and the arrays differ in the {claim}")
