"""What commands print with: results on standard output, all else on standard error."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["bytes_text", "errors", "print_json", "results", "table"]

results = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Print data as JSON, for programs."""
    print(json.dumps(data, indent=2, default=str))


def table(*columns: str, title: str | None = None) -> Table:
    """Make an empty table; a column whose name starts with ">" is aligned right."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    return made


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
