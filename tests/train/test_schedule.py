import pytest

from slm.config.train import OptimizerConfig, ScheduleConfig, TrainConfig
from slm.train.schedule import learning_rate


def config(max_steps: int, warmup: int, ratio: float, highest: float = 1.0) -> TrainConfig:
    return TrainConfig(
        max_steps=max_steps,
        optimizer=OptimizerConfig(learning_rate=highest),
        schedule=ScheduleConfig(warmup_steps=warmup, min_learning_rate_ratio=ratio),
    )


def test_golden_values():
    rates = [learning_rate(config(6, warmup=2, ratio=0.0), step) for step in range(1, 7)]
    assert rates == pytest.approx([0.5, 1.0, 0.8535533905932737, 0.5, 0.14644660940672624, 0.0], abs=1e-15)


def test_golden_values_with_a_lowest_rate():
    rates = [learning_rate(config(4, warmup=0, ratio=0.2, highest=0.01), step) for step in range(1, 5)]
    assert rates == pytest.approx([0.0088284271, 0.006, 0.0031715729, 0.002], abs=1e-10)


def test_warmup_ends_at_the_highest_rate_and_the_last_step_has_the_lowest():
    settings = config(1000, warmup=100, ratio=0.1, highest=3e-4)
    assert learning_rate(settings, 100) == 3e-4
    assert learning_rate(settings, 1000) == pytest.approx(3e-5, rel=1e-12)
    rates = [learning_rate(settings, step) for step in range(1, 1001)]
    assert rates[:100] == sorted(rates[:100])
    assert rates[99:] == sorted(rates[99:], reverse=True)
    assert max(rates) == 3e-4


def test_a_run_of_one_step_has_the_lowest_rate():
    assert learning_rate(config(1, warmup=0, ratio=0.1), 1) == pytest.approx(0.1)
