"""Emitted source as code that runs here, and as a file that runs without tapegrad."""

import linecache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import finalize

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.replacing import replacing
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.passes import improve

if TYPE_CHECKING:
    from tapegrad.compiler.run.runner import Runner

number = count(1)


def load(source: str, name: str) -> Function:
    """Compile source so that tracebacks and debuggers show its lines; returns its `build`.

    What is kept for that goes when `build` goes.
    """
    loaded = next(number)
    filename = f"<tg.jit {name} {loaded}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    scope: dict[str, Any] = {"__name__": f"tapegrad_{name}_{loaded}"}
    try:
        exec(compile(source, filename, "exec"), scope)
    except BaseException:
        linecache.cache.pop(filename, None)
        raise
    # Not in its own namespace any more: there it would keep itself until the next garbage collection.
    build: Function = scope.pop("build")
    finalize(build, linecache.cache.pop, filename, None).atexit = False
    return build


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
    from zipfile import ZipFile  # slow to import, and few programs are saved

    if runner.from_host:
        raise ValueError(
            "save: a schedule of your own is asked by Python before each step, which a file cannot do: take one of "
            "tg.optim.schedules, or give the option a number"
        )
    target = Path(path)
    captured: dict[str, Array] = {}
    for v, array in zip(runner.program.captured, runner.bound):
        captured.setdefault(v.name, array)
    saved, views = arrays_and_views(captured)
    source = runner.source
    if runner.emitter != "numpy":
        program, _ = improve(runner.history[0][1], "numpy")
        source = NumpyEmitter(program, runner.title).source()
    expected = [(v.name, str(v.dtype), v.shape) for v in runner.program.arguments]
    with replacing(target.with_suffix(".npz")) as arrays, replacing(target) as text:
        # As np.savez does, which takes "file" for no name.
        with ZipFile(arrays, "w") as archive:
            for name, array in saved.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, array, allow_pickle=False)
        Path(text).write_text(source + OPEN % (list(captured), views, expected), encoding="utf-8")


def arrays_and_views(captured: dict[str, Array]) -> tuple[dict[str, Array], dict[str, View]]:
    """(arrays to save, those that are views of them), by name."""
    memories = {name: owner_of(array) for name, array in captured.items()}
    sharing_it: dict[int, list[str]] = {}  # id of a memory -> the arrays that look into it
    for name, memory in memories.items():
        sharing_it.setdefault(id(memory), []).append(name)
    saved: dict[str, Array] = {}
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


def owner_of(array: Array) -> Array:
    """The array that owns the memory, which this one looks into."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def address(array: Array) -> int:
    about = array.__array_interface__ if isinstance(array, np.ndarray) else array.__cuda_array_interface__
    return int(about["data"][0])
