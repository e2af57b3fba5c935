import torch
from torch import nn

from slm.train.ema import AveragedWeights


def test_the_average_follows_the_formula():
    model = nn.Linear(3, 2)
    expected = model.weight.detach().double().clone()
    average = AveragedWeights(model, decay=0.5)
    for step in range(1, 20):
        with torch.no_grad():
            model.weight.copy_(torch.full((2, 3), float(step)))
        average.update(step)
        decay = min(0.5, step / (step + 9))
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(average.tensors()["weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_weights_come_back_to_the_bit_even_after_an_error():
    model = nn.Linear(3, 2)
    average = AveragedWeights(model, decay=0.9)
    with torch.no_grad():
        model.weight.add_(1.0)
    before = model.weight.detach().clone()
    averaged = average.tensors()["weight"].clone()
    try:
        with average.in_place_of_weights():
            assert torch.equal(model.weight, averaged)
            raise RuntimeError
    except RuntimeError:
        pass
    assert torch.equal(model.weight, before)
    assert torch.equal(average.tensors()["weight"], averaged)
