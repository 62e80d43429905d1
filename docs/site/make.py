"""Build the documentation site into docs/_build/html. Run: python docs/site/make.py (or `make docs`)

`assemble.py` puts the sources together under docs/_build/source, and Sphinx builds them, with warnings as errors.
Further arguments go to Sphinx: `-D plot_gallery=0` runs no example, `-D nb_execution_mode=off` no tutorial.
PYODIDE in the environment says where the live page gets Pyodide from; by default, the folder live/pyodide of the site.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from assemble import assemble
from offline import requests_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "docs" / "_build"
HTML = BUILD / "html"
# One thread for each kernel of a tutorial; no window for pictures.
ENVIRONMENT = {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def sphinx(arguments: list[str]) -> int:
    from sphinx.cmd.build import main

    options = ["-b", "html", "-c", str(HERE), "-d", str(BUILD / "doctrees"), "-W", "--keep-going", "-q"]
    return main([*options, str(BUILD / "source"), str(HTML), *arguments])


def sweep() -> None:
    """Remove pages of an earlier build whose source is gone."""
    for page in HTML.rglob("*.html"):
        name = page.relative_to(HTML).with_suffix("")
        sources = (BUILD / "source" / name).parent.glob(f"{name.name}.*")
        made = {"_modules", "live"} & set(name.parts) or name.name in ("genindex", "search", "py-modindex")
        if not made and not any(source.suffix in (".md", ".rst") for source in sources):
            page.unlink()


def live() -> None:
    """Give the live page its wheel, and the address of Pyodide."""
    folder = HTML / "live"
    for old in folder.glob("*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    given = {"pyodide": os.environ.get("PYODIDE", "pyodide/"), "wheel": wheel.name}
    (folder / "settings.json").write_text(json.dumps(given), encoding="utf-8")


def main() -> int:
    start = time.perf_counter()
    os.environ.update(ENVIRONMENT)
    assemble(BUILD / "source")
    if sphinx(sys.argv[1:]):
        return 1
    sweep()
    live()
    if wrong := requests_of(HTML):
        print(*wrong, sep="\n")
        return 1
    print(f"{time.perf_counter() - start:.0f} s: {HTML / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
