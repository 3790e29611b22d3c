"""The Figure that plots return: a notebook shows it as a picture."""

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["ShownFigure"]


class ShownFigure(Figure):
    """A matplotlib Figure that shows itself as the last line of a notebook's cell.

    It belongs to no window and not to pyplot, so nothing else shows it a second time.
    """

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG. Under `%matplotlib inline` IPython takes matplotlib's own way instead."""
        picture = BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()
