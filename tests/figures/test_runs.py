"""The curves of training runs."""

import pytest

from maezoo.errors import ArgumentError
from maezoo.figures import plot_runs

RUN = [
    {"step": 0, "probe_knn": 0.5, "probe_loss": 1.5},
    *({"step": step, "loss": 1.0 / step, "lr": 1e-3, "gradient_norm": 1.0} for step in range(1, 60)),
]


def titles(figure: object) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]  # type: ignore[attr-defined]


def test_a_panel_for_all_that_a_run_has_and_a_line_for_each_run() -> None:
    figure = plot_runs([RUN, RUN[:30]], labels=["a", "b"])
    assert titles(figure) == ["loss", "score (%)", "gradient norm", "learning rate"]
    loss, score = figure.axes[:2]
    assert [len(line.get_xdata()) for line in loss.lines] == [59, 1, 29, 1]
    assert loss.get_yscale() == "log"
    assert score.lines[0].get_ydata()[0] == 50
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_points_are_drawn_by_their_steps_and_what_is_no_number_is_left_out() -> None:
    mixed = [{"step": 3, "loss": 0.2}, {"step": 1, "loss": 0.5}, {"step": 2, "loss": None}, {"step": 4, "loss": True}]
    (line,) = plot_runs([mixed]).axes[0].lines
    assert list(line.get_xdata()) == [1, 3]


def test_nothing_to_draw_is_refused() -> None:
    for runs in ([], [[]], [[{"step": 1}]]):
        with pytest.raises(ArgumentError, match="nothing to draw"):
            plot_runs(runs)
    with pytest.raises(ArgumentError, match="labels"):
        plot_runs([RUN], labels=["a", "b"])
