"""Perplexity and bits per byte of whole documents, by a window that slides over each.

Conventions, all stated in the report:

- A document is read after an end-of-text token, as in training, so its first token is predicted too.
- Each token is scored once. The first window scores all of its tokens; each later one starts `stride` tokens further
and
  scores those that are new, so a token has at least `window - stride` tokens of context or all that there are.
- Perplexity and bits per byte are of the tokens that are text. The end-of-text token that closes a document is scored
apart,
  because it has no bytes and a tokenizer or corpus with other document ends could not be compared; this is also how
  lm-evaluation-harness counts.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slm.config.evals import EvalConfig
from slm.data.dataset import TokenDataset
from slm.errors import ConfigError, DataError, TokenizerError
from slm.model.transformer import Transformer
from slm.tokenizer import Tokenizer

_IGNORED = -100
_SORTED_BATCHES = 32


@dataclass(frozen=True)
class LossReport:
    """The loss of a model on documents.

    Attributes:
        bits_per_byte: Loss in bits for each byte of text; compares models whatever their tokenizers. Lower is better; a
            uniform model of bytes has 8.
        perplexity: Exponential of `loss`; depends on the tokenizer, so only models that share one compare.
        loss: Mean negative log-likelihood of a token that is text, in nats.
        nll_nats: Its sum over all tokens that are text.
        tokens: Number of these tokens.
        bytes: Bytes of UTF-8 that they decode to.
        documents: Documents read.
        end_of_text_loss: Mean negative log-likelihood of the token that ends a document, in nats; in no other figure.
        window_tokens: Tokens that the model saw at once.
        stride_tokens: Tokens between two windows.

    Source:
        Gao et al. 2020, The Pile, arXiv:2101.00027, for bits per byte.
    """

    bits_per_byte: float
    perplexity: float
    loss: float
    nll_nats: float
    tokens: int
    bytes: int
    documents: int
    end_of_text_loss: float
    window_tokens: int
    stride_tokens: int


@dataclass(frozen=True)
class Window:
    """A stretch of a document that goes through the model.

    Attributes:
        input_ids: What the model reads; (T,), int64.
        target_ids: The token after each, -100 where another window scores it; (T,), int64.
    """

    input_ids: NDArray[np.int64]
    target_ids: NDArray[np.int64]


def evaluate(
    model: Transformer,
    documents: TokenDataset | Iterable[str],
    tokenizer: Tokenizer,
    config: EvalConfig,
    *,
    on_document: Callable[[int], None] | None = None,
) -> LossReport:
    """Measure the loss of a model on documents.

    Args:
        model: On the device that is to work; it is left in evaluation mode.
        documents: A split of shards that this tokenizer wrote, or texts, one for each document.
        tokenizer: The model's.
        config: Window, stride, and how many documents.
        on_document: Called with the number of documents read so far.

    Returns:
        Sums and the figures that follow from them.

    Raises:
        TokenizerError: The shards are of another tokenizer, or the tokenizer has no end-of-text token.
        DataError: There is no token of text.
        ConfigError: The window is longer than the model's context.
    """
    end_of_text_id = tokenizer.end_of_text_id
    if end_of_text_id is None:
        raise TokenizerError("the tokenizer has no end-of-text token, which documents begin and end with in evaluation")
    if isinstance(documents, TokenDataset):
        documents.manifest.require_tokenizer(tokenizer.fingerprint, owner="the model")
        ids: Iterable[NDArray[np.generic]] = documents.documents()
    else:
        ids = (np.append(tokenizer.encode(text), np.uint32(end_of_text_id)) for text in documents)
    return evaluate_ids(
        model, ids, torch.from_numpy(tokenizer.token_lengths()), end_of_text_id, config, on_document=on_document
    )


def evaluate_ids(
    model: Transformer,
    documents: Iterable[NDArray[np.generic]],
    token_bytes_V: Tensor,
    end_of_text_id: int,
    config: EvalConfig,
    *,
    on_document: Callable[[int], None] | None = None,
) -> LossReport:
    """Measure the loss of a model on documents that are ids; see `evaluate`.

    Args:
        model: On the device that is to work.
        documents: Ids of each document, the end-of-text id last.
        token_bytes_V: Bytes each token decodes to, 0 for tokens that are not text; (V,), int64.
        end_of_text_id: What stands before and after each document.
        config: Window, stride, and how many documents.
        on_document: Called with the number of documents read so far.
    """
    longest = model.config.max_position_embeddings
    if (config.window_tokens or 0) > longest:
        raise ConfigError(
            f"`window_tokens` is {config.window_tokens}, and the model's context is {longest} tokens\n\n"
            f"hint: set it to {longest} or less"
        )
    window_tokens, stride_tokens = config.resolve(longest)
    device = model.head_weight.device
    sums = _Sums(device, token_bytes_V.to(device), end_of_text_id)
    num_documents = 0

    def windows() -> Iterator[Window]:
        nonlocal num_documents
        for ids in islice(documents, config.max_documents):
            num_documents += 1
            yield from slide(np.append(end_of_text_id, ids).astype(np.int64), window_tokens, stride_tokens)
            if on_document is not None:
                on_document(num_documents)

    model.eval()
    with torch.no_grad():
        for input_ids_BT, target_ids_BT in _batches(windows(), config.batch_rows):
            targets_BT = torch.from_numpy(target_ids_BT).to(device)
            sums.add(
                model.nll(torch.from_numpy(input_ids_BT).to(device), targets_BT, ignore_index=_IGNORED), targets_BT
            )
    tokens, num_bytes = sums.counts.tolist()
    if tokens == 0:
        raise DataError(f"no token of text in {num_documents} documents, so there is no loss to tell")
    nll_nats, end_of_text_nll_nats = sums.nats.tolist()
    return LossReport(
        bits_per_byte=nll_nats / (math.log(2) * num_bytes),
        perplexity=math.exp(nll_nats / tokens),
        loss=nll_nats / tokens,
        nll_nats=nll_nats,
        tokens=tokens,
        bytes=num_bytes,
        documents=num_documents,
        end_of_text_loss=end_of_text_nll_nats / num_documents,
        window_tokens=window_tokens,
        stride_tokens=stride_tokens,
    )


def slide(ids: NDArray[np.int64], window_tokens: int, stride_tokens: int) -> Iterator[Window]:
    """Cut a document into windows so that each token but the first is the target of exactly one.

    Six ids with a window of 4 and a stride of 2 give inputs [0:4] that score 1, 2, 3, 4, and inputs [2:5] that score 5.

    Args:
        ids: The document's ids and one before them for context; (N,).
        window_tokens: Most tokens of input.
        stride_tokens: Tokens between the starts of two windows, at most `window_tokens`.
    """
    last = len(ids) - 1
    scored = 0
    for start in range(0, last, stride_tokens):
        stop = min(start + window_tokens, last)
        target_ids = ids[start + 1 : stop + 1].copy()
        target_ids[: scored - start] = _IGNORED
        yield Window(ids[start:stop], target_ids)
        scored = stop
        if stop == last:
            return


class _Sums:
    """Totals on the device, read once at the end."""

    def __init__(self, device: torch.device, token_bytes_V: Tensor, end_of_text_id: int) -> None:
        exact = torch.float32 if device.type == "mps" else torch.float64
        self.nats = torch.zeros(2, dtype=exact, device=device)
        self.counts = torch.zeros(2, dtype=torch.int64, device=device)
        self._token_bytes_V = token_bytes_V
        self._end_of_text_id = end_of_text_id

    def add(self, nll_BT: Tensor, target_ids_BT: Tensor) -> None:
        bytes_BT = self._token_bytes_V[target_ids_BT.clamp(min=0)] * (target_ids_BT >= 0)
        is_text_BT = bytes_BT > 0
        is_end_BT = target_ids_BT == self._end_of_text_id
        exact_BT = nll_BT.to(self.nats.dtype)
        self.nats += torch.stack([(exact_BT * is_text_BT).sum(), (exact_BT * is_end_BT).sum()])
        self.counts += torch.stack([is_text_BT.sum(), bytes_BT.sum()])


def _batches(windows: Iterator[Window], batch_rows: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Put windows of about the same length together, padded at the end, which causal attention never sees."""
    while some := list(islice(windows, batch_rows * _SORTED_BATCHES)):
        some.sort(key=lambda window: len(window.input_ids))
        for start in range(0, len(some), batch_rows):
            rows = some[start : start + batch_rows]
            shape = len(rows), len(rows[-1].input_ids)
            input_ids_BT, target_ids_BT = np.zeros(shape, np.int64), np.full(shape, _IGNORED, np.int64)
            for b, row in enumerate(rows):
                input_ids_BT[b, : len(row.input_ids)] = row.input_ids
                target_ids_BT[b, : len(row.target_ids)] = row.target_ids
            yield input_ids_BT, target_ids_BT
