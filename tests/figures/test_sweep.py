import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import maezoo
from maezoo import figures
from maezoo.cli import app
from maezoo.errors import DecoderMissingError, MaskError
from maezoo.figures import measure_sweep


def test_errors_are_the_mean_losses_of_reconstruct(model, four):
    sweep = measure_sweep(model, four, ratios=(0.5, 0.75), strategies=("random", "grid"), seeds=2)
    losses = torch.cat([model.reconstruct(four, mask_ratio=0.75, seed=seed).loss for seed in (0, 1)])
    torch.testing.assert_close(sweep.error[0, 1], losses.mean())
    torch.testing.assert_close(sweep.deviation[0, 1], losses.std(correction=0))
    grid = model.reconstruct(four, mask_ratio=0.5, strategy="grid").loss
    torch.testing.assert_close(sweep.error[1, 0], grid.mean())
    assert sweep.masked.shape == sweep.pixels.shape == (2, 2, 3, 96, 96)
    assert sweep.images == 4


def test_more_hidden_is_harder(model, four):
    error = measure_sweep(model, four, ratios=(0.25, 0.75, 0.95)).error
    assert (error[:, 2] > error[:, 0]).all()


def test_any_grid_is_drawn(wide, four, draw):
    figure = figures.plot_sweep(measure_sweep(wide, four[:1], ratios=(0.1, 0.5, 1.0), seeds=1))
    assert [line.get_label() for line in figure.axes[0].get_lines()][:3] == ["random", "block", "grid"]
    draw(figure)


def test_one_strategy_and_one_ratio_are_drawn(wide, four, draw):
    draw(figures.plot_sweep(measure_sweep(wide, four[:1], ratios=(0.5,), strategies=("block",), seeds=1)))


def test_what_cannot_be_measured_is_refused(model, four):
    with pytest.raises(ValueError, match="at least one image"):
        measure_sweep(model, [])
    with pytest.raises(ValueError, match="one seed"):
        measure_sweep(model, four, seeds=0)
    with pytest.raises(MaskError, match="random, block, grid"):
        measure_sweep(model, four, strategies=("stripes",))
    with pytest.raises(MaskError, match=r"got 1\.5"):
        measure_sweep(model, four, ratios=(1.5,))
    encoder = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    with pytest.raises(DecoderMissingError):
        measure_sweep(encoder, four)


def test_the_command_writes_the_figure_and_prints_the_numbers(four, tmp_path):
    pytest.importorskip("matplotlib")
    output = tmp_path / "sweep.png"
    options = ["--ratio", "0.75", "--ratio", "0.5", "--strategy", "random", "--seeds", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, ["sweep", str(four[0]), str(four[1]), "-o", str(output), *options, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["ratios"] == [0.5, 0.75]
    assert len(told["error"]["random"]) == 2
    with Image.open(output) as figure:
        assert figure.width > 500


def test_the_command_refuses_an_unknown_format_before_any_work(four, tmp_path):
    result = CliRunner().invoke(app, ["sweep", str(four[0]), "-o", str(tmp_path / "sweep.txt")])
    assert result.exit_code == 2
    assert ".png" in result.output
