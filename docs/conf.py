"""How Sphinx builds the site: `make docs`, or `sphinx-build -W docs out/docs`. Commands of the tour run while it is built."""
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "extensions")]

from fastcnn.version import __version__  # noqa: E402

project, author, release = "fastcnn", "the authors of fastcnn", __version__
copyright = "the authors of fastcnn, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "plain_docstrings", "shown_commands", "measured"]
exclude_patterns = ["generated/*"]

myst_heading_anchors = 3
smartquotes = False
suppress_warnings = ["myst.header"]             # parts of READMEs begin with headings of the second level

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"fastcnn {release}"
html_show_sphinx = False
