"""Engines against each other: checked against eager PyTorch, then timed alternately on the same images."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from maezoo.engines.plan import Route, TaskPlan, Trial
from maezoo.engines.registry import Engine, Precision
from maezoo.engines.runner import Runner, in_chunks

__all__ = ["LIMITS", "check", "choose_routes", "finish", "prepare_all", "time_all"]

LIMITS: Mapping[Precision, float] = {"float32": 1e-4, "bfloat16": 0.999, "float16": 0.999, "int8": 0.98}
"""float32: largest relative difference from eager PyTorch. The others: least cosine to it."""

_Key = tuple[str, int]  # an engine's name, and the images that it sees at a time

_SECONDS = 1.5  # of timing for each engine and batch size
_ROUNDS = 5  # at least, alternately: other work on the machine then slows all of them alike
_TURN = 0.1  # seconds of calls in a row
_PAUSE = 0.01  # seconds between two engines: until then the threads of the last one wait for work, and take the cores
_TOO_SLOW = 2.0  # an engine this many times slower than the best at one batch size is not tried on the next
_LONGEST = 4.0  # seconds that a call may be expected to take: a larger batch is cut into smaller ones untried


def prepare_all(
    engines: Sequence[Engine],
    prepare: Callable[[Engine], Runner],
    reference: Tensor,
    inputs: tuple[Tensor, ...],
    precision: Precision,
    advance: Callable[[str], None],
) -> tuple[dict[str, Runner], dict[str, Trial]]:
    """Prepare engines and check each on a few images.

    Returns:
        The runners that gave the right output, and the check of every engine.
    """
    runners: dict[str, Runner] = {}
    checks: dict[str, Trial] = {}
    for engine in engines:
        advance(f"preparing {engine.name}")
        trial = Trial(engine.name, reference.shape[0], reference.shape[0])
        try:
            run = prepare(engine)
            checks[engine.name] = check(trial, run(*inputs), reference, precision)
        except Exception as error:  # an engine that fails is left out, and the others are tried
            checks[engine.name] = replace(trial, note=_failed(error))
            continue
        if not checks[engine.name].note:
            runners[engine.name] = run
    return runners, checks


def check(trial: Trial, output: Tensor, reference: Tensor, precision: Precision) -> Trial:
    """Compare an output (B, L, D) with the reference; a note says so when it is too far away.

    Example:
        >>> x = torch.eye(4)[None]
        >>> check(Trial("onednn", 1, 1), x + 0.1, x, "float32").note
        'out: differs by 1.0e-01, 1.0e-04 is allowed'
    """
    found, wanted = output.float(), reference.float()
    if found.shape != wanted.shape or not bool(torch.isfinite(found).all()):
        return replace(trial, note=f"out: its output is not finite or of shape {tuple(found.shape)}")
    difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
    cosine = float(torch.cosine_similarity(found.flatten(1), wanted.flatten(1)).min())
    trial = replace(trial, difference=difference, cosine=cosine)
    limit = LIMITS[precision]
    if precision == "float32" and difference > limit:
        return replace(trial, note=f"out: differs by {difference:.1e}, {limit:.1e} is allowed")
    if precision != "float32" and cosine < limit:
        return replace(trial, note=f"out: cosine {cosine:.4f}, {limit} is the least allowed")
    return trial


def time_all(
    runners: Mapping[str, Runner],
    checks: Mapping[str, Trial],
    inputs: tuple[Tensor, ...],
    batch_sizes: Sequence[int],
    advance: Callable[[str], None],
) -> list[Trial]:
    """Time runners alternately on rising batch sizes; slow ones, and those that fail, are not tried on the next.

    The winner of one batch size takes part in the next in the chunks that it won with, in the same rounds: between two
    sizes the machine may have become faster or slower, and the cutting itself costs something.

    Args:
        runners: by engine.
        checks: their checks, whose figures go into the trials.
        inputs: of the largest batch.
        batch_sizes: rising.
        advance: told what is measured.
    """
    trials: list[Trial] = []
    left = dict(runners)
    best: Trial | None = None
    for batch in batch_sizes:
        if best is not None and batch / _rate(best) > _LONGEST:
            break
        advance(f"timing batches of {batch}")
        contestants = {(name, batch): run for name, run in left.items()}
        if best is not None:
            contestants[best.engine, best.chunk] = in_chunks(runners[best.engine], best.chunk)
        speeds, failed = _rates(contestants, tuple(each[:batch] for each in inputs))
        timed = [
            replace(checks[name], batch=batch, chunk=chunk, images_per_second=speed)
            for (name, chunk), speed in speeds.items()
        ]
        trials += timed
        trials += [replace(checks[name], batch=batch, chunk=chunk, note=why) for (name, chunk), why in failed.items()]
        if not timed:
            break
        best = max(timed, key=_rate)
        left = {name: run for name, run in left.items() if speeds.get((name, batch), 0) * _TOO_SLOW >= _rate(best)}
    return trials


def choose_routes(trials: Sequence[Trial]) -> tuple[Route, ...]:
    """Choose the fastest engine and chunk for each range of batch sizes.

    A range reaches up to the geometric mean of its batch size and the next. A large batch is never slower for each
    image than a small one, since `time_all` has the winner of the smaller size among those of the larger.

    Example:
        >>> choose_routes([Trial("onednn", 1, 1, 5.0), Trial("eager", 1, 1, 4.0), Trial("eager", 8, 8, 6.0)])
        (Route(up_to=2, engine='onednn', chunk=1), Route(up_to=None, engine='eager', chunk=8))
    """
    timed = sorted({trial.batch for trial in trials if trial.images_per_second})
    routes: list[Route] = []
    for number, batch in enumerate(timed, 1):
        best = max((trial for trial in trials if trial.batch == batch), key=_rate)
        up_to = int((batch * timed[number]) ** 0.5) if number < len(timed) else None
        routes.append(Route(up_to, best.engine, best.chunk))
    return tuple(routes)


def finish(trials: list[Trial], checks: Mapping[str, Trial]) -> TaskPlan:
    """Make a plan of the timed trials, and of those that were ruled out before."""
    out = [trial for trial in checks.values() if trial.note]
    return TaskPlan(choose_routes(trials), tuple(trials + out))


def _rate(trial: Trial) -> float:
    """Return images per second, 0 where it was not timed."""
    return trial.images_per_second or 0.0


def _rates(runners: Mapping[_Key, Runner], inputs: tuple[Tensor, ...]) -> tuple[dict[_Key, float], dict[_Key, str]]:
    """Return images per second of each runner, by the median of its calls, and why each of the others failed."""
    seconds: dict[_Key, list[float]] = {}
    failed: dict[_Key, str] = {}

    def call(key: _Key, times: int) -> list[float]:
        try:
            return [_time(runners[key], inputs) for _ in range(times)]
        except Exception as error:  # as for want of memory: the engine is left out, and the others are timed
            failed[key] = _failed(error)
            return []

    first = [call(key, 1) for key in runners]  # this call also sets things up
    slowest = max([1e-4, *(each for times in first for each in times)])
    calls = max(1, min(10, int(_TURN / slowest)))
    rounds = max(_ROUNDS, min(10, int(_SECONDS / slowest / calls)))
    for _ in range(rounds):
        for key in runners:
            if key not in failed:
                time.sleep(_PAUSE)
                seconds[key] = seconds.get(key, []) + call(key, calls)
    rates = {key: inputs[0].shape[0] / statistics.median(times) for key, times in seconds.items() if key not in failed}
    return rates, failed


def _time(run: Runner, inputs: tuple[Tensor, ...]) -> float:
    """Return the seconds of one call, a GPU's work included."""
    on_gpu = inputs[0].is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run(*inputs)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _failed(error: Exception) -> str:
    """Write why an engine failed, in one line."""
    return f"failed: {type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')[:120]}"
