"""Processes that decode, each at the end of a pipe: no shared memory, and no queue that could lose a chunk."""

import multiprocessing
import os
import queue
import signal
import threading
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import torch

from maezoo.errors import WorkerError
from maezoo.extraction.decode import Decoded, Decoder, decode_chunk
from maezoo.extraction.pillow import PillowState
from maezoo.images.preprocessing import Preprocessing
from maezoo.interrupts import ENDING, shielding_children

__all__ = ["Crew"]

_SOON = 2.0  # seconds until an ended process is gone


class Crew:
    """Some processes; any thread may ask them to decode, and each decodes one chunk at a time.

    Args:
        decoder: what to decode.
        count: of processes.
        pin: put the pixels into page-locked memory, for CUDA.
    """

    def __init__(self, decoder: Decoder, count: int, *, pin: bool) -> None:
        self._decoder, self._count, self._pin = decoder, count, pin
        self._workers: list[_Worker] = []
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the processes. If that fails midway, `end` ends those that were started.

        Raises:
            OSError: the system starts no more processes.
        """
        pillow = PillowState.of_this_process()
        for _ in range(self._count):
            worker = _Worker(self._decoder.preprocess, self._decoder.exact, pillow)
            self._workers.append(worker)
            worker.start()
            self._idle.put(worker)

    def decode(self, index: int) -> Decoded:
        """Decode a chunk in a process that is idle.

        Raises:
            WorkerError: the process died.
        """
        worker = self._idle.get()
        try:
            return worker.decode(self._decoder, index, pin=self._pin)
        finally:
            self._idle.put(worker)

    def end(self) -> None:
        """End all processes at once: what they decode now is decoded again by the next run."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()


class _Worker:
    """One process, seen from this one."""

    def __init__(self, preprocess: Preprocessing, exact: bool, pillow: PillowState) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy locks and CUDA's state
        self._connection, self._theirs = context.Pipe()
        arguments = (self._theirs, preprocess, exact, pillow)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)

    def start(self) -> None:
        """Start the process; it alone has the other end of the pipe, so that its death closes it."""
        with self._theirs, shielding_children():
            self._process.start()

    def decode(self, decoder: Decoder, index: int, *, pin: bool) -> Decoded:
        """Send a chunk's items; wait for its pixels, or for the process's end."""
        try:
            # Not `send`: if it fails, the error's traceback holds a view of its buffer, and since Python 3.13 the
            # buffer complains on stderr when both are collected.
            self._connection.send_bytes(bytes(ForkingPickler.dumps((decoder.items_of(index), decoder.chunks[index]))))
            first, stop, shape, kind, rows, failures, note = self._connection.recv()
            pixels = torch.empty(shape, dtype=kind, device="cpu", pin_memory=pin)
            if rows:
                self._connection.recv_bytes_into(pixels.view(-1).numpy())
        except (OSError, EOFError) as error:
            raise self._death() from error
        return Decoded(first, stop, pixels, rows, failures, note)

    def kill(self) -> None:
        """End the process at once."""
        if self._process.pid is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until it is gone."""
        if self._process.pid is not None:
            self._process.join(_SOON)

    def _death(self) -> WorkerError:
        """Return the error that says how the process died, and what may help."""
        self._process.join(_SOON)
        code = self._process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return WorkerError(
            f"a process that decodes images ended {how}. Was memory short? Try fewer workers, or workers=0. In a "
            "script of your own, call maezoo.extract below `if __name__ == '__main__':`.",
            reason=f"ended {how}",
        )


def _serve(connection: Connection, preprocess: Preprocessing, exact: bool, pillow: PillowState) -> None:
    """Decode what comes through a pipe, until it is closed."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    threading.Thread(target=_follow_parent, daemon=True).start()
    pillow.apply()
    with suppress(EOFError, ConnectionError):
        while True:
            items, chunk = connection.recv()
            done = decode_chunk(items, chunk, preprocess, exact=exact)
            shape, kind = tuple(done.pixels.shape), done.pixels.dtype
            connection.send((done.first, done.stop, shape, kind, done.rows, done.failures, done.note))
            if done.rows:
                connection.send_bytes(done.pixels.view(-1).numpy().data)


def _follow_parent() -> None:
    """Exit when the parent is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
