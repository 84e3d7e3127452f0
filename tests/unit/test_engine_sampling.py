"""Which token comes next."""

from types import SimpleNamespace

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from zerokit.engines.sampling import Sampler

CPU = torch.device("cpu")
DRAWS = 4000


def settings(temperature=1.0, top_p=1.0, top_k=0, seed=0, max_new_tokens=DRAWS):
    return SimpleNamespace(temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, max_new_tokens=max_new_tokens)


def draw(sampler, scores, count=DRAWS):
    """Token ids (count, rows) for the same scores again and again."""
    return torch.stack([sampler(torch.zeros(1, 1), scores.clone()).argmax(-1) for _ in range(count)])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "min_p"),
    [
        (1, 0, 1, 0),
        (0.5, 0, 1, 0),
        (2, 5, 1, 0),
        (1, 0, 0.7, 0),
        (0.8, 6, 0.8, 0),
        (1.5, 0, 0.9, 0.2),
        (1, 50, 0.01, 0),
    ],
)
def test_the_shares_are_those_of_the_usual_warpers(temperature, top_k, top_p, min_p):
    scores = torch.randn(1, 12, generator=torch.Generator().manual_seed(1)) * 2
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    expected = warpers(torch.zeros(1, 1), scores.clone()).softmax(-1)[0]
    drawn = draw(Sampler([settings(temperature, top_p, top_k)], CPU, min_p=min_p), scores)
    shares = torch.bincount(drawn[:, 0], minlength=12) / DRAWS
    assert not shares[expected == 0].any()
    assert (shares - expected).abs().max() < 4 * (0.25 / DRAWS) ** 0.5


def test_rows_are_independent():
    rows = [
        settings(seed=1),
        settings(temperature=0),
        settings(top_k=2, seed=3),
        settings(top_p=0.5, seed=4),
        settings(seed=1),
    ]
    scores = torch.randn(1, 30, generator=torch.Generator().manual_seed(2)).expand(len(rows), -1).contiguous()
    together = draw(Sampler(rows, CPU), scores, 50)
    for place, row in enumerate(rows):
        assert torch.equal(together[:, place], draw(Sampler([row], CPU), scores[:1], 50)[:, 0])
    assert torch.equal(together[:, 0], together[:, 4])
    assert (together[:, 1] == scores[0].argmax()).all()


def test_it_goes_on_where_an_earlier_attempt_ended():
    scores = torch.randn(1, 30, generator=torch.Generator().manual_seed(2))
    whole = draw(Sampler([settings()], CPU), scores, 20)
    assert torch.equal(draw(Sampler([settings()], CPU, start=8), scores, 12), whole[8:])


def test_tokens_ruled_out_before_are_never_chosen():
    scores = torch.full((1, 40), -torch.inf)
    scores[0, 7] = 0.0
    assert (draw(Sampler([settings(temperature=2)], CPU), scores, 300) == 7).all()


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("top_k", [0, 3])
def test_scores_that_are_not_finite_are_noticed_row_by_row(temperature, top_k):
    scores = torch.randn(5, 9)
    scores[1, 4], scores[2, 4], scores[3] = torch.nan, torch.inf, -torch.inf
    scores[4, 4] = -torch.inf
    sampler = Sampler([settings(temperature, top_k=top_k)] * 5, CPU)
    assert (sampler(torch.zeros(5, 1), scores.clone()).argmax(-1) < 9).all()
    assert sampler.not_finite.tolist() == [False, True, True, True, False]
    sampler(torch.zeros(5, 1), torch.zeros(5, 9))
    assert sampler.not_finite.tolist() == [False, True, True, True, False]
