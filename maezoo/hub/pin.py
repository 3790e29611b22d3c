"""`maezoo manifest pin`: the hub's own hashes, sizes and commits, written into a manifest where it has none."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maezoo.errors import OfflineError
from maezoo.files import written_whole
from maezoo.hub.client import HubUnreachableError, RemoteFile
from maezoo.hub.fetching import hub_file
from maezoo.hub.transfer import ask
from maezoo.manifest.entries import WeightsEntry, read_manifest
from maezoo.paths import user_path

__all__ = ["Pin", "pin_manifest"]


@dataclass(frozen=True)
class Pin:
    """What the hub said of an entry.

    Attributes:
        name: of the entry.
        filled: fields that were null, or a moving revision, and what the hub says.
        conflicts: fields with another value than the hub's; they are left alone.
    """

    name: str
    filled: dict[str, Any]
    conflicts: dict[str, Any]


def pin_manifest(path: Path, output: Path | None = None) -> list[Pin]:
    """Fill in what a manifest does not know of its files on the hub.

    Args:
        path: the manifest.
        output: where to write; over the manifest itself when `None`.

    Returns:
        What was filled in, and what the hub contradicts, for each entry on the hub.

    Raises:
        ManifestError: the manifest is wrong.
        WeightsNotFoundError, OfflineError: the hub lacks a file, or cannot be asked.
    """
    path = user_path(path)
    manifest = read_manifest(path)
    entries = [entry for entry in manifest.entries.values() if entry.repo_id is not None]
    try:
        pins = [_pin(entry, ask(hub_file(entry))) for entry in entries]
    except HubUnreachableError as error:
        raise OfflineError(f"{error}. Pinning a manifest needs the hub.", path=path, reason=str(error)) from error
    if output is None and not any(pin.filled for pin in pins):
        return pins
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    for pin in pins:
        data["weights"][pin.name].update(pin.filled)
    with written_whole(output or path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return pins


def _pin(entry: WeightsEntry, remote: RemoteFile) -> Pin:
    """Compare an entry with what the hub says."""
    said = {"sha256": remote.sha256, "size": remote.size, "revision": remote.commit}
    known = {"sha256": entry.sha256, "size": entry.size, "revision": entry.revision}
    if len(entry.revision or "") != 40:  # a branch or a ref moves
        known["revision"] = None
    news = {field: value for field, value in said.items() if value is not None and value != known[field]}
    return Pin(
        entry.name,
        {field: value for field, value in news.items() if known[field] is None},
        {field: value for field, value in news.items() if known[field] is not None},
    )
