import pytest
import torch

from slm.model.rope import rotary_tables, rotate
from tests.reference.transformer import naive_rotate


@pytest.mark.parametrize("head_dim", [2, 8, 24])
@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
def test_rotation_equals_multiplication_of_complex_numbers(head_dim: int, theta: float) -> None:
    x_BHTE = torch.randn(1, 1, 5, head_dim, generator=torch.Generator().manual_seed(0))
    positions = [0, 1, 2, 7, 63]
    rotated = rotate(x_BHTE, *rotary_tables(torch.tensor([positions]), head_dim, theta))
    # float32 angles of up to 63 radians carry an error of 4e-6.
    torch.testing.assert_close(rotated[0, 0], naive_rotate(x_BHTE[0, 0], positions, theta), atol=1e-5, rtol=0)


def test_position_zero_is_left_alone_and_length_is_kept() -> None:
    x_BHTE = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1))
    rotated = rotate(x_BHTE, *rotary_tables(torch.arange(4)[None], 8, 10_000.0))
    assert torch.equal(rotated[:, :, 0], x_BHTE[:, :, 0])
    torch.testing.assert_close(rotated.norm(dim=-1), x_BHTE.norm(dim=-1))


def test_tables_are_float32_under_autocast() -> None:
    # In bfloat16 positions 256 and 257 are one number.
    with torch.autocast("cpu", torch.bfloat16):
        cos, sin = rotary_tables(torch.tensor([[256, 257]]), 8, 10_000.0)
    assert cos.dtype == sin.dtype == torch.float32
    assert cos[0, 0, 0, 0] != cos[0, 0, 1, 0]
    assert cos.shape == (1, 1, 2, 4)
