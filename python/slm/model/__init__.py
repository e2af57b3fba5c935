"""The network: token ids in, logits or negative log-likelihoods out; it never sees text or files.

Read in this order: `transformer` (the whole), `attention`, `rope`, `feed_forward`, `norm`, `loss`, `init`.
"""

from slm.model.attention import AttentionCache
from slm.model.transformer import Transformer

__all__ = ["AttentionCache", "Transformer"]
