"""The loss on held-out rows during training: always the same rows, so that its curve is comparable over the run."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slm.data.dataset import TokenDataset
from slm.data.rows import RowArrays, SplitRows
from slm.model.transformer import Transformer
from slm.train.precision import Precision, autocast


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        loss: Mean negative log-likelihood of all targets, end-of-text ones included, in nats.
        bits_per_byte: That of the targets that are text, in bits per UTF-8 byte of their text; None where the
            tokenizer, and with it the length of each token, is not known.
    """

    loss: float
    bits_per_byte: float | None


class Validator:
    """Measures the loss on rows spread evenly over the validation split.

    These are rows of packed documents as in training, so a row may start inside a document: cheap, and a little above
    what `slm eval` finds on whole documents.

    Args:
        dataset: The validation split.
        row_tokens: T, tokens in a row.
        max_rows: Rows to read, fewer where the split is shorter.
        batch_rows: Rows in one forward pass.
        token_bytes_V: Bytes each token decodes to, 0 for tokens that are not text; (V,), int64. None: not known.

    Raises:
        DataError: The split is too short for one row.
    """

    def __init__(
        self, dataset: TokenDataset, *, row_tokens: int, max_rows: int, batch_rows: int, token_bytes_V: Tensor | None
    ) -> None:
        self._split = SplitRows(dataset, row_tokens)
        num_rows = self._split.num_rows
        count = min(max_rows, num_rows)
        # Of 10 rows, 4 are 0, 2, 5 and 7.
        self._rows = np.arange(count, dtype=np.int64) * num_rows // count
        self._batch_rows = batch_rows
        self._token_bytes_V = token_bytes_V

    @torch.no_grad()
    def run(
        self, model: Transformer, device: torch.device, precision: Precision, is_stopping: Callable[[], bool]
    ) -> Validation | None:
        """Measure the model.

        Args:
            model: On `device`.
            device: Where it is.
            precision: Of its matrix products, as in training.
            is_stopping: Asked before each batch; True ends the validation.

        Returns:
            The loss, None where the validation was ended.
        """
        totals = torch.zeros(3, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
        targets = 0
        token_bytes_V = None if self._token_bytes_V is None else self._token_bytes_V.to(device)
        for start in range(0, len(self._rows), self._batch_rows):
            if is_stopping():
                return None
            rows = self._rows[start : start + self._batch_rows]
            arrays = RowArrays(len(rows), self._split.row_tokens)
            self._split.read(rows, np.arange(len(rows), dtype=np.int64), arrays)
            target_ids_BT = torch.from_numpy(arrays.target_ids_BT).to(device)
            with autocast(device, precision):
                nll_BT = model.nll(torch.from_numpy(arrays.input_ids_BT).to(device), target_ids_BT)
            targets += target_ids_BT.numel()
            totals[0] += nll_BT.sum(dtype=totals.dtype)
            if token_bytes_V is not None:
                bytes_BT = token_bytes_V[target_ids_BT]
                totals[1] += (nll_BT * (bytes_BT > 0)).sum(dtype=totals.dtype)
                totals[2] += bytes_BT.sum()
        nll_nats, text_nats, text_bytes = totals.tolist()
        bits_per_byte = text_nats / (math.log(2) * text_bytes) if text_bytes else None
        return Validation(nll_nats / targets, bits_per_byte)
