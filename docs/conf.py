"""The documentation site: sphinx-build -W -n docs build/site."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import truez

project = "truez"
author = copyright = "truez developers"
version = release = truez.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "generated",
]
root_doc = "index"
exclude_patterns = ["_ext", "_static"]
highlight_language = "none"  # of indented blocks, which are commands, equations and output
nitpicky = True
smartquotes = False  # -- begins an option, and quotes are typed in a shell
# What stands in single backticks in a docstring may also be a parameter or a private name.
default_role = "py:obj"
nitpick_ignore_regex = [("py:.*", ".*")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have them, with shapes and units
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
# Notebooks are run by Read the Docs, and where TRUEZ_NOTEBOOKS is "force".
on_read_the_docs = os.environ.get("READTHEDOCS") == "True"
nb_execution_mode = os.environ.get("TRUEZ_NOTEBOOKS", "force" if on_read_the_docs else "off")
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

html_theme = "furo"
html_title = f"truez {release}"
html_static_path = ["_static"]
html_css_files = ["truez.css"]
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
