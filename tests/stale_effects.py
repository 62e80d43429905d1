"""What the step tells the machine, and files, memory, threads: effects of Python."""

import asyncio
import contextvars
import ctypes
import io
import logging
import mmap
import os
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, change, each_call, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


# ---- effects ----
@eager("calls")
def a_counter_of_calls(J: Any) -> Any:
    state = SimpleNamespace(calls=0)

    def f(x: Any) -> Any:
        state.calls += 1
        return x * 2

    f = J(f)
    for _ in range(7):
        yield f(x2()), state.calls


@either("seen")
def a_set_that_is_added_to(J: Any) -> Any:
    """The same element at each call: nothing changes from the second on."""
    seen: set[int] = set()

    def f(x: Any) -> Any:
        seen.add(x.shape[0])
        return x * 2

    f = J(f)
    for i in range(10):
        if i == 5:
            seen.clear()
        yield f(x2()), sorted(seen)


@either("last")
def the_last_shape_that_is_stored(J: Any) -> Any:
    """An attribute that is set to an equal value at each call, and is changed outside once."""
    state = SimpleNamespace(last=None)

    def f(x: Any) -> Any:
        state.last = x.shape
        return x * 2

    f = J(f)
    for i in range(10):
        if i == 5:
            state.last = None
        yield f(x2()), list(state.last)


@either("total")
def a_number_that_is_added_up_and_set_back(J: Any) -> Any:
    """The sum is set back outside before each call: the step changes it, though it looks the same at each call."""
    state = SimpleNamespace(total=0)

    def f(x: Any) -> Any:
        state.total += 1
        return x * 2

    f = J(f)
    for _ in range(40):
        state.total = 0
        yield f(x2()), state.total


@either("log", "handler", "emit")
def a_log_record(J: Any) -> Any:
    log, text = logging.getLogger("tapegrad.test.loud"), io.StringIO()
    handler = logging.StreamHandler(text)
    log.addHandler(handler)
    log.setLevel("INFO")
    log.propagate = False
    try:
        f = J(lambda x: (log.info("step"), x * 2)[1])
        for _ in range(6):
            yield f(x2()), text.getvalue().count("step")
    finally:
        log.removeHandler(handler)


@either("level", "log")
def a_level_that_is_changed(J: Any) -> Any:
    log = logging.getLogger("tapegrad.test.level")
    log.setLevel("WARNING")
    return change(
        J, lambda x: x * (2.0 if log.isEnabledFor(logging.INFO) else 3.0), lambda: log.setLevel("INFO")
    )


@either("warn")
def a_warning_of_the_users(J: Any) -> Any:
    def f(x: Any) -> Any:
        warnings.warn("the user's", stacklevel=1)
        return x * 2

    f = J(f)
    for _ in range(6):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            y = f(x2())
        for other in (w for w in told if w.category is tg.JitWarning):
            warnings.warn(other.message, stacklevel=1)
        yield y, sum("the user's" in str(w.message) for w in told)


@either("write", "print", "text")
def a_text_that_is_written(J: Any) -> Any:
    text = io.StringIO()
    f = J(lambda x: (text.write("."), x * 2)[1])
    for _ in range(6):
        yield f(x2()), text.getvalue()


@either("write", "open", "file")
def a_line_in_a_file(J: Any) -> Any:
    path = Path(tempfile.mkdtemp(), "log.txt")

    def f(x: Any) -> Any:
        with path.open("a") as file:
            file.write("step\n")
        return x * 2

    f = J(f)
    for _ in range(6):
        yield f(x2()), path.read_text()


@either("read", "open", "file")
def a_file_read_by_pathlib(J: Any) -> Any:
    path = Path(tempfile.mkdtemp(), "k.txt")
    path.write_text("2")
    return change(J, lambda x: x * float(path.read_text()), lambda: path.write_text("3"))


@either("exists", "stat", "file")
def whether_a_file_exists(J: Any) -> Any:
    path = Path(tempfile.mkdtemp(), "stop")
    return change(J, lambda x: x * (2.0 if os.path.exists(path) else 3.0), path.touch)


@either("load", "open", "file")
def an_array_loaded_from_a_file(J: Any) -> Any:
    path = Path(tempfile.mkdtemp(), "a.npy")
    np.save(path, np.array([1.0, 2.0], "f"))
    return change(J, lambda x: x * np.load(path), lambda: np.save(path, np.array([3.0, 4.0], "f")))


@either("memmap", "weights", "mapped")
def an_array_mapped_from_a_file(J: Any) -> Any:
    path = Path(tempfile.mkdtemp(), "a.dat")
    weights = np.memmap(path, "f", "w+", shape=(2,))
    weights[:] = 1.0
    return change(J, lambda x: x * weights, lambda: weights.__setitem__(0, 5.0))


@either("mmap", "memory")
def a_shared_memory(J: Any) -> Any:
    memory = mmap.mmap(-1, 8)
    memory[0] = 2
    return change(J, lambda x: x * memory[0], lambda: memory.__setitem__(0, 5))


@either("ctypes", "numbers", "Array")
def an_array_of_c(J: Any) -> Any:
    numbers = (ctypes.c_float * 2)(2.0, 3.0)
    return change(J, lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 5.0))


@either("from_buffer", "numbers", "shared")
def an_array_over_the_memory_of_c(J: Any) -> Any:
    numbers = (ctypes.c_float * 2)(2.0, 3.0)
    shared = np.frombuffer(numbers, "f")
    return change(J, lambda x: x * shared, lambda: numbers.__setitem__(0, 5.0))


# ---- threads, contexts ----
@either("local", "thread")
def a_number_of_the_thread(J: Any) -> Any:
    local = threading.local()
    local.k = 2.0
    return change(J, lambda x: x * local.k, lambda: setattr(local, "k", 3.0))


@either("ContextVar", "context", "get")
def a_context_variable_of_a_manager(J: Any) -> Any:
    scale: Any = contextvars.ContextVar("scale", default=2.0)
    f = J(lambda x: x * scale.get())
    for i in range(12):
        token = scale.set(5.0) if 4 <= i < 8 else None
        yield f(x2())
        if token is not None:
            scale.reset(token)


@compiled
def calls_from_another_thread(J: Any) -> Any:
    state = SimpleNamespace(k=2.0)
    f, found = J(lambda x: x * state.k), []
    for i in range(8):
        state.k = 2.0 if i < 4 else 3.0
        thread = threading.Thread(target=lambda: found.append(f(x2())))
        thread.start()
        thread.join()
        yield found[-1], f(x2())


@either("run", "async", "loop", "socket", "select")
def an_event_loop_inside(J: Any) -> Any:
    scale = [2.0]

    async def scaled(x: Any) -> Any:
        return x * scale[0]

    return change(J, lambda x: asyncio.run(scaled(x)), lambda: scale.__setitem__(0, 3.0))


@either("current_thread", "thread", "get_ident")
def which_thread_it_is(J: Any) -> Any:
    f, found = J(lambda x: x * (2.0 if threading.current_thread().name == "other" else 3.0)), []
    for _ in range(5):
        yield f(x2())
    thread = threading.Thread(target=lambda: found.append(f(x2())), name="other")
    thread.start()
    thread.join()
    yield found[0]


@either("id", "address", "state.o")
def an_identity(J: Any) -> Any:
    state = SimpleNamespace(o=object(), first=None)
    state.first = id(state.o)
    keep = state.o
    f = lambda x: x * (2.0 if id(state.o) == state.first else 3.0)
    yield from change(J, f, lambda: setattr(state, "o", object()))
    assert keep is not None


@either("getrefcount", "gc", "referrers", "o is")
def a_count_of_references(J: Any) -> Any:
    o = object()
    others: list[Any] = []
    f = lambda x: x * (2.0 if sys.getrefcount(o) < 50 else 3.0)
    return change(J, f, lambda: others.extend([o] * 100))


@either("cwd", "getcwd")
def the_working_directory(J: Any) -> Any:
    old = os.getcwd()
    f = lambda x: x * (2.0 if os.getcwd() == old else 3.0)
    try:
        yield from change(J, f, lambda: os.chdir(tempfile.gettempdir()))
    finally:
        os.chdir(old)


@compiled
def an_empty_program_that_reads_nothing(J: Any) -> Any:
    return each_call(J, lambda x: tg.ones(2) * x)
