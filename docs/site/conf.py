"""Sphinx's configuration. The sources are those that assemble.py puts together."""

import logging
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import zmq  # noqa: E402
from jupyter_client.manager import KernelManager  # noqa: E402

import gallery  # noqa: E402
import tapegrad  # noqa: E402

project = "tapegrad"
author = "tapegrad contributors"
version = release = tapegrad.__version__
html_title = "tapegrad"
html_show_copyright = False
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "docstring_markup",
]
exclude_patterns = ["gallery/*.ipynb", "gallery/*.py", "sg_execution_times.rst"]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"
templates_path: list[str] = []

myst_enable_extensions = ["dollarmath", "colon_fence", "fieldlist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "_build" / "executed")
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"

sphinx_gallery_conf = gallery.CONF
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(?!tapegrad)")
logging.getLogger("tapegrad.jit").setLevel(logging.ERROR)
logging.getLogger("traitlets").setLevel(logging.WARNING)  # else it tells of each tutorial that it runs
if hasattr(KernelManager, "transport_encryption") and zmq.has("curve"):
    # Else the kernel of each tutorial warns that others on this machine could listen to it.
    KernelManager.transport_encryption.default_value = "auto"
