"""Ctrl-C: caught once, held back where asked, and its handler put back."""

import signal

import pytest

from maezoo.cli import exits
from maezoo.interrupts import Interrupts, interrupt


def test_the_second_ctrl_c_is_as_usual():
    interrupts, steps = Interrupts(), []
    with interrupts.caught(), interrupts.held_back():
        signal.raise_signal(signal.SIGINT)
        steps.append("the first waits")
        signal.raise_signal(signal.SIGINT)
        steps.append("never reached")
    assert (steps, interrupts.came) == (["the first waits"], True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("times", [1, 2])
def test_sigterm_may_come_more_than_once(times, monkeypatch):
    """Launchers pass on what a scheduler has sent to all processes already."""
    monkeypatch.setattr(exits, "_terminated", False)
    steps, before = [], signal.signal(signal.SIGTERM, exits._end_as_ctrl_c_does)
    try:
        interrupts = Interrupts()
        with interrupts.caught(), interrupts.held_back():
            for _ in range(times):
                signal.raise_signal(signal.SIGTERM)
            steps.append("done")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == ["done"]


def test_a_block_without_ctrl_c_changes_nothing():
    interrupts = Interrupts()
    with interrupts.caught(), interrupts.held_back():
        pass
    assert not interrupts.came
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_ctrl_c_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts, steps = Interrupts(), []
        with interrupts.caught():
            signal.raise_signal(signal.SIGINT)
        assert not interrupts.came
        with interrupts.caught(), interrupts.held_back():
            interrupt()  # as the handler of SIGTERM does
            steps.append("held back")
            interrupt()
            steps.append("never reached")
        assert (steps, interrupts.came) == (["held back"], True)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_is_not_pythons_is_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("replaced"))
    with Interrupts().caught():
        pass


def test_an_interrupt_of_another_kind_passes():
    with pytest.raises(KeyboardInterrupt), Interrupts().caught():
        raise KeyboardInterrupt
