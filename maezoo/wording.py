"""Numbers as people read them."""

__all__ = ["bytes_text"]


def bytes_text(count: int | None) -> str:
    """Write a number of bytes for people.

    Example:
        >>> bytes_text(447_670_680), bytes_text(None)
        ('448 MB', 'unknown')
    """
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
