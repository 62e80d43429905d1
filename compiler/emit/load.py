"""Emitted source as code that runs here, and as a file that runs without tapegrad."""

import glob
import linecache
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import finalize
from zipfile import ZipFile

import numpy as np

from tapegrad.backends import backend_of
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.passes import improve

if TYPE_CHECKING:
    from tapegrad.compiler.run.runner import Runner

MOST_FILES = 256  # in the cache folder; of more, those that were not used for longest are deleted
number = count(1)
in_use: Counter[str] = Counter()  # file name -> how many loaded programs have their source under it


def load(source: str, name: str, on_disk: bool) -> Callable[..., Any]:
    """Compile source so that tracebacks and debuggers show its lines; returns its `build`.

    What is kept for that, and for numba, goes when `build` goes.

    on_disk    as a file in the cache folder, where numba keeps its machine code beside it: a later process starts at
               once. The folder is $TAPEGRAD_CACHE, or tapegrad/ in the user's cache folder
    """
    loaded = next(number)
    filename, module_name = f"<tg.jit {name} {loaded}>", f"tapegrad_{name}_{loaded}"
    if on_disk and (path := cached(source, name)) is not None:
        filename, module_name = str(path), f"tapegrad_{path.stem}"
    elif on_disk:
        source = source.replace(", cache=True", "")
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    in_use[filename] += 1
    module = ModuleType(module_name)
    sys.modules[module.__name__] = module  # numba finds its cached code's module by name
    try:
        exec(compile(source, filename, "exec"), module.__dict__)
    except BaseException:
        unload(filename, module)
        raise
    # Not in its own namespace any more: there it would keep itself until the next garbage collection.
    build: Callable[..., Any] = module.__dict__.pop("build")
    finalize(build, unload, filename, module).atexit = False
    return build


def unload(filename: str, module: ModuleType) -> None:
    """Drop what was kept of a program, unless another one has the same source."""
    in_use[filename] -= 1
    if in_use[filename] <= 0:
        del in_use[filename]
        linecache.cache.pop(filename, None)
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def cached(source: str, name: str) -> Path | None:
    """The file in the cache folder that holds this source; None if the folder cannot be written to."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("TAPEGRAD_CACHE") or Path(home) / "tapegrad")
    readable = "".join(c if c.isalnum() else "_" for c in name)
    path = folder / f"{readable}_{sha256(source.encode() + library()).hexdigest()[:24]}.py"
    try:
        if path.exists() and path.read_text() == source:
            # The time of the last use; numba compares the other one with that of its machine code.
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            return path
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(source)
        os.replace(part, path)
        delete_oldest(folder)
    except OSError:
        return None
    return path


def delete_oldest(folder: Path) -> None:
    """Delete the files of programs that were not used for longest, with their machine code, beyond MOST_FILES."""
    files = [path for path in folder.glob("*.py") if OURS.fullmatch(path.name)]
    if len(files) <= MOST_FILES:
        return
    used = {path: path.stat().st_atime_ns for path in files}
    for path in sorted(files, key=used.__getitem__)[: len(files) - MOST_FILES]:
        path.unlink(missing_ok=True)
        for code in (folder / "__pycache__").glob(f"{glob.escape(path.stem)}.*"):
            code.unlink(missing_ok=True)


OURS = re.compile(r"\w+_[0-9a-f]{24}\.py")  # names of files in the cache folder


@cache
def library() -> bytes:
    """What becomes part of the machine code of a program, besides its own source."""
    return b"".join(
        (Path(__file__).parent / "numba" / f"{name}.py").read_bytes() for name in ("numba_math", "arrays")
    )


OPEN = '''

def open_step(path=None):
    """The step on the arrays saved beside this file: step(*arrays) returns its results and updates step.arrays.

    Raises TypeError for another number of arrays, and ValueError for another shape or dtype than it was recorded for.
    """
    from pathlib import Path

    saved = np.load(path or Path(__file__).with_suffix(".npz"), allow_pickle=False)
    arrays = {name: saved[name] for name in saved.files}
    names = %r
    views = %r
    expected = %r  # of each argument: its name, dtype and shape
    for name, (memory, start, shape, dtype, strides) in views.items():
        arrays[name] = np.ndarray(shape, dtype, arrays[memory], start, strides)
    run = build(*(arrays[name] for name in names))[0]

    def step(*given):
        if len(given) != len(expected):
            wanted = ", ".join(name for name, _, _ in expected)
            raise TypeError(f"step: takes {len(expected)} arrays ({wanted}), got {len(given)}")
        given = [np.asarray(array) for array in given]
        for (name, dtype, shape), array in zip(expected, given):
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"step: {name} must be {dtype}{list(shape)}, got {array.dtype}{list(array.shape)}"
                )
        return run(*given)

    step.arrays = {name: arrays[name] for name in names}
    return step
'''


# The array whose memory it is, and where in it, shape, dtype and strides, as np.ndarray takes them.
View: TypeAlias = tuple[str, int, tuple[int, ...], str, tuple[int, ...]]


def save(path: str, runner: "Runner") -> None:
    """Write a runner's program, as the NumPy emitter writes it, to `path`, and its arrays to the same name with .npz.

    Captured arrays that share memory, as a parameter does with its optimizer's buffer, are saved as views of it.
    """
    target = Path(path)
    captured: dict[str, Any] = {}
    for v, array in zip(runner.program.captured, runner.bound):
        captured.setdefault(v.name, array)
    saved, views = arrays_and_views(captured)
    # As np.savez does, which takes "file" for no name.
    with ZipFile(target.with_suffix(".npz"), "w") as archive:
        for name, array in saved.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array, allow_pickle=False)
    source = runner.source
    if runner.emitter != "numpy":
        program, _ = improve(runner.history[0][1], "numpy")
        source = NumpyEmitter(program, runner.title).source()
    expected = [(v.name, str(v.dtype), v.shape) for v in runner.program.arguments]
    target.write_text(source + OPEN % (list(captured), views, expected))


def arrays_and_views(captured: dict[str, Any]) -> tuple[dict[str, Any], dict[str, View]]:
    """(arrays to save, those that are views of them), by name."""
    memories = {name: owner_of(array) for name, array in captured.items()}
    sharing_it: dict[int, list[str]] = {}  # id of a memory -> the arrays that look into it
    for name, memory in memories.items():
        sharing_it.setdefault(id(memory), []).append(name)
    saved: dict[str, Any] = {}
    views: dict[str, View] = {}
    for name, array in captured.items():
        memory = memories[name]
        sharing = sharing_it[id(memory)]
        home = next(
            (n for n in sharing if captured[n] is memory and memory.flags.c_contiguous),
            f"memory_of_{sharing[0]}",
        )
        if len(sharing) == 1 or home == name:
            saved[name] = backend_of(array).to_numpy(array)
            continue
        if home not in captured:
            saved[home] = backend_of(memory).to_numpy(memory).ravel("K")
        views[name] = (home, address(array) - address(memory), array.shape, str(array.dtype), array.strides)
    return saved, views


def owner_of(array: Any) -> Any:
    """The array that owns the memory, which this one looks into."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def address(array: Any) -> int:
    about = array.__array_interface__ if isinstance(array, np.ndarray) else array.__cuda_array_interface__
    return int(about["data"][0])
