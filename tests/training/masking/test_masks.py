"""The masks of pretraining: counts, what they depend on, what a strategy keeps, and a decoder that predicts a part."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from maezoo.masks.draw import random_mask
from maezoo.model import MaskedAutoencoder, build_mae, patchify, unpatchify
from maezoo.training import Recipe, open_source, pretrain, write_pack
from maezoo.training.masking.loss_guide import LossGuide, ranking_loss
from maezoo.training.masking.masks import HARDEST, HINTS, Masking
from maezoo.training.objective import Objective
from maezoo.training.sources.views import step_generator
from maezoo.vocabulary import MASK_STRATEGIES, MaskStrategy
from tests.training.conftest import SMALL
from tests.training.stopping import stops_at

VARIANT = replace(SMALL, img_size=64)  # a grid of 8x8
RECIPE = Recipe(views=24, batch_size=4, precision="float32", optimizer="adamw")
WATCHING = ("attention", "hard")  # strategies that look at the images


def made(strategy: MaskStrategy, seed: int = 0) -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Objective(build_mae(VARIANT), mask_strategy=strategy)


def masking_of(objective: Objective, recipe: Recipe) -> Masking:
    masking = Masking(recipe, objective.model, objective.guide)
    masking.follow(0)
    return masking


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def masks_at(strategy: MaskStrategy, step: int, count: int = 16, seed: int = 0, **numbers: float) -> tuple[Tensor, ...]:
    masking = masking_of(made(strategy), replace(RECIPE, mask_strategy=strategy, **numbers))
    draws = masking.draw(count, step_generator(seed, step))
    return masking.masks(draws, pictures(count), step)


@pytest.mark.parametrize("strategy", MASK_STRATEGIES)
@pytest.mark.parametrize("ratio", [0.02, 0.5, 0.613, 0.75, 0.97])
def test_every_strategy_hides_exactly_the_rounded_share(strategy: MaskStrategy, ratio: float) -> None:
    mask, predicted = masks_at(strategy, step=5, mask_ratio=ratio, predict=0.3)
    assert mask.dtype == predicted.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [round(ratio * 64)] * 16
    assert predicted.sum(dim=1).tolist() == [max(1, round(0.3 * round(ratio * 64)))] * 16
    assert not (predicted & ~mask).any()


@pytest.mark.parametrize("strategy", MASK_STRATEGIES)
def test_a_seed_and_a_step_are_one_mask(strategy: MaskStrategy) -> None:
    (mask,) = masks_at(strategy, step=3)
    assert torch.equal(mask, masks_at(strategy, step=3)[0])
    if strategy != "grid":
        assert not torch.equal(mask, masks_at(strategy, step=4)[0])
        assert not torch.equal(mask, masks_at(strategy, step=3, seed=1)[0])


@pytest.mark.parametrize("strategy", MASK_STRATEGIES)
def test_processes_that_share_the_images_of_a_step_make_the_masks_of_one(strategy: MaskStrategy) -> None:
    masking = masking_of(made(strategy), replace(RECIPE, mask_strategy=strategy, predict=0.5))
    images, draws = pictures(32), masking.draw(32, step_generator(0, 5))
    alone = masking.masks(draws, images, 5)
    for processes in (2, 4):
        size = 32 // processes
        parts = [slice(rank * size, (rank + 1) * size) for rank in range(processes)]
        shared = [masking.masks(draws.rows(part), images[part], 5) for part in parts]
        for one, *many in zip(alone, *shared, strict=True):
            assert torch.equal(one, torch.cat(many))


def test_random_masks_are_those_of_random_mask() -> None:
    (mask,) = masks_at("random", step=2)
    assert torch.equal(mask, random_mask(16, (8, 8), 0.75, generator=step_generator(0, 2)))


def test_cells_have_the_side_that_is_asked_for() -> None:
    (mask,) = masks_at("cells", step=0, mask_cell=2)
    cells = mask.reshape(16, 4, 2, 4, 2).float().mean(dim=(2, 4))
    assert set(cells.flatten().tolist()) == {0.0, 1.0}


def test_attention_hides_what_is_attended_to_and_leaves_hints() -> None:
    objective = made("attention")
    masking = masking_of(objective, replace(RECIPE, mask_strategy="attention", mask_ratio=0.5))
    images = pictures(16)
    scores = objective.guide.scores(images)
    (mask,) = masking.masks(masking.draw(16, step_generator(0, 0)), images, 0)
    hints = round(HINTS * 64)
    attended = scores.argsort(dim=1, descending=True)[:, : 32 + hints]
    assert mask.gather(1, attended).sum(dim=1).tolist() == [32] * 16  # all that is hidden is among them
    assert 0 < (~mask.gather(1, attended[:, :10])).sum() < 16 * 10  # some of the very most attended stay visible


def test_the_scores_are_the_attention_of_the_last_block() -> None:
    """The same numbers from a forward pass of the encoder alone, its attention written out."""
    objective = made("attention")
    masking_of(objective, RECIPE)
    images, encoder = pictures(2), objective.model.encoder
    x = encoder.pos_drop(encoder._pos_embed(encoder.patch_embed(images)))
    for block in encoder.blocks[:-1]:
        x = block(x)
    attention = encoder.blocks[-1].attn
    q, k, _ = attention.qkv(encoder.blocks[-1].norm1(x)).chunk(3, dim=-1)
    heads = (part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in (q, k))
    q, k = heads
    weights = (q @ k.transpose(-2, -1) * attention.scale).softmax(dim=-1)
    torch.testing.assert_close(objective.guide.scores(images), weights.mean(dim=1)[:, 0, 1:], atol=1e-6, rtol=1e-5)


def test_hard_masks_begin_at_random_and_grow_harder() -> None:
    objective = made("hard")
    recipe = replace(RECIPE, mask_strategy="hard", views=4 * 101)
    masking, images = masking_of(objective, recipe), pictures(16)
    scores = objective.guide.scores(images)
    draws = masking.draw(16, step_generator(0, 0))
    (first,) = masking.masks(draws, images, 0)
    assert torch.equal(first, random_mask(16, (8, 8), 0.75, generator=step_generator(0, 0)))
    (last,) = masking.masks(draws, images, 100)
    hardest = scores.argsort(dim=1, descending=True)[:, : round(HARDEST * 48)]
    assert last.gather(1, hardest).all()
    (middle,) = masking.masks(draws, images, 50)
    assert middle.gather(1, hardest[:, :12]).all()
    assert not middle.gather(1, hardest).all()


def test_the_ranking_loss_is_the_mean_over_pairs_of_one_image() -> None:
    predicted, error = torch.randn(3, 6), torch.rand(3, 6)
    error[0, 1] = error[0, 2]  # no order, so no pair
    mask = torch.tensor([[True, True, True, False, True, False], [False, True, True, True, False, False], [False] * 6])
    means = []
    for row in range(2):
        chosen = mask[row].nonzero().flatten().tolist()
        pairs = [(i, j) for i in chosen for j in chosen if error[row, i] > error[row, j]]
        terms = [-torch.log(torch.sigmoid(predicted[row, i] - predicted[row, j])) for i, j in pairs]
        means.append(torch.stack(terms).mean())
    assert len(terms) == 3
    torch.testing.assert_close(ranking_loss(predicted, error, mask), torch.stack(means).mean())


def test_the_predictor_learns_which_patches_are_hard() -> None:
    """Half of each picture is noise, the other even: after some steps the noise has the higher scores."""
    objective = made("hard")
    masking = masking_of(objective, replace(RECIPE, mask_strategy="hard"))
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    images = torch.zeros(8, 3, 64, 64)
    for step in range(40):
        images[:, :, :, 32:] = torch.randn(8, 3, 64, 32, generator=step_generator(0, step))
        masking.follow(step)
        mask = random_mask(8, (8, 8), 0.75, generator=step_generator(0, step))
        objective(images, mask).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert isinstance(objective.guide, LossGuide)
    scores = objective.guide.scores(images).reshape(8, 8, 8)
    noise, even = scores[:, :, 4:], scores[:, :, :4]
    assert noise.mean() > even.mean() + 0.2


@pytest.mark.parametrize("strategy", WATCHING)
def test_the_copies_follow_slowly_and_are_not_trained(strategy: MaskStrategy) -> None:
    objective = made(strategy)
    masking = masking_of(objective, replace(RECIPE, mask_strategy=strategy))
    images = pictures(8)
    before = objective.guide.scores(images)
    with torch.no_grad():
        for parameter in objective.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)), alpha=0.1)
    assert torch.equal(objective.guide.scores(images), before)
    masking.follow(10_000)
    after = objective.guide.scores(images)
    masking.follow(0)  # a run that starts from weights has them in its copies from the first step on
    far = objective.guide.scores(images)
    assert 0 < (after - before).abs().mean() < 0.2 * (far - before).abs().mean()


def test_the_loss_is_the_mean_over_the_predicted_patches() -> None:
    objective, images = made("random"), pictures(4)
    mask = random_mask(4, (8, 8), 0.75, seed=0)
    torch.testing.assert_close(objective(images, mask, mask), objective(images, mask))
    (_, predicted), (mask, _) = masks_at("random", 0, count=4, predict=0.5), masks_at("random", 0, count=4, predict=0.5)
    loss = objective(images, mask, predicted)
    rows = [objective(images[i : i + 1], mask[i : i + 1], predicted[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(loss, torch.stack(rows).mean())
    patches = patchify(images, 8)
    patches[mask & ~predicted] += 5  # what is neither seen nor predicted
    assert torch.equal(objective(unpatchify(patches, 8, (8, 8)), mask, predicted), loss)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    path = tmp_path_factory.mktemp("pack") / "photos.npz"
    write_pack(path, photos, size=72)
    return path


def trained(recipe: Recipe, pack: Path, out: Path, **settings: object) -> MaskedAutoencoder:
    return pretrain(recipe, open_source(pack), out, variant=VARIANT, device="cpu", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "numbers",
    [
        {"mask_strategy": "attention"},
        {"mask_strategy": "hard", "normpix_weight": 1.0, "predict": 0.5},
        {"mask_strategy": "cells", "predict": 0.5},
    ],
    ids=lambda numbers: numbers["mask_strategy"],
)
def test_a_stopped_run_resumes_to_the_same_bits(numbers: dict[str, object], pack: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, **numbers)  # type: ignore[arg-type]
    whole = trained(recipe, pack, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        trained(recipe, pack, tmp_path / "parts", report=stops_at(3), report_every=1)
    resumed = trained(recipe, pack, tmp_path / "parts")
    weights = resumed.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.state_dict().items())
    assert weights.keys() == build_mae(VARIANT).state_dict().keys()  # what the strategy keeps stays in the run
