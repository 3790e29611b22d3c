"""From folders, lists and tar shards of images to Parquet: resumable, on one machine or on Ray.

`maezoo.extract` is this package, and calling it is `maezoo.extraction.run.extract`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.extraction.result import ExtractResult, Progress
    from maezoo.extraction.run import extract

__all__ = ["ExtractResult", "Progress", "extract"]

_HOMES = {"ExtractResult": "maezoo.extraction.result", "Progress": "maezoo.extraction.result"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)


class _Callable(ModuleType):
    """A module that runs when it is called: the function and its package have one name."""

    def __call__(self, *args: Any, **kwargs: Any) -> "ExtractResult":
        """Run `extract`."""
        from maezoo.extraction.run import extract

        return extract(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
if not TYPE_CHECKING:
    extract = sys.modules[__name__]
