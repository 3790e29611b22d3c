"""What `maezoo.verify` finds: for each weight, whether its file is here and is the one that was published."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maezoo.errors import IntegrityError, LayoutError
from maezoo.hub.cache import HubCache
from maezoo.hub.fetching import hub_file, locate
from maezoo.hub.files import check_cached, is_offline
from maezoo.hub.models import shards_of
from maezoo.hub.pickles import check_copy, find_copy, record_of_copy
from maezoo.hub.verification import Check, Record, check_file, read_record
from maezoo.manifest.entries import WeightsEntry
from maezoo.notebooks import html_table
from maezoo.wording import bytes_text

__all__ = ["VerifyReport", "VerifyResult", "last_check", "verify_entries"]


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
    def of(cls, name: str, *checks: Check) -> "VerifyResult":
        """Word the checks of a weight's files, the one that is loaded first."""
        bad = [check for check in checks if not check.fine]
        shown = (bad or checks)[0]
        status = "damaged" if bad else "verified" if all(check.published for check in checks) else "unchanged"
        size = sum(check.size for check in checks)
        return cls(name, status, shown.path, size, shown.found, shown.expected, shown.problem() if bad else None)


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
    return VerifyReport(tuple(result for result in results if not (skip_absent and result.path is None)))


def last_check(entry: WeightsEntry, path: Path, cache_dir: str | Path | None = None) -> Record | None:
    """Return what is remembered of the last check of an entry's file.

    Args:
        entry: of the manifest.
        path: of its file on this machine, as `locate` gives it.
        cache_dir: huggingface_hub's cache when `None`.
    """
    if entry.package_file is not None:
        return read_record(path)
    file, cache = hub_file(entry), HubCache.at(cache_dir)
    return read_record(path, record_of_copy(path) if path == find_copy(file, cache) else cache.record(file))


def _verify(entry: WeightsEntry, cache_dir: str | Path | None) -> VerifyResult:
    """Hash the file of one entry."""
    path = locate(entry, cache_dir=cache_dir)
    if path is None:
        return VerifyResult(entry.name, "absent")
    if entry.package_file is not None:
        check = check_file(path, expected=entry.sha256, expected_size=entry.size, mode="always")
        return VerifyResult.of(entry.name, check)
    try:
        checks, lacking = _check_all(entry, HubCache.at(cache_dir))
    except (IntegrityError, LayoutError) as error:  # an index or a copy that cannot be read
        where = Path(error.path) if error.path else path
        return VerifyResult(entry.name, "damaged", where, where.stat().st_size, problem=str(error))
    if lacking:
        return VerifyResult(entry.name, "absent", path, problem=f"{', '.join(lacking)} not here")
    return VerifyResult.of(entry.name, *checks)


def _check_all(entry: WeightsEntry, cache: HubCache) -> tuple[list[Check], list[str]]:
    """Hash all files of an entry that are in the cache; also return the names of those that are not."""
    file = hub_file(entry)
    copy, published = find_copy(file, cache), cache.find(file)
    checks = [check_copy(entry, copy, mode="always")] if copy is not None else []
    lacking = []
    for each in (file, *shards_of(file, published)) if published is not None else ():
        path = cache.find(each)
        if path is None:
            lacking.append(each.filename)
        else:
            checks.append(check_cached(each, path, cache, offline=is_offline(), mode="always"))
    return checks, lacking
