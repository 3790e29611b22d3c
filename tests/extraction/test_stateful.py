"""Extraction under any order of runs, ends, changed folders, damaged outputs and other settings."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from PIL import Image

import maezoo
from maezoo.errors import OtherSettingsError

_SETTINGS = {"workers": 0, "batch_size": 2, "shard_size": 3}


class _EndError(Exception):
    """The run ends, as it would at an error."""


class Extraction(RuleBasedStateMachine):
    """An output folder, and what its rows should be."""

    model: "maezoo.MAE"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="maezoo-stateful-"))
        self.pictures, self.output = self.folder / "pictures", self.folder / "out"
        self.pictures.mkdir()
        self.listed: list[Path] = []  # pictures that were there when the run began; it keeps to these
        self.number = 0
        self.add(True)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(good=st.booleans())
    def add(self, good: bool) -> None:
        """Add a picture, or a file that is none."""
        self.number += 1
        path = self.pictures / f"{self.number:03}.png"
        if good:
            pixels = np.random.default_rng(self.number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        else:
            path.write_bytes(b"no picture")

    @rule(after=st.integers(0, 8))
    def end_early(self, after: int) -> None:
        """Begin or resume a run, and end it after some images."""

        def report(progress: "maezoo.extraction.Progress") -> None:
            if progress.done >= after:
                raise _EndError

        try:
            self.run(report=report)
        except _EndError:
            return
        self.compare()

    @rule()
    def finish(self) -> None:
        """Run to the end: the rows are those of a run that nothing disturbed."""
        self.run()
        self.compare()

    @rule()
    @precondition(lambda self: self.parts())
    def cut(self) -> None:
        """Cut a file of the output short."""
        part = self.parts()[0]
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])

    @rule()
    @precondition(lambda self: self.parts())
    def lose(self) -> None:
        """Delete a file of the output."""
        self.parts()[-1].unlink()

    @rule()
    @precondition(lambda self: (self.output / "__maezoo__" / "extract.json").exists())
    def ask_otherwise(self) -> None:
        """Other settings are refused, and change nothing."""
        before = {path: path.read_bytes() for path in self.parts()}
        with pytest.raises(OtherSettingsError, match="normalize was False, now True"):
            self.run(normalize=True)
        assert {path: path.read_bytes() for path in self.parts()} == before

    @invariant()
    def nothing_is_left(self) -> None:
        """No temporary file is left by an end of any kind."""
        assert not [path for path in self.output.rglob(".*") if path.suffix not in (".lock", ".pid")]

    def run(self, **more: object) -> "maezoo.extraction.ExtractResult":
        self.listed = self.listed or sorted(self.pictures.iterdir())
        return maezoo.extract(self.pictures, self.output, model=self.model, **(_SETTINGS | more))

    def compare(self) -> None:
        """Compare the rows with those of a fresh run over the same pictures."""
        fresh = self.folder / "fresh"
        (fresh / "pictures").mkdir(parents=True)
        for path in self.listed:
            shutil.copyfile(path, fresh / "pictures" / path.name)
        maezoo.extract(fresh / "pictures", fresh / "out", model=self.model, **_SETTINGS)
        assert _rows(self.output) == _rows(fresh / "out")
        shutil.rmtree(fresh)

    def parts(self) -> list[Path]:
        return sorted(self.output.glob("part-*.parquet"))


def _rows(output: Path) -> list[tuple[str, bytes]]:
    """The rows of an output, in their order."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(output.glob("part-*.parquet"))])
    vectors = [np.asarray(vector, np.float16).tobytes() for vector in table["embedding"].to_pylist()]
    return list(zip(table["id"].to_pylist(), vectors, strict=True))


def test_any_order_of_ends_and_damage_gives_the_rows_of_an_undisturbed_run(small):
    Extraction.model = small
    run_state_machine_as_test(
        Extraction,
        settings=settings(
            max_examples=8,
            stateful_step_count=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
