"""Sphinx's settings: `sphinx-build -W docs build/html`, with caffe2op[docs] installed."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "caffe2op"
author = "the caffe2op developers"
release = version = metadata.version("caffe2op")

extensions = [
    "myst_parser",  # pages are Markdown, like the README
    "sphinx.ext.autodoc",  # the reference comes from the docstrings
    "sphinx.ext.napoleon",  # "Args:" in them
    "operators_table",  # so does the table of operators
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}

autodoc_mock_imports = ["jax", "tensorflow", "torch"]  # for interop's reference

html_theme = "furo"
html_title = "caffe2op"
