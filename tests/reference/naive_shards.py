"""What `slm data build` must make of documents, by the plainest means."""

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tests.reference.hugging_face import encode


def tokens_of(
    tokenizer: tokenizers.Tokenizer, documents: list[str], end_of_text_id: int
) -> tuple[list[int], list[int]]:
    """Ids of documents one after another, each with the end-of-text id, and the offsets of the documents."""
    ids: list[int] = []
    offsets = [0]
    for document in documents:
        ids += [*encode(tokenizer, document), end_of_text_id]
        offsets.append(len(ids))
    return ids, offsets


def concatenated(arrays: list[NDArray[np.uint16]]) -> list[int]:
    """Ids of several shards as one list."""
    return [token for array in arrays for token in array.tolist()]
