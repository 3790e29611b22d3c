"""What `maezoo.verify` finds: for each weight, whether its file is here and is the one that was published."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maezoo.hub.cache import HubCache
from maezoo.hub.fetching import check_cached, hub_file, is_offline, locate
from maezoo.hub.verification import Check, check_file
from maezoo.manifest.entries import WeightsEntry
from maezoo.notebooks import html_table
from maezoo.wording import bytes_text

__all__ = ["VerifyReport", "VerifyResult", "verify_entries"]


@dataclass(frozen=True)
class VerifyResult:
    """What was found of one weight.

    Attributes:
        name: of the weight.
        status: `verified` (it has the published hash), `unchanged` (the published hash is not known here; it is as
            when it was first seen), `damaged`, or `absent`.
        path: its file.
        size: bytes.
        found: its hash.
        expected: the published hash.
        problem: what is wrong with it.
    """

    name: str
    status: str
    path: Path | None = None
    size: int | None = None
    found: str | None = None
    expected: str | None = None
    problem: str | None = None

    @classmethod
    def of(cls, name: str, check: Check) -> "VerifyResult":
        """Word a check."""
        status = "damaged" if not check.fine else "verified" if check.published else "unchanged"
        problem = None if check.fine else check.problem()
        return cls(name, status, check.path, check.size, check.found, check.expected, problem)


@dataclass(frozen=True)
class VerifyReport:
    """What was found of all that were asked for."""

    results: tuple[VerifyResult, ...]

    @property
    def fine(self) -> bool:
        """Whether every file is here and none is damaged."""
        return all(result.status in ("verified", "unchanged") for result in self.results)

    def __repr__(self) -> str:
        """Say in one line what is where."""
        return f"VerifyReport({', '.join(f'{r.name} {r.status}' for r in self.results) or 'no file is here'})"

    def _repr_html_(self) -> str:
        """Show the files in notebooks."""
        rows = [(r.name, r.status, bytes_text(r.size) if r.size else "", r.path, r.problem) for r in self.results]
        return html_table(rows, columns=("name", "status", ">size", "file", "problem")) if rows else repr(self)

    def to_data(self) -> list[dict[str, Any]]:
        """Return plain data, fit for JSON."""
        return [{**vars(result), "path": result.path and str(result.path)} for result in self.results]


def verify_entries(
    entries: Iterable[WeightsEntry], cache_dir: str | Path | None = None, *, skip_absent: bool = False
) -> VerifyReport:
    """Hash the files of entries; see `maezoo.verify`.

    Args:
        entries: of the manifest.
        cache_dir: huggingface_hub's cache when `None`.
        skip_absent: say nothing of those that are not here.
    """
    results = (_verify(entry, cache_dir) for entry in entries)
    return VerifyReport(tuple(result for result in results if not (skip_absent and result.status == "absent")))


def _verify(entry: WeightsEntry, cache_dir: str | Path | None) -> VerifyResult:
    """Hash the file of one entry."""
    path = locate(entry, cache_dir=cache_dir)
    if path is None:
        return VerifyResult(entry.name, "absent")
    if entry.package_file is not None:
        check = check_file(path, expected=entry.sha256, expected_size=entry.size, mode="always")
        return VerifyResult.of(entry.name, check)
    check = check_cached(hub_file(entry), path, HubCache.at(cache_dir), offline=is_offline(), mode="always")
    return VerifyResult.of(entry.name, check)
