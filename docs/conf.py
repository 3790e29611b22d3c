"""The documentation site: `python -m sphinx -W docs site`. CONTRIBUTING.md has the other commands."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import gallery  # noqa: E402 - it is in _ext
import inventories  # noqa: E402

from maezoo import __version__  # noqa: E402

project = "maezoo"
author = "The maezoo founders"
copyright = "2026, " + author
version = release = __version__

extensions = [
    "myst_nb",  # Markdown, and notebooks with the outputs that are stored in them
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "layers",
    "links",
    "reference",
    "weights_tables",
]
exclude_patterns = ["_build", "_examples", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
suppress_warnings = ["config.cache"]  # the gallery's settings hold functions

# furo: the whole map stands in one side bar, dark colours and phones need no settings, and its pages ask no other
# server for fonts or scripts.
html_theme = "furo"
html_title = f"maezoo {version}"
pygments_dark_style = "monokai"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4  # the anchors that GitHub makes
nb_execution_mode = "off"  # the tests run the notebooks
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # no widgets, so no scripts from elsewhere
default_role = "code"  # single backticks in docstrings
highlight_language = "text"  # blocks without a language are commands or outputs
copybutton_exclude = ".linenos, .gp, .go"

autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "member-order": "bysource"}
maximum_signature_line_length = 90  # longer signatures have a line for each argument
python_use_unqualified_type_names = True
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes are a list, not entries of their own
add_module_names = False

# Names of other projects lead to their pages. `-t online` fetches the full inventories, as a build with a network can;
# without it, and where one cannot be fetched, the few names in _ext/inventories.py do: no build needs a network.
intersphinx_mapping = inventories.mapping(online=tags.has("online"))  # type: ignore[name-defined]  # noqa: F821
intersphinx_timeout = 10

sphinx_gallery_conf = gallery.settings(HERE)

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]  # its anchors are made by scripts
linkcheck_ignore = [r"http://127\.0\.0\.1.*", r"http://localhost.*"]
