"""The settings that decide what is in an output, and the file that records them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from typing import Any, Literal, get_args

from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError, DataError, OtherSettingsError
from maezoo.files import parse_json
from maezoo.images.preprocessing import Preprocessing
from maezoo.vocabulary import POOLS, Pool

__all__ = ["FOLDER", "RECORD", "Settings", "read_record", "versions"]

FOLDER = "__maezoo__"
"""Folder of an output for all but its Parquet files; readers of Parquet folders skip it because of its name."""
RECORD = "extract.json"
EmbeddingType = Literal["float16", "float32"]
_PACKAGES = {"maezoo": "maezoo", "torch": "torch", "timm": "timm", "pillow": "PIL", "pyarrow": "pyarrow"}


@dataclass(frozen=True)
class Settings:
    """All that the rows depend on. Runs on one output must have the same.

    Attributes:
        source: the source, absolute.
        model: `architecture.tag`, or another name of the model.
        sha256: of the weights' file, or of the tensors of a model without one.
        preprocess: the weights' preprocessing, with the window of this run.
        pool: which tokens.
        dtype: of the embeddings in the files.
        precision: of the computation.
        exact: JPEGs were decoded at full size.
        labels: labels were taken.
        limit: largest number of images.
        shard_size: images of one file.
        contents: changed images are recognised by their bytes, not by size and time.
        max_image_pixels: Pillow's limit; larger images are errors. `None` for no limit.
        load_truncated_images: Pillow fills up files that are cut short.
        columns: columns of the source that the user has named, by purpose.
        normalize: embeddings have length 1.
    """

    source: str
    model: str
    sha256: str
    preprocess: Mapping[str, Any]
    pool: Pool
    dtype: EmbeddingType
    precision: str
    exact: bool
    labels: bool
    limit: int | None
    shard_size: int
    contents: bool
    max_image_pixels: float | None
    load_truncated_images: bool
    columns: Mapping[str, str] = field(default_factory=dict)
    normalize: bool = False

    def __post_init__(self) -> None:
        """Refuse values that are not allowed."""
        if self.pool not in POOLS:
            raise ArgumentError.for_choice("pool", self.pool, POOLS)
        if self.dtype not in get_args(EmbeddingType):
            raise ArgumentError(
                f"dtype is 'float16' or 'float32', the embeddings' in the files; got {self.dtype!r}.", found=self.dtype
            )
        object.__setattr__(self, "shard_size", whole_number(self.shard_size, "shard_size"))
        if self.limit is not None:
            object.__setattr__(self, "limit", whole_number(self.limit, "limit"))

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become pixels."""
        return Preprocessing.from_dict(self.preprocess)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return asdict(self)

    def fingerprint(self, *about: str) -> str:
        """Return the mark of one run's files: a hash of the settings and of what else they depend on."""
        text = json.dumps([self.to_dict(), *about], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def check_same(self, old: Mapping[str, Any], where: str) -> None:
        """Refuse to resume an output that was begun with other settings.

        Raises:
            OtherSettingsError: the message names each difference; `expected` and `found` have the old and new values.
        """
        ours, old = _flat(json.loads(json.dumps(self.to_dict()))), _flat(old)
        keys = [key for key in {**ours, **old} if ours.get(key) != old.get(key)]
        if not keys:
            return
        differences = "; ".join(f"{key} was {old.get(key)!r}, now {ours.get(key)!r}" for key in keys)
        raise OtherSettingsError(
            f"{where} was begun with other settings: {differences}. Use the old ones, or name another output.",
            expected={key: old.get(key) for key in keys},
            found={key: ours.get(key) for key in keys},
        )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of a setting by a name of their own, such as `preprocess.window`."""
    flat: dict[str, Any] = {"preprocess.window": "full"}  # which is not written
    for key, value in settings.items():
        flat |= {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def read_record(data: bytes, where: str) -> dict[str, Any]:
    """Read the record of an earlier run.

    Raises:
        DataError: it is not what a run wrote.
    """
    try:
        record = parse_json(data)
        if isinstance(record["settings"], dict) and isinstance(record["items"], str):
            return dict(record)
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError.about(
        f"{where}/{FOLDER}/{RECORD}", "is not what an extraction writes. Move it away, or name another output."
    )


def versions() -> dict[str, str]:
    """Return the versions that the rows may depend on."""
    return {name: _version(name, module) for name, module in _PACKAGES.items()}


def _version(name: str, module: str) -> str:
    """Return the version of a package, which may be imported without being installed, as from a checkout."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return str(getattr(import_module(module), "__version__", "unknown"))
