"""What a run was asked for, as far as it decides what is in the output; and the file that remembers it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal, get_args

from maezoo.errors import DataError
from maezoo.vocabulary import POOLS, Pool

__all__ = ["RECORD", "Settings", "read_record", "versions"]

RECORD = "extract.json"
EmbeddingType = Literal["float16", "float32"]
_PACKAGES = ("maezoo", "torch", "timm", "pillow", "pyarrow")


@dataclass(frozen=True)
class Settings:
    """All that the rows depend on. Two runs on one output must agree in it.

    Attributes:
        source: the source, absolute.
        model: `architecture.tag`, or what else the model is called.
        sha256: of the weights' file, or of the tensors of a model that has none.
        preprocess: the weights' preprocessing.
        pool: which tokens.
        dtype: of the embeddings in the files.
        precision: of the computation.
        exact: JPEGs were decoded at full size.
        labels: labels were taken.
        limit: at most so many images.
        shard_size: images of one file.
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

    def __post_init__(self) -> None:
        """Refuse values that stand for nothing."""
        if self.pool not in POOLS:
            raise ValueError(f"pool is one of {', '.join(map(repr, POOLS))}; got {self.pool!r}.")
        if self.dtype not in get_args(EmbeddingType):
            raise ValueError(f"dtype is 'float16' or 'float32', the embeddings' in the files; got {self.dtype!r}.")
        if self.shard_size < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError(
                f"shard_size and limit are at least 1; got shard_size={self.shard_size} and limit={self.limit}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return asdict(self)

    def fingerprint(self, items: str) -> str:
        """Return what marks the files of one run: a hash of the settings and of the items' fingerprint."""
        text = json.dumps([self.to_dict(), items], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def check_same(self, old: Mapping[str, Any], where: str) -> None:
        """Refuse to go on with an output that was begun with other settings.

        Raises:
            DataError: the message names each difference.
        """
        ours = json.loads(json.dumps(self.to_dict()))
        keys = [key for key in {**ours, **old} if ours.get(key) != old.get(key)]
        if not keys:
            return
        differences = "; ".join(f"{key} was {old.get(key)!r}, now {ours.get(key)!r}" for key in keys)
        raise DataError(
            f"{where} was begun with other settings: {differences}. Use the old ones to go on, or name another output."
        )


def read_record(data: bytes, where: str) -> dict[str, Any]:
    """Read the record of an earlier run.

    Raises:
        DataError: it is not what a run wrote.
    """
    try:
        record = json.loads(data)
        if isinstance(record["settings"], dict) and isinstance(record["items"], str):
            return dict(record)
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{where}/{RECORD} is not what an extraction writes. Move it away, or name another output.")


def versions() -> dict[str, str]:
    """Return the versions that the rows may depend on."""
    return {name: metadata.version(name) for name in _PACKAGES}
