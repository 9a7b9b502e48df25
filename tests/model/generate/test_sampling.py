import numpy as np
import pytest
import torch

from limo_ablate.model.generate.sampling import draw, uniforms

LOGITS = torch.tensor([2.0, -1.0, 0.5, 1.0])


def drawn_by(uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    count = len(uniform)
    same = torch.full((count,), temperature), torch.full((count,), top_p)
    return draw(LOGITS.expand(count, -1), *same, uniform)


def shares(temperature: float, top_p: float) -> torch.Tensor:
    """How often each token is drawn, over uniforms that fill 0..1 evenly."""
    even = (torch.arange(10_000) + 0.5) / 10_000
    drawn = drawn_by(even, temperature, top_p)
    return torch.bincount(drawn, minlength=4) / 10_000


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_with_their_probability(temperature: float) -> None:
    expected = torch.softmax(LOGITS / temperature, -1)
    torch.testing.assert_close(shares(temperature, 1.0), expected, atol=2e-4, rtol=0)


def test_the_nucleus_holds_the_fewest_tokens_that_reach_top_p() -> None:
    probabilities = torch.softmax(LOGITS, -1)
    assert 0.6 < probabilities[0] < 0.8 < probabilities[[0, 3]].sum() < 0.9
    assert shares(1.0, 0.6).tolist() == [1, 0, 0, 0]
    two = probabilities * torch.tensor([1, 0, 0, 1])
    torch.testing.assert_close(shares(1.0, 0.8), two / two.sum(), atol=2e-4, rtol=0)


def test_the_last_uniform_still_draws_a_token_of_the_nucleus() -> None:
    almost_one = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert drawn_by(almost_one, 1.0, 1.0).tolist() == [1]
    assert drawn_by(almost_one, 1.0, 0.8).tolist() == [3]


def test_each_completion_has_numbers_of_its_own() -> None:
    one = uniforms(0, "p1", 0, 50)
    assert (one == uniforms(0, "p1", 0, 50)).all()
    assert (one[:20] == uniforms(0, "p1", 0, 20)).all(), "a longer limit goes on with the same ones"
    for other in (uniforms(1, "p1", 0, 50), uniforms(0, "p2", 0, 50), uniforms(0, "p1", 1, 50)):
        assert (one != other).mean() > 0.9
    assert one.min() >= 0
    assert one.max() < 1
