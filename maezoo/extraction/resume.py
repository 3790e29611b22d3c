"""A run begins, or the one that an output holds is resumed."""

import logging
import re

from maezoo.errors import DataError
from maezoo.extraction.items import ITEMS, Items
from maezoo.extraction.job import Job, json_bytes
from maezoo.extraction.settings import FOLDER, RECORD, Settings, read_record, versions
from maezoo.extraction.sources import file_endings, nothing_found
from maezoo.extraction.store import Store

__all__ = ["open_job"]

_LEFT_OVER = re.compile(  # temporary files of a run that was killed
    r"\.(part-\d{6}|begun-\d{6}|errors|extract|items|pending)"
    r"(-[a-z0-9_]{8,16}\.(arrow|json|parquet)|\.(arrow|json|parquet)\.[0-9a-f]{8}\.unfinished)"
)
_log = logging.getLogger(__name__)


def open_job(store: Store, records: Store, where: str, settings: Settings, found: Items, width: int) -> Job:
    """Begin a run, or resume the one that the output holds.

    Args:
        store: the output, held by this process alone.
        records: the folder in it for all but its Parquet files.
        where: the output's name in messages.
        settings: of the run.
        found: the images of the source as it is now; a resumed run keeps the list that it began with.
        width: D of the embeddings, for the record.

    Raises:
        DataError: no images, other settings, or an output that holds something else.
    """
    if RECORD in records.names():
        return _resume(store, records, where, settings, found)
    if any(name.startswith("part-") for name in store.names()):
        raise DataError.about(
            where, f"holds part-… files but no {FOLDER}/{RECORD}. Name another output, or move them away."
        )
    if not len(found):
        raise nothing_found(settings.source, file_endings(settings.preprocessing))
    record = {
        "settings": settings.to_dict(),
        "items": found.fingerprint(),
        "width": width,
        "versions": versions(),
        "complete": False,
        "counts": {"images": len(found), "rows": 0, "errors": 0, "pending": 0},
    }
    records.write(ITEMS, found.to_bytes())
    records.write(RECORD, json_bytes(record))
    return Job(store, records, where, settings, found, record)


def _resume(store: Store, records: Store, where: str, settings: Settings, found: Items) -> Job:
    """Resume a run, with the list of images that it began with."""
    record = read_record(records.read(RECORD), where)
    settings.check_same(record["settings"], where)
    items = Items.from_bytes(records.read(ITEMS))
    if items.fingerprint() != record["items"]:
        raise DataError(
            f"{where}/{FOLDER}/{ITEMS} is not the list that the run began with. Name another output.", path=where
        )
    for folder in (store, records):
        for name in filter(_LEFT_OVER.fullmatch, folder.names()):
            folder.remove(name)
    if not found.table.equals(items.table):
        items = _updated(records, items, found, settings.source, same=found.fingerprint() == record["items"])
    if record["versions"] != versions():
        _log.warning("%s was begun with %s, and continues with %s.", where, record["versions"], versions())
    return Job(store, records, where, settings, items, record)


def _updated(records: Store, items: Items, found: Items, source: str, *, same: bool) -> Items:
    """Keep the list, with its images as they are now, and warn of what has changed."""
    items, changes = items.updated(found)
    if not same and not changes.added and not changes.gone:
        _log.warning("%s has other labels or columns than when this run began; it keeps those it began with.", source)
    elif not same:
        _log.warning(
            "%s has changed since this run began: %d images are new, %d are gone. The run keeps its list: files "
            "deleted meanwhile are reported as errors, new files are ignored; extract those to another output.",
            *(source, changes.added, changes.gone),
        )
    if changes.changed:
        _log.warning(
            "%d images of %s have changed since they were listed; the files of the output that hold them are made "
            "again, from the images as they are now.",
            *(changes.changed, source),
        )
    records.write(ITEMS, items.to_bytes())
    return items
