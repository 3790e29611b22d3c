"""`weights_manifest.json` as frozen dataclasses. No torch here."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from maezoo.errors import ManifestError, UnknownModelError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.checks import Repeated, entry_problem, read_bounded_json
from maezoo.manifest.names import is_entry_name, short
from maezoo.model.facts import Facts
from maezoo.model.variants import VARIANTS, find_variant
from maezoo.notebooks import html_table
from maezoo.paths import user_path
from maezoo.vocabulary import Layout, Part, Target
from maezoo.wording import bytes_text

__all__ = ["Manifest", "WeightsEntry", "load_manifest", "read_manifest"]

SCHEMA_VERSION = 1
_LARGEST = 16 * 2**20  # bytes of a manifest
ENVIRONMENT = "MAEZOO_MANIFEST"


@dataclass(frozen=True)
class WeightsEntry:
    """All that is known of one published weight; `None` for what is not known.

    Attributes:
        name: `architecture.tag`.
        architecture: the architecture's name.
        repo_id: the hub's repository; `None` for a file inside the package.
        revision: the commit of that repository (or the ref, where its commit is unknown).
        filename: the file in that repository.
        package_file: the file inside the package, in place of a repository.
        size: bytes.
        sha256: 64 hex digits.
        layout: how the file names its tensors.
        parts: what it holds.
        target: what its decoder was trained to predict; also the training of an encoder alone.
        preprocess: how images are prepared for it.
        license: as stated where the file is published.
        license_note: where sources disagree.
        noncommercial: the licence, or a plausible reading of it, forbids commercial use.
        source_url: the page of the file.
        paper: the paper's page.
        metrics: published or measured numbers, each with its source.
        training: how it came to be, where that is known: data, command, views, time, machine.
        num_params: parameters, fixed positions included.
        notes: what else a user should know.
    """

    name: str
    architecture: str
    layout: Layout
    parts: tuple[Part, ...]
    target: Target
    preprocess: Preprocessing
    license: str
    num_params: int
    repo_id: str | None = None
    revision: str | None = None
    filename: str | None = None
    package_file: str | None = None
    size: int | None = None
    sha256: str | None = None
    license_note: str | None = None
    noncommercial: bool = False
    source_url: str | None = None
    paper: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    notes: str | None = None

    @property
    def tag(self) -> str:
        """The part of the name after the dot."""
        return self.name.removeprefix(f"{self.architecture}.")

    @property
    def has_decoder(self) -> bool:
        """Whether the file can reconstruct."""
        return "decoder" in self.parts

    @property
    def facts_of_model(self) -> Facts:
        """What the weights ask of the model."""
        return find_variant(self.architecture).facts

    @property
    def url(self) -> str | None:
        """The page of the file's repository at its revision, on the public hub."""
        return f"https://huggingface.co/{self.repo_id}/tree/{self.revision}" if self.repo_id else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data in the manifest's own shape, with the name."""
        data = {key: getattr(self, key) for key in self.__dataclass_fields__}
        return {
            **data,
            "parts": list(self.parts),
            "preprocess": self.preprocess.to_dict(),
            "metrics": dict(self.metrics),
            "training": dict(self.training),
        }

    def facts(self) -> list[tuple[str, str]]:
        """List what is known, for people, as (label, text)."""
        size, resize, interpolation = self.preprocess.size, self.preprocess.resize, self.preprocess.interpolation
        metrics = [("metrics", f"{name}: {_metric(value)}") for name, value in self.metrics.items()]
        facts = [
            ("name", self.name),
            ("holds", " + ".join(self.parts)),
            ("target", {"pixel": "pixels", "normpix": "pixels normalised per patch"}[self.target]),
            ("parameters", f"{self.num_params:,}"),
            ("input", f"{size[0]}x{size[1]}, {resize}, {interpolation}"),
            ("file", self.package_file or f"{self.filename} of {self.repo_id} at {self.revision}"),
            ("size", bytes_text(self.size)),
            ("sha256", self.sha256 or "not known; the hub's own is used"),
            ("licence", self.license + (" (non-commercial)" if self.noncommercial else "")),
            ("licence note", self.license_note or ""),
            ("source", self.source_url or ""),
            ("paper", self.paper or ""),
            *(metrics or [("metrics", "not measured")]),
            *(("training", f"{name}: {value}") for name, value in self.training.items()),
            ("notes", self.notes or ""),
        ]
        return [(label, text) for label, text in facts if text]

    def __repr__(self) -> str:
        """Say it in one line."""
        (h, w), millions = self.preprocess.size, self.num_params / 1e6
        facts = (
            self.name,
            " + ".join(self.parts),
            self.target,
            f"{h}x{w}",
            f"{millions:.1f} M parameters",
            self.license,
        )
        return f"WeightsEntry({', '.join(facts)})"

    def _repr_html_(self) -> str:
        """Show all that is known in notebooks."""
        return html_table(self.facts())


def _metric(value: Any) -> str:
    """Write a metric with its source."""
    return f"{value['value']} ({value['source']})" if isinstance(value, dict) and "value" in value else str(value)


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
        """
        full = f"{name}.{self.defaults[name]}" if name in self.defaults else name
        if full not in self.entries:
            if name in VARIANTS:
                message = f"{name} has no pretrained weights here; these have: {', '.join(self.defaults)}."
                raise UnknownModelError(message, found=name, expected=tuple(self.defaults))
            raise UnknownModelError.for_name(name, [*self.entries, *self.defaults])
        return self.entries[full]

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
    try:
        preprocess = Preprocessing.from_dict(fields["preprocess"])
    except ValueError as error:
        raise _wrong(path, f"{where}.preprocess", f"is wrong: {str(error)[:200]}") from error
    plain = {key: value for key, value in fields.items() if key not in ("parts", "preprocess")}
    return WeightsEntry(name=name, parts=cast(tuple[Part, ...], tuple(fields["parts"])), preprocess=preprocess, **plain)
