"""The cache under any order of downloads, checks, damage and faults: the right bytes or an error, never wrong ones."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from maezoo.errors import MaezooError, OfflineError
from maezoo.hub.fetching import fetch
from maezoo.hub.report import verify_entries
from maezoo.manifest.entries import load_manifest

from .conftest import NAME, Machine
from .server import cut_after, flipped, login_page, status

_FAULTS = {
    "cut": cut_after(700_000),
    "flipped": flipped,
    "login": login_page,
    "503": status(503, {"Retry-After": "0"}),
}


class Cache(RuleBasedStateMachine):
    """A cache, and the one file that belongs into it."""

    machine: Machine
    data: bytes

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="maezoo-stateful-"))
        self.machine.hub.get_faults.clear()
        self.entry = load_manifest().find(NAME)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule()
    def download(self) -> None:
        """A download from a healthy hub gives the right bytes, whatever is in the cache."""
        assert fetch(self.entry, cache_dir=self.root).read_bytes() == self.data

    @rule(fault=st.sampled_from(sorted(_FAULTS)))
    def download_with_a_fault(self, fault: str) -> None:
        """One fault on the way is survived, or is an error."""
        self.machine.hub.get_faults = [_FAULTS[fault]]
        with suppress(MaezooError):
            assert fetch(self.entry, cache_dir=self.root).read_bytes() == self.data
        self.machine.hub.get_faults.clear()

    @rule()
    def download_at_once(self) -> None:
        """Threads that fetch at once get the same file."""
        with ThreadPoolExecutor(4) as pool:
            paths = set(pool.map(lambda _: fetch(self.entry, cache_dir=self.root), range(4)))
        assert [path.read_bytes() for path in paths] == [self.data]

    @rule()
    def stay_offline(self) -> None:
        """Without a network there are the right bytes or an error."""
        try:
            assert fetch(self.entry, cache_dir=self.root, offline=True).read_bytes() == self.data
        except OfflineError:
            # A file without its link is found only by asking the hub which revision it belongs to.
            assert not any(path.exists() and path.read_bytes() == self.data for path in self.links())
        except MaezooError:
            pass

    @rule(at=st.integers(0, 2_000_000), cut=st.booleans())
    @precondition(lambda self: self.blobs())
    def damage(self, at: int, cut: bool) -> None:
        """Change a byte of the file, or cut it short."""
        blob = self.blobs()[0]
        data = bytearray(blob.read_bytes())
        if data:
            data[at % len(data)] ^= 1
        blob.write_bytes(data[: at % (len(data) + 1)] if cut else data)

    @rule()
    @precondition(lambda self: self.blobs())
    def verify(self) -> None:
        """A check tells the right file from a wrong one."""
        right = self.blobs()[0].read_bytes() == self.data
        if self.links():
            assert verify_entries([self.entry], cache_dir=self.root).fine == right

    @rule()
    @precondition(lambda self: self.blobs())
    def remove(self) -> None:
        """Delete the file, and leave the link to it."""
        self.blobs()[0].unlink()

    @rule()
    @precondition(lambda self: self.links())
    def unlink(self) -> None:
        """Delete the link, and leave the file."""
        self.links()[0].unlink()

    @rule()
    def break_the_record(self) -> None:
        """A record of a check that cannot be read is no record."""
        for path in self.root.rglob("*.json"):
            path.write_text("[" * 100_000)

    @invariant()
    def nothing_is_left(self) -> None:
        """What interrupted downloads leave is at most one file, which the next one takes."""
        assert len(list(self.root.rglob("*.incomplete"))) <= 1

    def blobs(self) -> list[Path]:
        return [path for path in self.root.glob("models--*/blobs/*") if len(path.name) == 64]

    def links(self) -> list[Path]:
        return list(self.root.glob("models--*/snapshots/*/*"))


def test_any_order_of_events_gives_the_right_bytes_or_an_error(here, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Cache.machine, Cache.data = here, next(iter(here.hub.files.values()))
    run_state_machine_as_test(
        Cache,
        settings=settings(
            max_examples=20,
            stateful_step_count=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
