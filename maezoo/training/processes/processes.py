"""One run in several processes: who they are, which rows of a step are whose, and what they agree on.

The processes are started by torchrun (https://docs.pytorch.org/docs/stable/elastic/run.html) or by SLURM's srun; their
environment variables say who is who.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch.distributed import HashStore, PrefixStore
from torch.distributed.rendezvous import rendezvous

from maezoo.errors import ArgumentError, SettingError, WorkerError

__all__ = ["ALONE", "Place", "Processes", "find_place", "joined"]

_PATIENCE = timedelta(minutes=30)  # with a process that is slow
_SIGNS_OF_LOSS = ("gloo", "connection closed", "connection reset", "broken pipe", "socket", "nccl")


@dataclass(frozen=True)
class Place:
    """The place of a process among those of its run.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        local_rank: its number on its machine.
        url: where they meet, in PyTorch's words.
    """

    rank: int
    size: int
    local_rank: int
    url: str


class Processes:
    """The processes that share a run; each of them has one such object.

    Args:
        rank: number of this one, from 0.
        size: how many there are.
        group: over which they agree on numbers, on the CPU; `None` for PyTorch's default one.
        store: that all can reach, to agree on which process reports a failure.

    Example:
        >>> Processes(rank=1, size=2).rows(7)
        slice(3, 7, None)
    """

    def __init__(self, rank: int = 0, size: int = 1, group: Any = None, store: Any = None) -> None:
        self.rank, self.size, self.group, self._store = rank, size, group, store

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, logs and shows progress."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Return which rows of a step are this process's; together they are all, as evenly as can be."""
        return slice(self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size)

    def sum(self, *numbers: float) -> list[float]:
        """Return each number summed over all processes; whole numbers stay exact."""
        if self.size == 1:
            return list(numbers)
        together = torch.tensor(numbers, dtype=torch.float64, device="cpu")
        dist.all_reduce(together, group=self.group)
        summed: list[float] = together.tolist()
        return summed

    def any(self, *flags: bool) -> list[bool]:
        """Return of each flag whether it is set in any process."""
        return [total > 0 for total in self.sum(*(float(flag) for flag in flags))]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.sum(0)

    def claim(self) -> bool:
        """Claim the right to report a failure; the first process that asks has it."""
        if self.size == 1:
            return True
        if self._store is None:
            return self.first
        try:
            return int(self._store.add(f"maezoo/spoken/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1)) == 1
        except (RuntimeError, ValueError):  # the process that keeps the store is the one that ended
            return self.rank == 1

    @contextmanager
    def loss_named(self, out: Path) -> Iterator[None]:
        """Turn the error that follows when another process has ended into one that says so.

        Raises:
            WorkerError: it ended, and what it shared with this one cannot be computed.
        """
        try:
            yield
        except RuntimeError as error:
            told = str(error).lower()
            if self.size == 1 or not (
                isinstance(error, dist.DistError) or any(sign in told for sign in _SIGNS_OF_LOSS)
            ):
                raise
            raise WorkerError(
                f"one of the {self.size} processes of this run ended before its time (killed, or out of memory?), so "
                f"the others end, too. {out} keeps the last checkpoint, if one was written; run the same command again "
                "to resume.",
                path=out,
                reason=str(error),
            ) from error


ALONE = Processes()
"""A run in one process."""


def find_place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return this process's place, as torchrun or SLURM gives it; `None` where neither started several processes.

    Raises:
        SettingError: a variable of theirs is no number, or is missing.

    Example:
        >>> find_place({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1",
        ...             "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "42"})
        Place(rank=5, size=8, local_rank=1, url='tcp://gpu07:15042?rank=5&world_size=8')
        >>> find_place({}) is None
        True
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
        if missing:
            raise SettingError(f"RANK and WORLD_SIZE are set, but not {' and '.join(missing)}; start it with torchrun.")
        return Place(rank, size, _number(environment, "LOCAL_RANK", rank), "env://")
    started_by_srun = {"SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID", "MASTER_ADDR"} & environment.keys()
    if "SLURM_PROCID" not in environment or not started_by_srun:  # a batch script itself is one process
        return None
    rank, size = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_STEP_NUM_TASKS", 0)
    size = size or _number(environment, "SLURM_NTASKS")
    if size == 1:
        return None
    nodes = next((environment[name] for name in _NODE_LISTS if environment.get(name)), "localhost")
    address = environment.get("MASTER_ADDR") or _first_node(nodes)
    port = _number(environment, "MASTER_PORT", 15_000 + _number(environment, "SLURM_JOB_ID", 0) % 15_000)
    url = f"tcp://{address}:{port}?rank={rank}&world_size={size}"
    return Place(rank, size, _number(environment, "SLURM_LOCALID", 0), url)


_NODE_LISTS = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")


@contextmanager
def joined(device: torch.device, *, always: bool = False) -> Iterator[tuple[Processes, torch.device]]:
    """Join the other processes of the run while the block runs; a group that the caller has joined is used and kept.

    Args:
        device: where to train; of several CUDA devices each process gets its own.
        always: make a group of one process where there are no others.

    Yields:
        The processes, and this one's device.

    Raises:
        SettingError: a variable of torchrun or SLURM cannot be used.
        ArgumentError: more processes than CUDA devices on this machine.
        WorkerError: another process ended, or cannot be reached.

    Example:
        >>> with joined(torch.device("cpu")) as (processes, device):
        ...     processes.size, device
        (1, device(type='cpu'))
    """
    if dist.is_available() and dist.is_initialized():
        group = dist.new_group(backend="gloo") if device.type == "cuda" else None
        yield Processes(dist.get_rank(), dist.get_world_size(), group), _own(device, dist.get_rank())
        return
    place = find_place()
    if (place is None or place.size == 1) and not always:
        yield ALONE, device
        return
    where = _own(device, place.local_rank if place else 0)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        if place is None:
            store, rank, size = HashStore(), 0, 1
        else:
            store, rank, size = next(rendezvous(place.url, place.rank, place.size, timeout=_PATIENCE))
        dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=size)
    except RuntimeError as error:  # PyTorch's DistError is one
        raise WorkerError(
            "the processes of this run did not all join: one ended before its time (killed, or out of memory?), or "
            f"cannot be reached. Run the same command again to resume. {error}",
            reason=str(error),
        ) from error
    try:
        group = dist.new_group(backend="gloo") if device.type == "cuda" else None
        yield Processes(rank, size, group, store), where
    finally:
        dist.destroy_process_group()


def _own(device: torch.device, local_rank: int) -> torch.device:
    """Return this process's own device."""
    if device.type != "cuda":
        return device
    devices = torch.cuda.device_count()
    index = local_rank if devices > 1 else 0  # a launcher may show each process its own one alone
    if index >= devices:
        raise ArgumentError(
            f"process {local_rank} of this machine has no CUDA device: there are {devices}. Start fewer processes."
        )
    own = torch.device("cuda", index)
    torch.cuda.set_device(own)  # NCCL uses the current one
    return own


def _first_node(nodes: str) -> str:
    """Return the first name of SLURM's list, such as `gpu[007-009,12],cpu1`."""
    found = re.match(r"([^,\[]+)(?:\[(\d+))?", nodes)
    return f"{found[1]}{found[2] or ''}" if found else nodes


def _number(environment: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    value = environment.get(name, "" if otherwise is None else str(otherwise))
    if not value.isdigit():
        raise SettingError(f"{name} should be a whole number, not {value!r}; torchrun and srun set it.")
    return int(value)
