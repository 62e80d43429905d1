"""Emitted source as code that runs here, and as a file that runs without tapegrad."""

import linecache
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

number = count(1)


def load(source: str, name: str, on_disk: bool) -> Callable[..., Any]:
    """Compile source so that tracebacks and debuggers show its lines; returns its `build`.

    on_disk    as a file in the cache folder, where numba keeps its machine code beside it: a later process starts at
               once. The folder is $TAPEGRAD_CACHE, or tapegrad/ in the user's cache folder
    """
    filename = f"<tg.jit {name} {next(number)}>"
    if on_disk and (path := cached(source, name)) is not None:
        filename = str(path)
    elif on_disk:
        source = source.replace(", cache=True", "")
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    module = ModuleType(f"tapegrad_{Path(filename).stem}")
    sys.modules[module.__name__] = module  # numba finds its cached code's module by name
    exec(compile(source, filename, "exec"), module.__dict__)
    return module.build


def cached(source: str, name: str) -> Path | None:
    """The file in the cache folder that holds this source; None if the folder cannot be written to."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("TAPEGRAD_CACHE") or Path(home) / "tapegrad")
    readable = "".join(c if c.isalnum() else "_" for c in name)
    path = folder / f"{readable}_{sha256(source.encode()).hexdigest()[:24]}.py"
    try:
        if not path.exists() or path.read_text() != source:
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text(source)
            os.replace(part, path)
    except OSError:
        return None
    return path


OPEN = '''

def open_step(path=None):
    """The step on the arrays saved beside this file: step(*arrays) returns its results and updates them."""
    from pathlib import Path

    saved = np.load(path or Path(__file__).with_suffix(".npz"), allow_pickle=False)
    arrays = {name: saved[name] for name in saved.files}
    whole = %r
    views = %r
    for name, (base, start, stop, shape) in views.items():
        arrays[name] = arrays[base][start:stop].reshape(shape)
    return build(*(arrays[name] for name in whole))[0]
'''


def save(path: str, variant: Any) -> None:
    """Write the program to `path` and its arrays to the same name with .npz.

    A captured array that looks into another one (a parameter into its optimizer's buffer) is saved as that view.
    """
    target = Path(path)
    names = list(dict.fromkeys(v.name for v in variant.program.captured))
    arrays: dict[str, Any] = {}
    for v, array in zip(variant.program.captured, variant.bound):
        arrays.setdefault(v.name, array)
    views: dict[str, tuple[str, int, int, tuple[int, ...]]] = {}
    for name, array in arrays.items():
        for base, other in arrays.items():
            if (
                base != name
                and other.ndim == 1
                and other.size > array.size
                and np.shares_memory(array, other)
            ):
                start = (array.ctypes.data - other.ctypes.data) // other.itemsize
                views[name] = (base, start, start + array.size, array.shape)
    np.savez(target.with_suffix(".npz"), **{n: a for n, a in arrays.items() if n not in views})
    target.write_text(variant.source + OPEN % (names, views))
