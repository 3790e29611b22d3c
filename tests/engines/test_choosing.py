"""How an engine is chosen: wrong ones are out, a crash costs only itself, large batches are never slower than small."""

import dataclasses
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from maezoo.engines.plan import Plan, TaskPlan, Trial
from maezoo.engines.registry import ENGINES, Engine
from maezoo.engines.runner import Runner, in_chunks
from maezoo.engines.trial import check, choose_routes, finish, prepare_all, time_all

REFERENCE = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


def engine(name: str) -> Engine:
    return dataclasses.replace(ENGINES["eager"], name=name)


def test_wrong_and_failing_engines_are_out_and_say_why() -> None:
    def prepare(which: Engine) -> Runner:
        if which.name == "fails":
            raise RuntimeError("no such operator\nand more")
        outputs = {
            "right": REFERENCE + 1e-6,
            "wrong": REFERENCE * 1.01,
            "nan": REFERENCE * float("nan"),
            "shape": REFERENCE[:, :4],
        }
        return lambda *inputs: outputs[which.name]

    engines = [engine(name) for name in ("fails", "wrong", "nan", "shape", "right")]
    runners, checks = prepare_all(engines, prepare, REFERENCE, (torch.zeros(2, 1),), "float32", lambda step: None)
    assert list(runners) == ["right"]
    assert checks["fails"].note == "failed: RuntimeError: no such operator"
    assert checks["wrong"].note.startswith("out: differs by")
    assert "not finite" in checks["nan"].note
    assert "shape (2, 4, 8)" in checks["shape"].note
    plan = finish(time_all(runners, checks, (torch.zeros(4, 1),), (1, 4), lambda step: None), checks)
    assert {route.engine for route in plan.routes} == {"right"}
    assert {trial.engine for trial in plan.trials} == {"fails", "wrong", "nan", "shape", "right"}


@pytest.mark.parametrize(("scale", "fine"), [(1.0, True), (-1.0, False)])
def test_quantised_outputs_are_held_to_their_direction(scale: float, fine: bool) -> None:
    trial = check(Trial("onnxruntime", 2, 2), REFERENCE * scale * 1.5, REFERENCE, "int8")
    assert (trial.note == "") == fine


def timed(runners: dict[str, Runner], batch_sizes: tuple[int, ...]) -> list[Trial]:
    """Time runners on tensors of one number an image."""
    checks = {name: Trial(name, 2, 2) for name in runners}
    return time_all(runners, checks, (torch.zeros(batch_sizes[-1], 1),), batch_sizes, lambda step: None)


def test_an_engine_that_is_far_behind_is_not_tried_on_larger_batches() -> None:
    def slow(x: Tensor) -> Tensor:
        time.sleep(0.02)
        return x

    trials = timed({"slow": slow, "fast": lambda x: x}, (1, 4))
    assert [(trial.engine, trial.batch, trial.chunk) for trial in trials] == [
        ("slow", 1, 1),
        ("fast", 1, 1),
        ("fast", 4, 4),
        ("fast", 4, 1),
    ]


def test_the_winner_of_a_small_batch_is_timed_again_in_its_chunks() -> None:
    def worse_together(x: Tensor) -> Tensor:
        time.sleep(0.002 * len(x) ** 2)
        return x

    assert [route.chunk for route in choose_routes(timed({"it": worse_together}, (1, 4, 8)))] == [1, 1, 1]


def test_a_machine_that_was_faster_for_a_while_does_not_decide_how_large_batches_are_cut() -> None:
    seen: set[int] = set()

    def throttled(x: Tensor) -> Tensor:  # from the second batch size on, every call takes ten times as long
        seen.add(len(x))
        time.sleep(0.01 if len(seen) > 1 else 0.001)
        return x

    assert [route.chunk for route in choose_routes(timed({"it": throttled}, (1, 4)))] == [1, 4]


def failing_above(size: int, pause: float = 0.0) -> Runner:
    """Return an engine whose memory ends at a batch of some size."""

    def run(x: Tensor) -> Tensor:
        time.sleep(pause)
        if len(x) > size:
            raise MemoryError(f"no room for {len(x)} images\nand more")
        return x

    return run


def test_an_engine_that_fails_at_a_larger_batch_is_reported_and_the_others_are_still_chosen() -> None:
    trials = timed({"small": failing_above(4), "any": failing_above(99, 0.002)}, (1, 8, 16))
    assert [(trial.batch, trial.chunk, trial.note) for trial in trials if trial.note] == [
        (8, 8, "failed: MemoryError: no room for 8 images")
    ]
    routes = choose_routes(trials)
    assert all(route.chunk <= 4 for route in routes if route.engine == "small")
    assert routes[-1].up_to is None


def test_an_engine_that_fails_after_some_calls_is_reported_too() -> None:
    calls: list[int] = []

    def tiring(x: Tensor) -> Tensor:
        calls.append(len(x))
        if len(calls) > 2:
            raise RuntimeError("out of memory")
        return x

    trials = timed({"tiring": tiring, "steady": lambda x: x}, (1,))
    assert {trial.engine: trial.note for trial in trials} == {
        "steady": "",
        "tiring": "failed: RuntimeError: out of memory",
    }


def test_batches_that_no_engine_takes_are_cut_to_those_that_one_did() -> None:
    assert choose_routes(timed({"a": failing_above(4), "b": failing_above(2)}, (1, 2)))[-1].chunk <= 2
    trials = timed({"only": failing_above(0)}, (1, 2))
    assert [(trial.batch, trial.note) for trial in trials] == [(1, "failed: MemoryError: no room for 1 images")]
    assert choose_routes(trials) == ()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 8, 32])), st.floats(0.1, 1e4), min_size=1, max_size=9
    )
)
def test_the_fastest_of_each_batch_size_is_chosen(speeds: dict[tuple[str, int], float]) -> None:
    trials = [Trial(name, batch, batch, speed) for (name, batch), speed in speeds.items()]
    routes = choose_routes(trials)
    batches = sorted({batch for _, batch in speeds})
    fastest = [max(speed for (_, each), speed in speeds.items() if each == batch) for batch in batches]
    assert [speeds[route.engine, route.chunk] for route in routes] == fastest
    assert routes[-1].up_to is None
    plan = TaskPlan(routes, tuple(trials))
    assert TaskPlan.from_dict(plan.to_dict()) == plan
    assert all(plan.route_for(batch) in routes for batch in (1, 2, 3, 9, 10**6))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_chunks_keep_the_rows(rows: int, size: int) -> None:
    x = torch.arange(rows)
    seen: list[int] = []

    def run(images: Tensor, other: Tensor) -> Tensor:
        seen.append(len(images))
        return images + other

    assert torch.equal(in_chunks(run, size)(x, 2 * x), 3 * x)
    assert max(seen) <= size


def test_a_plan_reads_like_a_table() -> None:
    trials = (Trial("onednn", 1, 1, 250.0, 4e-7, 1.0), Trial("openvino", 2, 2, note="failed: no"))
    plan = Plan("float32", "some CPU", {"features": TaskPlan(choose_routes(trials), trials)}, remembered=True)
    assert str(plan).splitlines() == [
        "float32 on some CPU, remembered",
        "",
        "features                 batch chunk  images/s  difference    cosine",
        "  onednn                     1     1    250.00     4.0e-07   1.00000",
        "  openvino                   2     2         -                        failed: no",
        "  -> larger batches: onednn, 1 at a time",
    ]
