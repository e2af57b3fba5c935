"""Where documents begin in a batch, in the forms that attention kernels ask for.

Rows of packed documents are trained on with attention over whole rows, which is simplest, or with each document seeing
only itself. For the latter, `document_ids` makes a mask (`flex_attention`, or an explicit one), and `cu_seqlens` is
what kernels of variable length take (`flash_attn_varlen_func`). A row of 6 positions with the end of one document, a
whole one and 1 position of padding:

    document_ids   0  0  1  1  1 -1
    position_ids   0  1  0  1  2  0
    cu_seqlens     0     2        5  6
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slm import _core


@dataclass(frozen=True)
class Boundaries:
    """Which positions of a batch belong together.

    Attributes:
        position_ids_BT: Places in the document, or in that part of it that is in the row: a row that begins inside a
            document begins with 0, for the model sees nothing before it; (B, T), int64.
        document_ids_BT: Number of the document in its row, from 0; -1 where there is only padding; (B, T), int32.
        cu_seqlens: Where each stretch begins in the batch read row by row, and B*T at the end; int32. Padding is a
            stretch of its own, so that all positions are covered.
        max_seqlen: Positions of the longest stretch.
    """

    position_ids_BT: NDArray[np.int64]
    document_ids_BT: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]
    max_seqlen: int

    @classmethod
    def of_batches(
        cls, position_ids_RT: NDArray[np.int64], document_ids_RT: NDArray[np.int32], batch_rows: int
    ) -> "list[Boundaries]":
        """Find the stretches of batches of `batch_rows` rows each: one begins with each row and each document.

        Args:
            position_ids_RT: Positions in the rows of all batches; (R, T).
            document_ids_RT: Documents; (R, T).
            batch_rows: B, a divisor of R.
        """
        cu_seqlens, ends, longest = _core.find_stretches(document_ids_RT, batch_rows=batch_rows)
        starts = range(0, len(document_ids_RT), batch_rows)
        return [
            cls(
                position_ids_RT[start : start + batch_rows],
                document_ids_RT[start : start + batch_rows],
                cu_seqlens[first:end],
                max_seqlen,
            )
            for start, first, end, max_seqlen in zip(starts, [0, *ends], ends, longest, strict=False)
        ]
