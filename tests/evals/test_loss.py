import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slm.config.evals import EvalConfig
from slm.config.model import ModelConfig
from slm.data.dataset import TokenDataset
from slm.errors import ConfigError, DataError, TokenizerError
from slm.evals.loss import LossReport, evaluate, evaluate_ids, slide
from slm.model.transformer import Transformer
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference.shards import random_documents, write_shards

VOCAB = 40
END = 0
TOKEN_BYTES = torch.tensor([0, *(1 + i % 4 for i in range(VOCAB - 1))])


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = ModelConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
    )
    model = Transformer(config, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # far from uniform, so that context matters
    return model


def documents(seed: int = 0) -> list[np.ndarray]:
    some = random_documents(9, seed=seed, vocab_size=VOCAB, longest=40)
    return [np.array([*ids, END], dtype=np.uint16) for ids in [*some, [5], [], [7] * 12, [8] * 13]]


def brute_force(
    model: Transformer, some: Iterable[np.ndarray], window: int, stride: int
) -> tuple[float, float, int, int]:
    """Score every token by itself, with the context that its window gives it."""
    nll, end_nll, tokens, num_bytes = 0.0, 0.0, 0, 0
    for document in some:
        ids = [END, *document.tolist()]
        for target in range(1, len(ids)):
            # The first window whose inputs reach up to the token before the target.
            start = next(s for s in range(0, len(ids), stride) if s + window >= target)
            with torch.no_grad():
                logits = model(torch.tensor([ids[start:target]]))[0, -1]
            loss = -torch.log_softmax(logits.double(), dim=0)[ids[target]].item()
            if ids[target] == END:
                end_nll += loss
            else:
                nll, tokens, num_bytes = nll + loss, tokens + 1, num_bytes + int(TOKEN_BYTES[ids[target]])
    return nll, end_nll, tokens, num_bytes


@pytest.mark.parametrize(("window", "stride"), [(12, 6), (12, 12), (12, 1), (5, 2), (2, 1), (2, 2), (7, 3)])
def test_equals_scoring_every_token_by_itself(model: Transformer, window: int, stride: int):
    nll, end_nll, tokens, num_bytes = brute_force(model, documents(), window, stride)
    for batch_rows in (1, 3, 64):
        config = EvalConfig(window_tokens=window, stride_tokens=stride, batch_rows=batch_rows)
        report = evaluate_ids(model, documents(), TOKEN_BYTES, END, config)
        assert (report.tokens, report.bytes, report.documents) == (tokens, num_bytes, 13)
        assert report.nll_nats == pytest.approx(nll, rel=1e-5)
        assert report.end_of_text_loss == pytest.approx(end_nll / 13, rel=1e-5)
        assert report.loss == pytest.approx(nll / tokens, rel=1e-5)
        assert report.perplexity == pytest.approx(math.exp(nll / tokens), rel=1e-4)
        assert report.bits_per_byte == pytest.approx(nll / math.log(2) / num_bytes, rel=1e-5)
        assert (report.window_tokens, report.stride_tokens) == (window, stride)


@given(length=st.integers(1, 60), window=st.integers(1, 20), stride=st.integers(1, 20))
def test_each_token_is_the_target_of_exactly_one_window(length: int, window: int, stride: int):
    stride = min(stride, window)
    ids = np.arange(length)
    scored: list[int] = []
    for cut in slide(ids, window, stride):
        assert 1 <= len(cut.input_ids) <= window
        assert len(cut.input_ids) == len(cut.target_ids)
        for position, (context, target) in enumerate(zip(cut.input_ids, cut.target_ids, strict=True)):
            if target >= 0:
                assert target == context + 1
                scored.append(int(target))
                assert position + 1 >= min(window - stride + 1, target), "less context than the stride promises"
    assert scored == list(range(1, length))


def test_the_worked_example():
    windows = [(cut.input_ids.tolist(), cut.target_ids.tolist()) for cut in slide(np.arange(6), 4, 2)]
    assert windows == [([0, 1, 2, 3], [1, 2, 3, 4]), ([2, 3, 4], [-100, -100, 5])]


def test_a_uniform_model_has_the_loss_that_it_must_have():
    config = ModelConfig(
        vocab_size=VOCAB,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8,
    )
    uniform = Transformer(config)
    with torch.no_grad():
        for parameter in uniform.parameters():
            parameter.zero_()
    report = evaluate_ids(uniform, [np.array([1, 2, 3, END])], torch.tensor([0] + [1] * 39), END, EvalConfig())
    assert report.perplexity == pytest.approx(VOCAB)
    assert report.bits_per_byte == pytest.approx(math.log2(VOCAB))
    assert report.end_of_text_loss == pytest.approx(math.log(VOCAB))
    assert (report.window_tokens, report.stride_tokens) == (8, 4)


def test_max_documents_reads_the_first(model: Transformer):
    seen: list[int] = []
    config = EvalConfig(max_documents=3)
    report = evaluate_ids(model, documents(), TOKEN_BYTES, END, config, on_document=seen.append)
    assert seen == [1, 2, 3]
    assert report == evaluate_ids(model, documents()[:3], TOKEN_BYTES, END, EvalConfig())


def test_no_text_is_an_error(model: Transformer):
    with pytest.raises(DataError, match="no token of text in 1 documents"):
        evaluate_ids(model, [np.array([END])], TOKEN_BYTES, END, EvalConfig())
    with pytest.raises(DataError, match="no token of text in 0 documents"):
        evaluate_ids(model, [], TOKEN_BYTES, END, EvalConfig())


def test_a_window_longer_than_the_context_is_refused(model: Transformer):
    with pytest.raises(ConfigError, match="`window_tokens` is 13, and the model's context is 12"):
        evaluate_ids(model, documents(), TOKEN_BYTES, END, EvalConfig(window_tokens=13))


TEXTS = ["a tale of tales", "of a tale", "täle ☃", ""]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter(TEXTS * 3), vocab_size=265)


@pytest.fixture(scope="module")
def text_model(tokenizer: Tokenizer) -> Transformer:
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
    )
    return Transformer(config)


def test_bytes_are_those_of_the_text(tokenizer: Tokenizer, text_model: Transformer):
    report = evaluate(text_model, TEXTS, tokenizer, EvalConfig())
    assert report.bytes == sum(len(text.encode()) for text in TEXTS)
    assert report.tokens == sum(len(tokenizer.encode(text)) for text in TEXTS)
    assert report.documents == 4


def test_shards_and_texts_give_the_same_report(tokenizer: Tokenizer, text_model: Transformer, tmp_path: Path):
    ids = [tokenizer.encode(text).tolist() for text in TEXTS]
    assert tokenizer.end_of_text_id == 0
    write_shards(tmp_path, {"validation": ids}, vocab_size=tokenizer.vocab_size, fingerprint=tokenizer.fingerprint)
    of_shards = evaluate(text_model, TokenDataset(tmp_path, "validation"), tokenizer, EvalConfig())
    assert of_shards == evaluate(text_model, TEXTS, tokenizer, EvalConfig())


def test_shards_of_another_tokenizer_are_refused(tokenizer: Tokenizer, text_model: Transformer, tmp_path: Path):
    write_shards(tmp_path, {"validation": [[1, 2]]})
    with pytest.raises(TokenizerError, match="made with tokenizer ffff"):
        evaluate(text_model, TokenDataset(tmp_path, "validation"), tokenizer, EvalConfig())


def test_perplexity_follows_from_bits_per_byte(text_model: Transformer, tokenizer: Tokenizer):
    report: LossReport = evaluate(text_model, TEXTS, tokenizer, EvalConfig())
    bits = report.bits_per_byte * report.bytes
    assert report.perplexity == pytest.approx(2 ** (bits / report.tokens))
