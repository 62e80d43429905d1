"""Threads of our own that share the parts of a call: they wait in machine code, and are made anew in a forked child.

A worker is a thread of the system's that knows nothing of Python. It sleeps until there are parts to take, without
turning in a loop and without the GIL; all that it reads and changes of the pool is guarded by one mutex. The thread
whose step has parts takes some, too. A pool serves one step at a time: another one meanwhile runs all its parts itself.

Who computes a part makes no difference: parts write to different memory.
"""

import ctypes
import os
import signal
import threading
from functools import cache
from typing import Any

import numpy as np

from tapegrad.autograd.whole import uninterrupted
from tapegrad.compiler.emit.native.machine import FLAGS, Code, llvm, scratch_of

# What a pool is in memory, with room for the largest mutexes, conditions and floating-point environments there are.
FIELDS = {
    "share": "ptr",  # the function below, which programs call through this pointer
    "mutex": "[16 x i64]",
    "wake": "[16 x i64]",  # the condition that there are parts to take
    "done": "[16 x i64]",  # the condition that none is left
    "surroundings": "[16 x i64]",  # the floating-point environment of the thread whose step it is
    "busy": "i64",
    "parts": "ptr",  # (function, table, 1) of each
    "next": "i64",  # the part to take next
    "count": "i64",
    "left": "i64",  # parts that are not finished
    "flags": "i64",  # of floating-point exceptions in workers
    "workers": "i64",  # that have started
    "scratch": "ptr",  # memory of `pace` bytes for each worker's copies
    "pace": "i64",
}
SIZES = {"ptr": 8, "i64": 8, "[16 x i64]": 128}
OFFSETS = dict(zip(FIELDS, np.cumsum([0, *(SIZES[kind] for kind in FIELDS.values())]).tolist()))
HERE = "\n  ".join(
    f"%{name} = getelementptr %Pool, ptr %pool, i32 0, i32 {i}" for i, name in enumerate(FIELDS)
)
# What the text calls of the system's.
CALLED = ("pthread_mutex_lock", "pthread_mutex_unlock", "pthread_cond_wait", "pthread_cond_broadcast")

TEXT = f"""
%Pool = type {{ {", ".join(FIELDS.values())} }}
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @fegetenv(ptr)
declare i32 @fesetenv(ptr)
declare i32 @fetestexcept(i32)

; Take the next part and run it. The mutex is held before and after, and not meanwhile.
define internal void @take(ptr %pool, ptr %room) {{
  {HERE}
  %i = load i64, ptr %next
  %following = add i64 %i, 1
  store i64 %following, ptr %next
  %first = load ptr, ptr %parts
  %at = getelementptr {{ptr, ptr, i64}}, ptr %first, i64 %i
  %function = load ptr, ptr %at
  %at_table = getelementptr {{ptr, ptr, i64}}, ptr %first, i64 %i, i32 1
  %table = load ptr, ptr %at_table
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call i32 %function(ptr %table, ptr %room)
  call i32 @pthread_mutex_lock(ptr %mutex)
  %before = load i64, ptr %left
  %after = sub i64 %before, 1
  store i64 %after, ptr %left
  ret void
}}

; What a worker does.
define ptr @work(ptr %pool) {{
  {HERE}
  call i32 @pthread_mutex_lock(ptr %mutex)
  %number = load i64, ptr %workers
  %started = add i64 %number, 1
  store i64 %started, ptr %workers
  br label %look
look:
  %i = load i64, ptr %next
  %n = load i64, ptr %count
  %some = icmp slt i64 %i, %n
  br i1 %some, label %begin, label %sleep
sleep:
  call i32 @pthread_cond_wait(ptr %wake, ptr %mutex)
  br label %look
begin:
  %rooms = load ptr, ptr %scratch
  %size = load i64, ptr %pace
  %offset = mul i64 %number, %size
  %room = getelementptr i8, ptr %rooms, i64 %offset
  call i32 @fesetenv(ptr %surroundings)
  call void @take(ptr %pool, ptr %room)
  %raised = call i32 @fetestexcept(i32 {sum(FLAGS.values())})
  %wide = zext i32 %raised to i64
  %before = load i64, ptr %flags
  %now = or i64 %before, %wide
  store i64 %now, ptr %flags
  %unfinished = load i64, ptr %left
  %last = icmp eq i64 %unfinished, 0
  br i1 %last, label %tell, label %look
tell:
  call i32 @pthread_cond_broadcast(ptr %done)
  br label %look
}}

; Run parts together with the workers. Returns the flags that these raised; -1 if the pool serves another step.
define i64 @share(ptr %pool, ptr %given, i64 %number, ptr %room) {{
  {HERE}
  call i32 @pthread_mutex_lock(ptr %mutex)
  %taken = load i64, ptr %busy
  %free = icmp eq i64 %taken, 0
  br i1 %free, label %begin, label %refuse
refuse:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret i64 -1
begin:
  store i64 1, ptr %busy
  store i64 0, ptr %flags
  store i64 0, ptr %next
  store ptr %given, ptr %parts
  store i64 %number, ptr %count
  store i64 %number, ptr %left
  call i32 @fegetenv(ptr %surroundings)
  call i32 @pthread_cond_broadcast(ptr %wake)
  br label %look
look:
  %i = load i64, ptr %next
  %some = icmp slt i64 %i, %number
  br i1 %some, label %one, label %rest
one:
  call void @take(ptr %pool, ptr %room)
  br label %look
rest:
  %unfinished = load i64, ptr %left
  %finished = icmp eq i64 %unfinished, 0
  br i1 %finished, label %end, label %sleep
sleep:
  call i32 @pthread_cond_wait(ptr %done, ptr %mutex)
  br label %rest
end:
  store i64 0, ptr %busy
  store i64 0, ptr %count
  store i64 0, ptr %next
  %raised = load i64, ptr %flags
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret i64 %raised
}}
"""


def threads() -> int:
    """Among how many threads a step is shared: $TAPEGRAD_THREADS or $OMP_NUM_THREADS, or as many as there are cores
    that this process may run on; one where the system has no threads of the kind."""
    if system() is None:
        return 1
    for name in ("TAPEGRAD_THREADS", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdigit() and int(first):
            return int(first)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def system() -> Any:
    """The C library with POSIX threads, or None."""
    try:
        library = ctypes.CDLL(None)
        for name in (*CALLED, "pthread_create", "pthread_detach", "pthread_mutex_init", "pthread_cond_init"):
            getattr(library, name)
    except (TypeError, OSError, AttributeError):
        return None
    return library if hasattr(signal, "pthread_sigmask") else None


@cache
def code() -> Code:
    for name in CALLED:  # found by ctypes: of two versions of one that glibc has, LLVM may take the older
        llvm().add_symbol(name, ctypes.cast(getattr(system(), name), ctypes.c_void_p).value)
    compiled = Code(TEXT)
    stays(compiled)
    return compiled


def stays(thing: object) -> None:
    """Never free it: workers use it until the process ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class Pool:
    """address: where it is in memory."""

    def __init__(self) -> None:
        self.memory = scratch_of(OFFSETS["pace"] + 8)
        self.memory[:] = 0
        stays(self.memory)
        self.address = self.memory.ctypes.data
        self.workers = 0
        library, at = system(), self.at
        library.pthread_mutex_init(at("mutex"), None)
        for condition in ("wake", "done"):
            library.pthread_cond_init(at(condition), None)
        self.put(share=code().address("share"))

    def at(self, name: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.address + OFFSETS[name])

    def put(self, **fields: int) -> None:
        for name, value in fields.items():
            self.memory[OFFSETS[name] :][:8].view(np.int64)[0] = value

    def have(self, workers: int, scratch: int) -> None:
        """Have so many workers, with memory for their copies."""
        pace = 1 << max(scratch - 1, 1 << 20).bit_length()
        if workers > self.workers or pace > self.pace():
            rooms = scratch_of(max(workers, self.workers) * max(pace, self.pace()))
            stays(rooms)  # and the one before, where workers may be at work
            system().pthread_mutex_lock(self.at("mutex"))
            self.put(scratch=rooms.ctypes.data, pace=max(pace, self.pace()))
            system().pthread_mutex_unlock(self.at("mutex"))
        while self.workers < workers:
            self.workers = self.workers + 1 if self.start() else workers  # fewer do, too

    def pace(self) -> int:
        return int(self.memory[OFFSETS["pace"] :][:8].view(np.int64)[0])

    def start(self) -> bool:
        """Start a worker, with all signals blocked: they are for Python's threads."""
        library, thread = system(), ctypes.c_void_p()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            work = ctypes.c_void_p(code().address("work"))
            if library.pthread_create(ctypes.byref(thread), None, work, ctypes.c_void_p(self.address)):
                return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        library.pthread_detach(thread)
        return True


_pool: Pool | None = None
_lock = threading.Lock()


def pool(workers: int, scratch: int) -> int:
    """The address of this process's pool, with at least so many workers, and bytes for the copies of each."""
    global _pool
    if _pool is None or _pool.workers < workers or _pool.pace() < scratch:
        with uninterrupted(), _lock:
            if _pool is None:
                _pool = Pool()
            _pool.have(workers, scratch)
    return _pool.address


def forget() -> None:
    """In a forked child, which has none of the workers; a lock may be held by a thread that is not there."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
