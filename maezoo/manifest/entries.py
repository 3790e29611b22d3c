"""`weights_manifest.json` as frozen dataclasses. No torch here."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import cast

from maezoo.errors import ArgumentError, ManifestError, UnknownModelError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.checks import Repeated, entry_problem, read_bounded_json
from maezoo.manifest.entry import WeightsEntry
from maezoo.manifest.names import is_entry_name, matches, short
from maezoo.model.facts import Facts
from maezoo.model.variants import VARIANTS
from maezoo.paths import user_path
from maezoo.vocabulary import FIELDS, Part

__all__ = ["Manifest", "WeightsEntry", "load_manifest", "read_manifest"]

SCHEMA_VERSION = 1
_LARGEST = 16 * 2**20  # bytes of a manifest
ENVIRONMENT = "MAEZOO_MANIFEST"


@dataclass(frozen=True)
class Manifest:
    """All entries, and which tag a bare architecture name stands for."""

    entries: Mapping[str, WeightsEntry]
    defaults: Mapping[str, str]
    path: Path | None = None

    def find(self, name: str) -> WeightsEntry:
        """Return the entry of `architecture.tag`, or of the default tag of a bare architecture.

        Raises:
            UnknownModelError: no such entry; the message has the closest names.
            ArgumentError: no text.
        """
        if not isinstance(name, str):
            message = f"a name of weights is a text, such as 'mae_vit_base'; got {name!r}."
            raise ArgumentError(message, found=name)
        full = f"{name}.{self.defaults[name]}" if name in self.defaults else name
        if full not in self.entries:
            if name in VARIANTS:
                message = f"{name} has no pretrained weights here; these have: {', '.join(self.defaults)}."
                raise UnknownModelError(message, found=name, expected=tuple(self.defaults))
            raise UnknownModelError.for_name(name, [*self.entries, *self.defaults])
        return self.entries[full]

    def select(
        self, pattern: str = "*", field: str | None = None, commercial: bool | None = None
    ) -> list[WeightsEntry]:
        """Return the entries by a shell-style pattern of names, by field, and by whether commercial use is allowed.

        Raises:
            ArgumentError: an unknown field, or a pattern that is no text.

        Example:
            >>> {entry.field for entry in load_manifest().select(field="audio")}
            {'audio'}
        """
        if field is not None and field not in FIELDS:
            raise ArgumentError.for_choice("field", field, FIELDS)
        return [
            entry
            for name, entry in self.entries.items()
            if matches(name, pattern) and field in (None, entry.field) and commercial in (None, not entry.noncommercial)
        ]

    def with_decoder(self, architecture: str) -> list[str]:
        """Return the names of an architecture's entries that can reconstruct."""
        return [e.name for e in self.entries.values() if e.architecture == architecture and e.has_decoder]


def load_manifest() -> Manifest:
    """Return the manifest in force: the file that `MAEZOO_MANIFEST` names, else the packaged one.

    Raises:
        ManifestError: the file cannot be read, or an entry is wrong; the message names entry and field.

    Example:
        >>> load_manifest().find("mae_vit_base").name
        'mae_vit_base.in1k_pixel'
    """
    override = os.environ.get(ENVIRONMENT)
    path = user_path(override) if override else _packaged_manifest()
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        message = f"cannot read the manifest {path}: {error.strerror}. Correct or unset {ENVIRONMENT}."
        raise ManifestError(message, path=path, reason=error.strerror) from error
    return _cached_manifest(path, stamp)


@functools.lru_cache(maxsize=4)
def _cached_manifest(path: Path, stamp: int) -> Manifest:
    """Read a manifest once for each state of its file."""
    return read_manifest(path)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest file.

    Raises:
        ManifestError: no JSON, more than 16 MB, another schema version, or a wrong entry; the message names entry and
            field.
    """
    try:
        data = read_bounded_json(path, _LARGEST)
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read the manifest {path}: {error}.", path=path, reason=str(error)) from error
    if isinstance(data, Repeated):
        raise _wrong(path, short(data.key), "is given twice")
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        found = data.get("schema_version") if isinstance(data, dict) else type(data).__name__
        raise _wrong(path, "schema_version", f"must be {SCHEMA_VERSION}, found {short(found)}")
    weights, defaults = data.get("weights"), data.get("defaults", {})
    for field_name, value in (("weights", weights), ("defaults", defaults)):
        if isinstance(value, Repeated):
            raise _wrong(path, f"{field_name}[{short(value.key)}]", "is given twice")
    if not isinstance(weights, dict) or not isinstance(defaults, dict):
        raise _wrong(path, "'weights' and 'defaults'", "must be objects")
    entries = {name: _parse_entry(path, name, fields) for name, fields in weights.items()}
    for architecture, tag in defaults.items():
        if f"{architecture}.{tag}" not in entries:
            where = f"defaults[{short(architecture)}] = {short(tag)},"
            raise _wrong(path, where, "but no entry is called by the two with a dot between")
    return Manifest(MappingProxyType(entries), MappingProxyType(defaults), path)


def _wrong(path: Path, where: str, problem: str) -> ManifestError:
    """Word the error for what is wrong at one place of a manifest."""
    return ManifestError(f"{path}: {where} {problem}.", path=path, found=where, reason=problem)


def _packaged_manifest() -> Path:
    """Return the manifest in the installed package, or at the top of a source checkout."""
    packaged = Path(str(resources.files("maezoo"))) / "weights_manifest.json"
    return packaged if packaged.exists() else packaged.parent.parent / packaged.name


def _parse_entry(path: Path, name: str, fields: object) -> WeightsEntry:
    """Read one entry, naming it and the field in any error."""
    if not is_entry_name(name):
        raise _wrong(path, f"weights[{short(name)}]", "must be called architecture.tag, of letters, digits, _ and -")
    where = f"weights[{name!r}]"
    if isinstance(fields, Repeated):
        raise _wrong(path, f"{where}.{short(fields.key)}", "is given twice")
    if not isinstance(fields, dict):
        raise _wrong(path, where, "must be an object")
    if wrong := entry_problem(name, fields):
        raise _wrong(path, f"{where}.{wrong[0]}", wrong[1])
    groups = {key: fields.get(key, {}) for key in ("preprocess", "facts")}
    said = {key: {name: value for name, value in groups[key].items() if value is not None} for key in groups}
    try:
        preprocess = Preprocessing.from_dict(said["preprocess"])
    except ValueError as error:
        raise _wrong(path, f"{where}.preprocess", f"is wrong: {str(error)[:200]}") from error
    plain = {key: value for key, value in fields.items() if key not in ("parts", *groups)}
    return WeightsEntry(
        name=name,
        parts=cast(tuple[Part, ...], tuple(fields["parts"])),
        preprocess=preprocess,
        facts_of_model=Facts(**said["facts"]),
        unstated=tuple(f"{key}.{name}" for key in groups for name, value in groups[key].items() if value is None),
        **plain,
    )
