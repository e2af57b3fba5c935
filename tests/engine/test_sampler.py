"""The sampler against a float64 oracle that computes every probability the long way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.engine.sampler import candidates, derive_seed, sample, uniform
from slm.engine.sampling_params import SamplingParams
from slm.errors import ConfigError, InternalError


def oracle(logits: list[float], params: SamplingParams) -> list[float]:
    """Probability of every token: temperature, then top-k, then top-p, then min-p, each on what the last one left."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    kept = order[: params.top_k or len(order)]
    weight = {token: math.exp((logits[token] - logits[order[0]]) / params.temperature) for token in kept}
    total = math.fsum(weight.values())
    nucleus, mass = [], 0.0
    for token in kept:
        nucleus.append(token)
        mass += weight[token]
        if mass >= params.top_p * total:
            break
    likely = [token for token in nucleus if weight[token] >= params.min_p * weight[nucleus[0]]]
    total = math.fsum(weight[token] for token in likely)
    return [weight[token] / total if token in likely else 0.0 for token in range(len(logits))]


LOGITS = np.array([2.0, 1.0, 0.5, 0.5, 0.0, -1.0, -3.0, 1.5, -np.inf, 0.9], dtype=np.float32)

SETTINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 4},
    {"top_k": 5, "temperature": 0.7},  # cuts between two equal scores
    {"top_p": 0.8},
    {"top_p": 0.5, "top_k": 6, "temperature": 2.0},
    {"min_p": 0.2},
    {"min_p": 0.3, "top_p": 0.95, "top_k": 7, "temperature": 1.3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_draws_have_the_probabilities_of_the_oracle(settings):
    params = SamplingParams(**settings)
    expected = np.array(oracle(LOGITS.tolist(), params))
    num_draws = 20_000
    drawn = np.bincount([sample(LOGITS, params, 7, position) for position in range(num_draws)], minlength=len(LOGITS))
    possible = expected > 0
    assert not drawn[~possible].any(), "a token was drawn that cannot be"
    chi_square = float(((drawn - num_draws * expected)[possible] ** 2 / (num_draws * expected[possible])).sum())
    # 99.99th percentile of chi-square with 9 degrees of freedom is 33.7; the seed is fixed, so this never flickers.
    assert chi_square < 33.7


def test_consecutive_seeds_are_independent():
    num_draws = 20_000
    drawn = np.bincount([sample(LOGITS, SamplingParams(), seed, 5) for seed in range(num_draws)], minlength=len(LOGITS))
    expected = num_draws * np.array(oracle(LOGITS.tolist(), SamplingParams()))
    possible = expected > 0
    assert float(((drawn - expected)[possible] ** 2 / expected[possible]).sum()) < 33.7


def test_uniform_numbers_show_no_correlation_between_neighbours():
    grid = np.array([[uniform(seed, position) for position in range(300)] for seed in range(300)])
    assert abs(grid.mean() - 0.5) < 4 / math.sqrt(12 * grid.size)
    for neighbour in (grid[1:, :] * grid[:-1, :], grid[:, 1:] * grid[:, :-1], grid[1:, 1:] * grid[:-1, :-1]):
        # The product of two independent uniforms has mean 1/4 and variance 7/144.
        assert abs(neighbour.mean() - 0.25) < 4 * math.sqrt(7 / 144 / neighbour.size)


def test_rare_tokens_are_drawn_as_often_as_they_should_be():
    # A 24-bit uniform, or a float32 running sum, would cut this tail off.
    logits = np.zeros(201, dtype=np.float32)
    logits[0] = math.log(200 * 999)  # all others together have one draw in 1,000
    num_draws = 50_000
    num_rare = sum(sample(logits, SamplingParams(), 11, position) != 0 for position in range(num_draws))
    assert abs(num_rare - 50) < 4 * math.sqrt(50)


@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=40),
    st.floats(0.05, 5),
    st.none() | st.integers(1, 50),
    st.floats(0.01, 1),
    st.floats(0, 1),
)
def test_candidates_are_those_of_the_oracle(scores, temperature, top_k, top_p, min_p):
    # Integer scores, so that there are many ties.
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    logits = np.array(scores, dtype=np.float32)
    ids, weights = candidates(logits, params)
    found = np.zeros(len(scores))
    found[slice(None) if ids is None else ids] = weights / weights.sum()
    expected = np.array(oracle(logits.tolist(), params))
    # Where the nucleus ends on a sum that equals top_p, the last bit of rounding decides; both ends are right.
    if (found > 0).sum() == (expected > 0).sum():
        np.testing.assert_allclose(found, expected, atol=1e-12)
    else:
        mass = oracle(logits.tolist(), SamplingParams(temperature=temperature, top_k=top_k))
        edge = min((found > 0).sum(), (expected > 0).sum())
        assert math.isclose(sum(sorted(mass, reverse=True)[:edge]), top_p, rel_tol=1e-9) or min_p > 0


def test_greedy_takes_the_first_of_the_likeliest():
    logits = np.array([0.0, 3.0, 1.0, 3.0], dtype=np.float32)
    for params in (SamplingParams(temperature=0), SamplingParams(top_k=1), SamplingParams(top_p=1e-9)):
        assert sample(logits, params, 1, 1) == 1


def test_a_tiny_temperature_is_greedy_and_not_nan():
    logits = np.array([0.0, 3.0, 1.0, 2.9], dtype=np.float32)
    assert {sample(logits, SamplingParams(temperature=1e-308), 1, position) for position in range(50)} == {1}


@pytest.mark.parametrize("broken", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
def test_scores_that_are_no_numbers_are_refused(broken):
    for params in (SamplingParams(), SamplingParams(temperature=0)):
        with pytest.raises(InternalError, match="the model scored token"):
            sample(np.array(broken, dtype=np.float32), params, 1, 9)


def test_answers_to_one_prompt_have_their_own_seeds():
    seeds = [derive_seed(5, choice_idx) for choice_idx in range(8)]
    assert seeds[0] == 5
    assert len(set(seeds)) == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"seed": 2**64},
        {"stop": ""},
        {"stop": ["x"] * 17},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=f"`{name}` is .*, allowed is"):
        SamplingParams(**settings)
