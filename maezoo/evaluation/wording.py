"""The settings of an evaluation in plain words."""

from collections.abc import Mapping
from typing import Any

__all__ = ["settings_text", "share_text"]

_CHOSEN = {
    "given": "as given",
    "held-out fifth": "chosen on a held-out fifth",
    "default": "the default: too few images to choose it on",
}


def settings_text(settings: Mapping[str, Any]) -> str:
    """Say what a score or a probe was made with.

    Example:
        >>> settings_text({"strength": 1.0, "chosen": "held-out fifth", "converged": True})
        'C = 1.0, chosen on a held-out fifth; converged'
        >>> settings_text({"k": 20, "temperature": 0.07, "similarity": "cosine"})
        '20 neighbours by cosine, temperature 0.07'
    """
    if "classifier" in settings:
        return f"answers of {settings['classifier']}"
    if "strength" not in settings:
        return f"{settings['k']} neighbours by {settings['similarity']}, temperature {settings['temperature']}"
    strengths = settings["strength"] if isinstance(settings["strength"], list) else [settings["strength"]]
    span = " to ".join(map(str, sorted({min(strengths), max(strengths)})))
    where = " in each fold" if settings.get("folds") and settings["chosen"] == "held-out fifth" else ""
    converged = settings["converged"]
    end = "converged" if converged is True else "the solver did not converge: raise max_iterations (--max-iterations)"
    return f"C = {span}, {_CHOSEN.get(str(settings['chosen']), 'partly chosen')}{where}; {end}"


def share_text(value: float | None) -> str:
    """Write a share in percent; `-` where there is none.

    Example:
        >>> share_text(0.5), share_text(None)
        ('50.0%', '-')
    """
    return "-" if value is None else f"{value:.1%}"
