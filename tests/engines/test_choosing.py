"""How an engine is chosen: wrong ones are out, a crash costs only itself, large batches are never slower than small."""

import dataclasses

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
    plan = finish(time_all(runners, checks, (torch.zeros(4, 1),), (1, 4), lambda step: None), checks, (1, 4))
    assert {route.engine for route in plan.routes} == {"right"}
    assert {trial.engine for trial in plan.trials} == {"fails", "wrong", "nan", "shape", "right"}


@pytest.mark.parametrize(("scale", "fine"), [(1.0, True), (-1.0, False)])
def test_quantised_outputs_are_held_to_their_direction(scale: float, fine: bool) -> None:
    trial = check(Trial("onnxruntime", 2), REFERENCE * scale * 1.5, REFERENCE, "int8")
    assert (trial.note == "") == fine


def test_an_engine_that_is_far_behind_is_not_tried_on_larger_batches() -> None:
    import time

    def slow(x: Tensor) -> Tensor:
        time.sleep(0.02)
        return x

    runners: dict[str, Runner] = {"slow": slow, "fast": lambda x: x}
    checks = {name: Trial(name, 2) for name in runners}
    trials = time_all(runners, checks, (torch.zeros(4, 1),), (1, 4), lambda step: None)
    assert [(trial.engine, trial.batch) for trial in trials] == [("slow", 1), ("fast", 1), ("fast", 4)]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 8, 32])), st.floats(0.1, 1e4), min_size=1, max_size=9
    )
)
def test_a_large_batch_is_never_slower_than_a_small_one(speeds: dict[tuple[str, int], float]) -> None:
    trials = [Trial(name, batch, speed) for (name, batch), speed in speeds.items()]
    routes = choose_routes(trials, (1, 8, 32))
    rates = [speeds[route.engine, route.chunk] for route in routes]
    assert rates == sorted(rates)
    assert routes[-1].up_to is None
    assert rates[-1] == max(speeds.values())
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
    trials = (Trial("onednn", 1, 250.0, 4e-7, 1.0), Trial("openvino", 2, note="failed: no"))
    plan = Plan("float32", "some CPU", {"features": TaskPlan(choose_routes(trials, (1,)), trials)}, remembered=True)
    assert str(plan).splitlines() == [
        "float32 on some CPU, remembered",
        "",
        "features                 batch  images/s  difference    cosine",
        "  onednn                     1    250.00     4.0e-07   1.00000",
        "  openvino                   2         -                        failed: no",
        "  -> larger batches: onednn, 1 at a time",
    ]
