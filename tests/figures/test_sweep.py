import csv
import json
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import maezoo
from maezoo import figures
from maezoo.cli import app
from maezoo.errors import ArgumentError, DecoderMissingError, MaskError
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


def test_rows_hold_every_single_error(model, four, tmp_path):
    sweep = measure_sweep(model, four[:2], ratios=(0.5, 0.75), strategies=("random", "grid"), seeds=2, seed=5)
    rows = sweep.to_rows()
    assert len(rows) == 2 * 2 * 2 + 2 * 2  # the grid has one mask
    assert {row["seed"] for row in rows if row["strategy"] == "random"} == {5, 6}
    chosen = [row for row in rows if (row["strategy"], row["ratio"], row["seed"]) == ("random", 0.75, 6)]
    again = model.reconstruct(four[:2], mask_ratio=0.75, seed=6).loss
    assert [row["error"] for row in chosen] == pytest.approx(again.tolist(), abs=1e-6)
    assert [row["name"] for row in chosen] == [str(path) for path in four[:2]]
    assert "\n" not in repr(sweep)
    with sweep.save_csv(tmp_path / "raw.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(row["error"]) for row in read] == [row["error"] for row in rows]
    unnamed = measure_sweep(model, iter([Image.open(four[0])]), ratios=(0.5,), strategies=("grid",))
    assert unnamed.to_rows()[0]["name"] == ""


def test_the_band_is_one_deviation_wide(model, four):
    pytest.importorskip("matplotlib")
    sweep = measure_sweep(model, four, ratios=(0.25, 0.75), strategies=("random",), seeds=2)
    figure = figures.plot_sweep(sweep, pictures=False)
    heights = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((sweep.error + sweep.deviation).max().item(), abs=1e-6)
    assert heights.min() == pytest.approx((sweep.error - sweep.deviation).min().item(), abs=1e-6)
    assert "standard deviation" in figure.legends[0].get_title().get_text().replace("\n", " ")


def test_models_share_a_figure_and_users_give_axes(model, normpix, four, draw):
    one = measure_sweep(model, four[:1], ratios=(0.25, 0.75), strategies=("random",), seeds=1)
    figure = figures.plot_sweep([one, replace(one, losses=2 * one.losses)], labels=["a_b", "c"], width=3.3)
    draw(figure)
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines[:2]] == ["a_b", "c"]
    assert lines[0].get_color() != lines[1].get_color()
    draw(figures.plot_sweep([one, one], pictures=(0.75,), title=""))
    own, axes = sys.modules["matplotlib.figure"].Figure().subplots(1, 2)[0].figure, None
    axes = own.axes[1]
    assert figures.plot_sweep(one, ax=axes) is own
    assert axes.get_lines()
    other = measure_sweep(normpix, four[:1], ratios=(0.5,), strategies=("random",), seeds=1)
    for wrong in (
        {"sweeps": []},
        {"sweeps": [one, other]},
        {"sweeps": one, "labels": ["a", "b"]},
        {"sweeps": one, "pictures": (0.6,)},
        {"sweeps": one, "pictures": True, "ax": axes},
        {"sweeps": one, "width": -1},
        {"sweeps": one, "width": 0.6},
    ):
        with pytest.raises(ArgumentError):
            figures.plot_sweep(**wrong)


def test_two_models_with_one_strategy_differ_without_colours(model, four):
    pytest.importorskip("matplotlib")
    ours, theirs = (
        measure_sweep(each, four, ratios=(0.5, 0.75), strategies=("block",), seeds=1) for each in (model, model)
    )
    lines = figures.plot_sweep([ours, theirs], labels=["a", "b"]).axes[0].get_lines()[:2]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 2


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
    with pytest.raises(ValueError, match="from 1 to 10,000; got 0"):
        measure_sweep(model, four, seeds=0)
    with pytest.raises(MaskError, match="random, block, grid"):
        measure_sweep(model, four, strategies=("stripes",))
    with pytest.raises(MaskError, match=r"got 1\.5"):
        measure_sweep(model, four, ratios=(1.5,))
    with pytest.raises(ArgumentError, match=r"ratios is a list, such as \(0\.5, 0\.75\); got 0\.5"):
        measure_sweep(model, four, ratios=0.5)
    with pytest.raises(ArgumentError, match=r"strategies is a list.*got 'random'"):
        measure_sweep(model, four, strategies="random")
    encoder = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    with pytest.raises(DecoderMissingError):
        measure_sweep(encoder, four)


def test_the_command_writes_the_figure_and_prints_the_numbers(four, tmp_path):
    pytest.importorskip("matplotlib")
    output, table = tmp_path / "sweep.png", ["--csv", str(tmp_path / "raw.csv")]
    options = [
        "--ratio",
        "0.75",
        "--ratio",
        "0.5",
        "--strategy",
        "random",
        "--seeds",
        "1",
        "--seed",
        "4",
        "--device",
        "cpu",
    ]
    result = CliRunner().invoke(
        app, ["sweep", str(four[0]), str(four[1]), "-o", str(output), *options, "--json", *table]
    )
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    assert told["ratios"] == [0.5, 0.75]
    assert len(told["error"]["random"]) == 2
    assert told["seeds"] == [4]
    raw = (tmp_path / "raw.csv").read_text(encoding="utf-8").splitlines()
    assert raw[0] == "model,strategy,ratio,seed,image,name,error"
    assert len(raw) == 1 + 2 * 2
    with Image.open(output) as figure:
        assert figure.width > 500


def test_the_command_refuses_an_unknown_format_before_any_work(four, tmp_path):
    result = CliRunner().invoke(app, ["sweep", str(four[0]), "-o", str(tmp_path / "sweep.txt")])
    assert result.exit_code == 2
    assert ".png" in result.output
