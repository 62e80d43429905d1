"""LLVM IR as functions that run here, and a table of calls as one call."""

import os
import platform
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native.cache import cached

# The processor's flags for what went wrong, as the C library numbers them, by NumPy's names.
ARM = platform.machine() in ("aarch64", "arm64")
FLAGS = dict(zip(("invalid", "divide", "over", "under"), (1, 2, 4, 8) if ARM else (1, 4, 8, 16)))
LINE_BYTES = 64  # of a cache line
# LLVM's passes over a module, before it selects instructions. Those of -O2 take five times as long and make code that
# is no faster: the text has its loops laid out, its vectors written and its equal instructions joined.
PASSES = ("sroa", "instruction_combine", "simplify_cfg")
STOPPED = 64  # + the number of the call that stopped
BEFORE = 32  # the bits below those of the flags, where they stopped it

# What a call of `run` is told: a list of (function, table of pointers, parts) and its length, memory for copies, the
# pool or null, and the flags that matter. Each function is called, until one says that this is another case. Where
# `parts` is more than 1, so many calls may run at once: the pool's `share` runs them, if there is one and it is free.
# Where it is 0, nothing is called: the program begins to write, and stops here if a flag that matters was set.
# Returns those of these that were set, or STOPPED + the number of a call, and the flags above it.
RECORD = ("calls", "count", "scratch", "pool", "wanted")
DRIVER = f"""
declare i32 @feclearexcept(i32)
declare i32 @fetestexcept(i32)
define i64 @run(ptr %record) {{
entry:
  %calls = load ptr, ptr %record
  %at.count = getelementptr i64, ptr %record, i64 1
  %count = load i64, ptr %at.count
  %at.scratch = getelementptr i64, ptr %record, i64 2
  %scratch = load ptr, ptr %at.scratch
  %at.pool = getelementptr i64, ptr %record, i64 3
  %pool = load ptr, ptr %at.pool
  %at.wanted = getelementptr i64, ptr %record, i64 4
  %wanted = load i64, ptr %at.wanted
  call i32 @feclearexcept(i32 {sum(FLAGS.values())})
  %alone = icmp eq ptr %pool, null
  br label %turn
turn:
  %i = phi i64 [0, %entry], [%following, %go_on]
  %raised = phi i64 [0, %entry], [%raised.now, %go_on]
  %call = getelementptr {{ptr, ptr, i64}}, ptr %calls, i64 %i
  %at.parts = getelementptr {{ptr, ptr, i64}}, ptr %calls, i64 %i, i32 2
  %parts = load i64, ptr %at.parts
  %mark = icmp eq i64 %parts, 0
  br i1 %mark, label %look, label %work
look:
  %flags.here = call i32 @fetestexcept(i32 {sum(FLAGS.values())})
  %wide.here = zext i32 %flags.here to i64
  %all.here = or i64 %wide.here, %raised
  %before = and i64 %all.here, %wanted
  %clean = icmp eq i64 %before, 0
  br i1 %clean, label %go_on, label %stop
work:
  %single = icmp eq i64 %parts, 1
  %by.one = or i1 %alone, %single
  br i1 %by.one, label %one, label %several
several:
  %share = load ptr, ptr %pool
  %raised.there = call i64 %share(ptr %pool, ptr %call, i64 %parts, ptr %scratch)
  %refused = icmp slt i64 %raised.there, 0
  br i1 %refused, label %one, label %shared
shared:
  %raised.all = or i64 %raised, %raised.there
  br label %go_on
one:
  %function = load ptr, ptr %call
  %at = getelementptr {{ptr, ptr, i64}}, ptr %calls, i64 %i, i32 1
  %table = load ptr, ptr %at
  %stopped = call i32 %function(ptr %table, ptr %scratch)
  %bad = icmp ne i32 %stopped, 0
  br i1 %bad, label %stop, label %go_on
go_on:
  %done = phi i64 [%parts, %shared], [1, %one], [1, %look]
  %raised.now = phi i64 [%raised.all, %shared], [%raised, %one], [%raised, %look]
  %following = add nuw nsw i64 %i, %done
  %more = icmp slt i64 %following, %count
  br i1 %more, label %turn, label %end
end:
  %flags = call i32 @fetestexcept(i32 {sum(FLAGS.values())})
  %wide = zext i32 %flags to i64
  %all = or i64 %wide, %raised.now
  %told = and i64 %all, %wanted
  ret i64 %told
stop:
  %why = phi i64 [0, %one], [%before, %look]
  %above = shl i64 %why, {BEFORE}
  %number = add i64 %i, {STOPPED}
  %both = or i64 %above, %number
  ret i64 %both
}}
"""


@cache
def llvm() -> Any:
    """llvmlite's binding, made ready for this processor."""
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    lock = getattr(getattr(binding.ffi.lib, "_lock", None), "_lock", None)
    # Hold the lock across a fork: a child that inherits it locked would wait forever.
    if lock is not None and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return binding


def machine() -> Any:
    """What code is made for: this processor, with vectors of at most `vector_bits`.

    Code and its constants may come to lie gigabytes apart where a process has mapped much memory. Addresses of 32 bits
    would not reach then, and LLVM ends the process: on x86 they have 64. (On ARM llvmlite keeps both together.)
    """
    b = llvm()
    target = b.Target.from_default_triple()
    far = "x86_64" in target.triple and "linux" in target.triple
    return target.create_target_machine(
        cpu=b.get_host_cpu_name(),
        features=features(),
        opt=2,
        reloc="static" if far else "pic",
        codemodel="large" if far else "default",
    )


@cache
def vector_bits() -> int:
    """The width of the processor's vectors: 512, 256 or 128. TAPEGRAD_VECTOR_BITS sets a smaller one."""
    there = llvm().get_host_cpu_features()
    own = 512 if there.get("avx512f") else 256 if there.get("avx") else 128
    wanted = os.environ.get("TAPEGRAD_VECTOR_BITS") or str(own)
    if wanted not in ("128", "256", "512"):
        raise ValueError(f"TAPEGRAD_VECTOR_BITS must be 128, 256 or 512, got {wanted!r}")
    return min(own, int(wanted))


@cache
def features() -> str:
    """The processor's features, as LLVM takes them. What turns off a width comes last: all that needs it goes, too."""
    there, bits = llvm().get_host_cpu_features(), vector_bits()
    limits = [
        f"-{name}" for name, width in (("avx512f", 512), ("avx", 256)) if name in there and bits < width
    ]
    return ",".join([there.flatten(), *limits])


@cache
def fused() -> bool:
    """Whether it multiplies and adds in one instruction, which on x86 came with vectors of 256 bits."""
    there = llvm().get_host_cpu_features()
    return bool((there.get("fma") and vector_bits() > 128) or there.get("neon"))


@cache
def compiler() -> Any:
    """The machine that modules are compiled for; one engine takes possession of each other one."""
    return machine()


def host() -> str:
    """What machine code depends on besides its text: the processor, what of it is used, the compiler and its passes."""
    b = llvm()
    return f"{b.get_host_cpu_name()} {features()} {b.llvm_version_info} {PASSES}"


def module_text(functions: Iterable[str], declarations: Iterable[str]) -> str:
    attributes = 'attributes #0 = { nounwind "no-trapping-math"="false" }'
    return "\n".join([*sorted(set(declarations)), attributes, DRIVER, *functions])


def object_code(text: str) -> bytes:
    """The compiled module, as the bytes of an object file."""
    b, target = llvm(), compiler()
    module = b.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(target.target_data)
    builder = b.create_pass_builder(target, b.create_pipeline_tuning_options(speed_level=2))
    passes = b.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(module, builder)
    # llvmlite 0.50 hides what frees a manager behind a method that does nothing: 140 KB for each module.
    b.newpassmanagers.NewPassManager._dispose(passes)
    passes.detach()
    found: bytes = target.emit_object(module)
    return found


class Code:
    """A compiled module that runs here. Keeps its machine code as long as it lives."""

    def __init__(self, text: str) -> None:
        b = llvm()
        code = cached(f"{host()}\n{text}", lambda: object_code(text))
        self.engine = b.create_mcjit_compiler(b.parse_assembly(""), machine())
        self.engine.add_object_file(b.ObjectFileRef.from_data(code))
        self.engine.finalize_object()

    def address(self, name: str) -> int:
        return int(self.engine.get_function_address(name))


def scratch_of(size: int) -> np.ndarray:
    """Memory that kernels write copies to, from a cache line on."""
    memory = np.empty(size + LINE_BYTES, np.uint8)
    return memory[-memory.ctypes.data % LINE_BYTES :][:size]
