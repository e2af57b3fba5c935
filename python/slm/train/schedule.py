"""The learning rate of every step: linear warmup, then half a cosine."""

import math

from slm.config.train import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Give the learning rate of one step, a pure function of the config, so a resumed run needs no state for it.

    With a warmup of W steps, step 1 has 1/W of the highest rate and step W all of it; from there half a cosine goes
    down to `min_learning_rate_ratio` of it, reached at step `max_steps`. For W = 2, 6 steps and a ratio of 0 the shares
    are 0.5, 1, 0.854, 0.5, 0.146, 0.

    Args:
        config: Highest rate, warmup, ratio and number of steps.
        step: The update about to be made, 1 to `max_steps`.

    Source:
        Loshchilov and Hutter 2017, SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv:1608.03983, without
        restarts.
    """
    highest, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    if step <= warmup:
        return highest * step / warmup
    progress = min((step - warmup) / (config.max_steps - warmup), 1.0)
    lowest = highest * config.schedule.min_learning_rate_ratio
    return lowest + (highest - lowest) * 0.5 * (1.0 + math.cos(math.pi * progress))
