"""What runs while a function is recorded: the code, and calls whose results or effects a program cannot have."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any

from tapegrad.compiler.watch.code import Part, has_branches, part_of
from tapegrad.compiler.watch.instructions import INSTRUCTIONS
from tapegrad.compiler.watch.rooms import room_of
from tapegrad.compiler.watch.shown import showing

# Whose functions, called by the user's code, give the same again for the same arguments and have no effect.
PURE_MODULES = frozenset(
    "builtins math cmath operator _operator itertools functools _functools collections _collections dataclasses typing "  # noqa: SIM905
    "abc _abc enum types numbers fractions decimal _decimal statistics _statistics string textwrap re copy copyreg "
    "bisect _bisect heapq _heapq contextlib inspect reprlib keyword struct _struct collections.abc _collections_abc "
    "datetime _datetime pathlib posixpath genericpath difflib pprint argparse configparser dis ast array "
    "importlib._bootstrap importlib._bootstrap_external json json.decoder json.scanner json.encoder _json base64 "
    "binascii html html.entities urllib.parse colorsys graphlib unicodedata zlib hashlib _hashlib _md5 _sha1 "
    "_sha2 _sha256 _sha512 _sha3 _blake2 calendar".split()
)
IMPURE_BUILTINS = frozenset({
    "open", "input", "print", "eval", "exec", "globals", "breakpoint", "compile", "__import__",
})  # fmt: skip
# What an import statement calls.
IMPORTING = (
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
)
# Methods whose answer is not a matter of the object they are called on, or that change what cannot be seen.
IMPURE_METHODS = frozenset({
    "now", "utcnow", "today", "fromfile", "tofile", "fromtimestamp", "locked", "cache_info", "cache_clear",
    "timestamp", "astimezone", "setflags",
})  # fmt: skip
# Functions of Python's own modules that look outside, or do something there.
IMPURE_FUNCTIONS = frozenset({
    ("importlib", "reload"), ("inspect", "currentframe"), ("inspect", "stack"), ("argparse", "parse_args"),
    ("argparse", "parse_known_args"), ("importlib", "import_module"),
    ("importlib._bootstrap_external", "get_data"), ("importlib._bootstrap_external", "path_stats"),
    *(("copyreg", name) for name in ("pickle", "add_extension", "remove_extension", "clear_extension_cache")),
})  # fmt: skip
# Called by libraries, these are as impure as called by the user.
IMPURE_ANYWHERE = ("time", "posix", "nt", "_socket", "_posixsubprocess", "select", "fcntl", "_random")
PASSABLE = frozenset({"fspath"})
CODING = frozenset({"encode", "decode"})
ENTERING = frozenset({"__enter__", "__exit__"})  # a `with` puts back at its end what it does
# Whose hooks run when a module is imported, a line is reached or memory is cleaned up: not for the user's code.
TOOLS = frozenset({"_pytest", "pluggy", "hypothesis", "coverage", "debugpy", "_pydevd_bundle"})
# Packages whose code our kernels call. NVIDIA's "cuda" and "nvmath" look for CUDA's libraries at a first use.
ARRAY_LIBRARIES = {"numpy", "cupy", "cupyx", "cupy_backends", "cuda", "nvmath"}
READERS = ("tokenize", "linecache", "importlib", "traceback", "warnings")  # of source, for messages


def room_of_code(code: CodeType, scope: dict[str, Any]) -> str:
    """Whose code it is; of generated code (of dataclasses, named tuples) by the module it was generated for."""
    if str(scope.get("__name__")).partition(".")[0] in ARRAY_LIBRARIES | TOOLS:
        return "library"
    if code.co_filename == "<string>" and scope.get("__name__", "").partition(".")[0] in (
        "tapegrad",
        "collections",
    ):
        return "own"
    return room_of(code.co_filename)


def by_user(error: Exception) -> bool:
    """Whether code of the user's raised it. A program and its check call none: then it is a signal's handler."""
    frames = walk_tb(error.__traceback__)
    return any(room_of_code(frame.f_code, frame.f_globals) == "user" for frame, _ in frames)


def where(frame: FrameType) -> str:
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


class Listener:
    """Hears of every call while it is on: `with listener: f()`.

    kinds      code object -> whose it is ("user", "own", "library")
    kind_of    the same by the id of the code object, which is asked at each call: to hash one takes long
    scopes     code of the user's -> the globals it ran in
    instructions   which of those of code with branches ran
    asked      code of libraries that ran for the user's code -> the globals it ran in
    coding     code of the user's that called the `encode` or `decode` of a text or of bytes
    impure     what was called that gives something else another time, or does something: (what, file:line)
    meet       called before code of the user's runs for the first time
    """

    def __init__(self, meet: Callable[[CodeType], None]) -> None:
        self.kinds: dict[CodeType, str] = {}
        self.kind_of: dict[int, str] = {}
        self.alive: list[CodeType] = []  # equal ones too: as long as they are there, so are their ids
        self.scopes: dict[CodeType, dict[str, Any]] = {}
        self.instructions = INSTRUCTIONS(self.is_followed)
        self.asked: dict[CodeType, dict[str, Any]] = {}
        self.coding: set[CodeType] = set()
        self.impure: dict[tuple[str, str], None] = {}
        self.meet = meet
        self.codes_beside: list[int] | None = None  # the ids of those that ran beside the function

    def __enter__(self) -> "Listener":
        self.outside: FrameType | None = sys._getframe(1)
        self.instructions.start()
        self.hook: Callable[..., None] | None = self.hear()
        sys.setprofile(self.hook)
        return self

    def __exit__(self, *error: object) -> None:
        self.lost = sys.getprofile() is not self.hook  # Python drops one that meets a RecursionError
        sys.setprofile(None)
        self.instructions.stop()
        self.outside = self.hook = None

    def is_followed(self, frame: FrameType) -> bool:
        """Whether instructions of a frame that begins are told apart."""
        return (self.kind_of.get(id(frame.f_code)) or self.first_call(frame)) == "user"

    def part(self, code: CodeType) -> Part:
        """What of a piece of code ran."""
        return part_of(code, self.instructions.offsets(code), self.instructions.quiet(code))

    def hear(self) -> Callable[[FrameType, str, Any], None]:
        """What Python calls at each call and return. Most are of our own code, and pass by quickly."""
        kind_of = self.kind_of.get

        def hear(frame: FrameType, event: str, arg: Any) -> None:
            if event == "c_call":
                kind = kind_of(id(frame.f_code), "own")
                if kind != "own" and (what := impure(arg, kind)) is not None:
                    self.called(what, frame)
                if kind == "user" and arg.__name__ in CODING:
                    self.coding.add(frame.f_code)
            elif event == "call":
                kind = kind_of(id(frame.f_code)) or self.first_call(frame)
                if kind == "library" and frame.f_back is not None:
                    self.library_called(frame, frame.f_back)

        return hear

    def first_call(self, frame: FrameType) -> str:
        """A piece of code runs for the first time: whose it is. What a module does as it is imported, once and for all,
        is nothing that f does."""
        code = frame.f_code
        kind = room_of_code(code, frame.f_globals)
        if kind == "user" and self.imported(frame):
            return "library"
        if kind == "user" and self.codes_beside is not None:
            self.codes_beside.append(id(code))
            kind = "beside"
        self.kind_of[id(code)] = kind
        self.alive.append(code)
        if kind == "beside":
            self.meet(code)
            return kind
        self.kinds.setdefault(code, kind)
        if kind == "user":
            self.scopes.setdefault(code, frame.f_globals)
            if has_branches(code) or showing(code):
                self.instructions.follow(code)
            self.meet(code)
        return kind

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What the user's code does inside is no part of the function: Python runs it at each call of the program, too.
        Only what looks at t.data there is met."""
        self.codes_beside = []
        try:
            yield
        finally:
            for key in self.codes_beside:
                self.kind_of.pop(key, None)
            self.codes_beside = None

    def imported(self, frame: FrameType) -> bool:
        """Whether code runs for an import that began inside."""
        at: FrameType | None = frame
        while at is not None and at is not self.outside:
            if at.f_code.co_filename.startswith("<frozen importlib"):
                return True
            at = at.f_back
        return False

    def printed(self, frame: FrameType | None) -> None:
        """Something was written to a stream. What the warnings module writes, it writes once."""
        at = frame if self.codes_beside is None else None
        while at is not None and room_of(at.f_code.co_filename) != "user":
            if any(reader in at.f_code.co_filename for reader in READERS):
                return
            at = at.f_back
        if at is not None and not self.imported(at):
            self.impure.setdefault(("print", where(at)))

    def called(self, what: str, frame: FrameType) -> None:
        """A function in C was called that is not pure."""
        asking = self.asking(frame)
        if asking is not None:
            self.impure.setdefault((what, where(asking)))

    def asking(self, frame: FrameType) -> FrameType | None:
        """The user's code that code of a library runs for; None if it runs for ours or to find lines for messages."""
        at: FrameType | None = frame
        while at is not None and self.kind_of.get(id(at.f_code)) == "library":
            if any(reader in at.f_code.co_filename for reader in READERS):
                return None
            at = at.f_back
        return at if at is not None and self.kind_of.get(id(at.f_code)) == "user" else None

    def library_called(self, frame: FrameType, caller: FrameType) -> None:
        """Code of a library runs: if the user's code called it, it must be known to be pure."""
        name = frame.f_code.co_name
        by_user = self.kind_of.get(id(caller.f_code)) == "user"
        if not (by_user or caller.f_code in self.asked) or name in CALLED_BACK:
            return
        self.asked[frame.f_code] = frame.f_globals
        if frame.f_code.co_qualname in LOGGED and (asking := self.asking(frame)) is not None:
            self.impure.setdefault(("a log", where(asking)))
        if not by_user or name.startswith("<"):
            return
        module = frame.f_globals.get("__name__", "")
        pure = (
            module in PURE_MODULES
            or module.partition(".")[0] in ("numpy", "collections")
            or module in IMPORTING
        )
        pure &= (module, name) not in IMPURE_FUNCTIONS
        if not pure and frame.f_code.co_qualname not in QUIET:
            self.impure.setdefault((f"{module}.{frame.f_code.co_qualname}", where(caller)))

    def codes(self, kind: str) -> list[CodeType]:
        return [code for code, k in self.kinds.items() if k == kind]


CALLED_BACK = frozenset({"_remove", "remove", "__del__"})  # by Python itself, when something is gone
QUIET = frozenset({
    "_Environ.__getitem__", "_Environ.get", "Mapping.get", "_Environ.__contains__", "Mapping.__contains__", "getenv",
    "RLock", "Lock", "Thread.is_alive", "getLogger", "Manager.getLogger",
    *(f"{owner}{name}" for owner in ("", "Logger.", "LoggerAdapter.")
      for name in ("debug", "info", "warning", "error", "exception", "critical", "log")),
    *(f"{owner}.{name}" for owner in ("Logger", "LoggerAdapter")
      for name in ("isEnabledFor", "getEffectiveLevel", "hasHandlers")),
})  # fmt: skip
LOGGED = frozenset({"Logger._log", "basicConfig"})  # where logging does something


def impure(function: Any, kind: str) -> str | None:
    """What to call a C function whose result may change or that has an effect; None if it is pure.

    kind    whose code calls it: of libraries, only what is known to be impure counts
    """
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if isinstance(owner, ModuleType):
        owner = None
    if type(owner).__module__ in ("random", "_random") or (
        kind == "user" and type(owner).__name__ == "ContextVar"
    ):
        return f"{type(owner).__name__}.{name}"
    if isinstance(function, BuiltinFunctionType) and module in IMPURE_ANYWHERE:
        return None if name in PASSABLE else f"{module}.{name}"
    if module in ("io", "_io") and name == "open":
        return "open"
    if type(owner).__module__ == "_io":
        return f"{type(owner).__name__}.{name}"
    if module == "builtins" and name in ("print", "input"):
        return name
    if kind != "user":
        return None
    if owner is None and name in IMPURE_METHODS:
        return f"{module}.{name}"
    if owner is not None:
        kind_of = owner if isinstance(owner, type) else type(owner)
        if name in IMPURE_METHODS:
            return f"{kind_of.__name__}.{name}"
        known = kind_of.__module__.partition(".")[0] in PURE_OWNERS or not isinstance(owner, type)
        pure = known and (kind_of.__module__ not in IMPURE_OWNERS or name in ENTERING)
        return None if pure else f"{kind_of.__name__}.{name}"
    if module == "builtins" and name in IMPURE_BUILTINS:
        return name
    top = module.partition(".")[0]
    if not module or module in PURE_MODULES or (top == "numpy" and "random" not in module):
        return None
    return f"{module}.{name}"


PURE_OWNERS = PURE_MODULES | {"numpy"}
IMPURE_OWNERS = frozenset({"_io", "_thread", "_queue", "_contextvars", "_socket"})


def listening() -> bool:
    """Whether a Listener is on."""
    return getattr(sys.getprofile(), "__qualname__", "").startswith(f"{Listener.__name__}.")


class unheard:
    """`with unheard():` no listener hears what runs inside: it is the recorder's own work."""

    __slots__ = ("before", "tracing")

    def __enter__(self) -> None:
        self.before, self.tracing = sys.getprofile(), sys.gettrace()
        if self.before is not None:
            sys.setprofile(None)
            if self.tracing is not None:
                sys.settrace(None)

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            if self.tracing is not None:
                sys.settrace(self.tracing)
            sys.setprofile(self.before)
