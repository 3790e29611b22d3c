"""How many images of a run may fail, and the error for more."""

import math
from collections.abc import Sequence

from maezoo.errors import ArgumentError, TooManyErrorsError
from maezoo.extraction.failures import Failure
from maezoo.extraction.result import Progress
from maezoo.extraction.settings import FOLDER

__all__ = ["most_errors", "too_many_errors"]


def most_errors(allowed: int | str | None, images: int) -> int:
    """Return how many images may fail.

    Args:
        allowed: a number, a share such as `"1%"`, or `None` for any number.
        images: found.

    Raises:
        ArgumentError: neither.

    Example:
        >>> most_errors("1%", 250), most_errors("10", 250), most_errors(None, 250)
        (2, 10, 250)
    """
    if allowed is None:
        return images
    text = str(allowed).strip()
    try:
        value = float(text.removesuffix("%")) if text.endswith("%") else int(text)
    except ValueError:
        value = -1
    if isinstance(allowed, bool) or not 0 <= value < math.inf or (text.endswith("%") and value > 100):
        raise ArgumentError(
            f"max_errors is a number of images, such as 10, or a share of them, such as '1%'; got {allowed!r}.",
            found=allowed,
        )
    return math.floor(images * value / 100) if text.endswith("%") else int(value)


def too_many_errors(where: str, failures: Sequence[Failure], at: Progress, most: int) -> TooManyErrorsError:
    """Return the error for a run in which too many images failed."""
    first = "; ".join(f"{failure.id} ({failure.error}: {failure.message[:80]})" for failure in failures[:3])
    return TooManyErrorsError(
        f"{at.errors:,} of the first {at.done:,} images failed, and max_errors allows {most:,}: {first}. All "
        f"are listed in {where}/{FOLDER}. What is done is kept: the same command with a larger max_errors continues.",
        path=where,
        expected=most,
        found=at.errors,
    )
