"""Settings of building token shards from a corpus."""

from typing import Annotated

from pydantic import Field

from slm.config.base import Config, FilePath, NumThreads, Size
from slm.config.tokenizer import CorpusConfig


class DataConfig(Config):
    """Settings of `slm data build`."""

    corpus: CorpusConfig
    """What is encoded; document order is kept."""

    tokenizer: FilePath
    """Directory of the tokenizer, or a `tokenizer.json`; copied into the shards."""

    out: FilePath
    """Directory of the shards; made if missing, refused if it holds anything else than these shards."""

    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the documents held out for validation, chosen by a hash of their text; 0 holds out none."""

    deduplicate: bool = False
    """Whether a document that is equal to one before it is left out; counted. The first one in the corpus stays."""

    shard_tokens: Annotated[int, Field(ge=1_024, le=1 << 40)] = 100_000_000
    """Tokens after which a new shard begins; a document never crosses shards."""

    num_threads: NumThreads | None = None
    """Threads that encode. None: one for each core. The shards are the same bytes for any number."""

    memory_limit: Annotated[Size, Field(ge=64 << 20)] | None = None
    """Memory of the process, in bytes or as `256MiB`. None: a quarter of the machine's, at most 4 GiB.

    At least 64 MiB; each thread takes up to 32 MiB besides. The shards are the same bytes for any limit.
    """
