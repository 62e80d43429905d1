"""Kinds of values: plain ones, those that never change, and those that cannot be followed."""

import operator
import random
import struct
import sys
import types
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from copy import deepcopy
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE
from tapegrad.compiler.watch.rooms import room_of

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.generic, np.dtype)
# Known by identity: nothing in them can change.
ATOMS = (
    np.ufunc, type(np.mean), Primitive, types.MethodDescriptorType, types.WrapperDescriptorType, types.CodeType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType,
    types.GenericAlias, types.UnionType, type(vars(namedtuple("Pair", "first"))["first"]),
)  # fmt: skip
# Modules of the classes whose instances never change, and compare by value.
GETTERS = (operator.attrgetter, operator.methodcaller, operator.itemgetter)  # nor in them
ABC_CHECKS = frozenset({"ABCMeta.__instancecheck__", "ABCMeta.__subclasscheck__"})
VALUES = frozenset({"fractions", "decimal", "datetime", "pathlib", "uuid", "re", "ipaddress", "zoneinfo"})
LOCKS = frozenset({"lock", "RLock", "_RLock", "Condition", "Event", "_abc_data", "_thread._localdummy"})
CONTAINERS = {
    object, list, dict, tuple, set, frozenset, deque, OrderedDict, defaultdict, Counter, ChainMap, UserDict, UserList,
    str, int, float, bytes, types.SimpleNamespace, type, Tensor,
}  # fmt: skip
# Of NumPy: state of the thread that no program looks at.
SETTINGS = frozenset(
    {
        "errstate",
        "seterr",
        "geterr",
        "seterrcall",
        "geterrcall",
        "getbufsize",
        "setbufsize",
        "printoptions",
        "set_printoptions",
    }
)
NEVER_CHANGE = (*PLAIN, tuple, frozenset, types.MethodType, range, slice)  # in themselves
LONGEST = 10_000  # elements of one container
BYTES = 65_536  # of an array that is compared at each call


VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
CALLABLE = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType, partial, types.ModuleType,
    type(lru_cache(lambda: None)),
)  # fmt: skip


def is_a(value: Any, kinds: Any) -> bool:
    """isinstance that does not ask an object for its __class__, which could be code of the user's."""
    return issubclass(type(value), kinds)


# Of libraries, and all that is in them is the user's.
OPEN = frozenset({("types", "SimpleNamespace"), ("argparse", "Namespace")})


def room_of_class(kind: type) -> str:
    """Whose class it is: "own" (tapegrad's), "library" (Python's, NumPy's), or "user".

    The module that a class names may be another than the one that made it: dataclasses.make_dataclass names `types`,
    a class statement under exec `builtins`. So the module must hold the class, or its methods' code is asked.
    """
    name = getattr(kind, "__module__", None) or ""
    if not isinstance(name, str):
        return "user"
    room = room_of_name(name, kind)
    if room == "user" or not is_python(kind) or holds(sys.modules.get(name), kind):
        return room
    rooms = {
        room_of(v.__code__.co_filename) for v in vars(kind).values() if isinstance(v, types.FunctionType)
    }
    return room if rooms and "user" not in rooms else "user"


def is_python(kind: type) -> bool:
    """Whether a class statement may have made it: others cannot be derived from, or have attributes nobody can set."""
    return bool(kind.__flags__ & DERIVABLE) and not kind.__flags__ & IMMUTABLE


DERIVABLE, IMMUTABLE = 1 << 10, 1 << 8  # Py_TPFLAGS_BASETYPE, Py_TPFLAGS_IMMUTABLETYPE


def holds(module: Any, named: Any) -> bool:
    """Whether a module has a class or function under the name that this says."""
    found = module
    for part in named.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is named


def room_of_name(name: str, kind: type) -> str:
    """Whose class it is by the module that it names."""
    if name == "tapegrad" or name.startswith("tapegrad."):
        return "own"
    if (name, kind.__name__) in OPEN:
        return "user"
    path = file_of(sys.modules.get(name))
    built_in = path is None and name.partition(".")[0] in sys.stdlib_module_names
    if name in ("builtins", "numpy") or (built_in and name != "__main__"):
        return "library"
    return "user" if path is None else room_of(path)


def file_of(module: object) -> Any:
    """Where a module was read from. Asks no `__getattr__` of a module."""
    return None if module is None else object.__getattribute__(module, "__dict__").get("__file__")


def cannot_follow(value: object, name: str) -> str | None:
    """Why a value gives something else at each use, if it does."""
    if is_a(value, (random.Random, *random_generators())):
        return f"{name} is a random generator: draw with tapegrad, or pass the numbers in"
    if hasattr(type(value), "readline"):
        return f"{name} is a stream: read it outside, and pass in what it gives"
    if is_a(value, (types.GeneratorType, types.CoroutineType)) or hasattr(type(value), "__next__"):
        return f"{name} is an iterator: pass its next value as an argument"
    if is_a(value, decimal_contexts()):
        return f"{name} is a context of decimal, which each operation in it changes: pass in what comes of it"
    if type(value) in BY_TYPE and not is_a(value, np.ndarray):
        return f"{name} is a bare array: make it a tensor outside, with tg.tensor"
    return None


def decimal_contexts() -> tuple[type, ...]:
    decimal = sys.modules.get("decimal")
    return () if decimal is None else (decimal.Context,)


def decimal_context() -> tuple[Any, ...]:
    """What the results of decimal numbers depend on, and what a new context takes over."""
    decimal = sys.modules["decimal"]
    return tuple(
        (c.prec, c.rounding, c.Emin, c.Emax, c.capitals, c.clamp, tuple(c.traps.items()))
        for c in (decimal.getcontext(), decimal.DefaultContext)
    )


def loggers() -> dict[str, tuple[Any, ...]]:
    """What loggers that are asked for by name do, but for those that do what a new one does."""
    logging = sys.modules["logging"]
    root = logging.getLogger()
    found = {"root": root, **root.manager.loggerDict}
    states = {
        name: (x.level, x.disabled, x.propagate, x.handlers[:])
        for name, x in found.items()
        if isinstance(x, logging.Logger)
    }
    new: tuple[Any, ...] = (logging.NOTSET, False, True, [])
    return {"manager": (root.manager.disable,), **{n: s for n, s in states.items() if s != new}}


def is_plain_value(value: object) -> bool:
    """Whether it is a plain value, and of a class that no user has given attributes or methods."""
    plain = is_a(value, PLAIN) and not is_a(value, np.void)
    return plain and type(value).__module__ in ("builtins", "numpy", "numpy.dtypes")


def given_to_getter(value: Any) -> tuple[Any, ...]:
    """What an attrgetter, itemgetter or methodcaller was made of."""
    kind, given = value.__reduce__()
    return (*kind.args, *kind.keywords.values(), *given) if is_a(kind, partial) else given


def ends_of(value: slice) -> tuple[Any, Any, Any]:
    return value.start, value.stop, value.step


def shows_address(kind: type) -> bool:
    """Whether the text of an object says where it lies."""
    usual: Any = object.__repr__
    return kind.__repr__ is usual


def as_it_is(value: Any) -> Any:
    """The value, of a structured dtype a copy: the names of its fields may be set."""
    return deepcopy(value) if is_a(value, np.dtype) and value.names else value


def is_optimizer(kind: Any) -> bool:
    from tapegrad.optim.base import Optimizer

    return issubclass(kind, Optimizer)


def is_average(kind: Any) -> bool:
    from tapegrad.optim.ema import EMA

    return issubclass(kind, EMA)


def random_generators() -> tuple[type, ...]:
    made = sys.modules.get("numpy.random")
    return () if made is None else (made.Generator, made.RandomState, made.BitGenerator)


def opaque(kind: type) -> bool:
    """Whether instances hold state that Python cannot see: those of classes written in C, but for the known ones."""
    classes = [c for c in kind.__mro__ if c not in CONTAINERS]
    return any((room_of_class(c) == "library" and in_c(c)) or holds_unseen(c) for c in classes)


def holds_unseen(kind: type) -> bool:
    """Whether it is written in C, and gives its instances memory that none of its attributes shows."""
    if is_python(kind) and not in_c(kind):
        return False
    own, below = vars(kind), getattr(kind.__base__, "__basicsize__", 0)
    seen = [v for name, v in own.items() if is_a(v, types.MemberDescriptorType) or name in OF_INSTANCES]
    return kind.__basicsize__ - below > WORD * len(seen)


def is_function_in_c(kind: type) -> bool:
    """Whether its instances are functions of a library's own making, as Cython's: called by name, and not replaced."""
    own = set().union(*(vars(c) for c in kind.__mro__[:-1]))
    return any(map(holds_unseen, kind.__mro__)) and {"__name__", "__qualname__", "__call__"} <= own


OF_INSTANCES = ("__dict__", "__weakref__")
WORD = struct.calcsize("P")  # bytes of a pointer


def in_c(kind: type) -> bool:
    """Whether a class of a library is written in C: it has nothing that only a `class` statement makes."""
    own = vars(kind)
    if "__slots__" in own or set(OF_INSTANCES) <= own.keys():
        return False
    return not any(isinstance(v, (types.FunctionType, property)) for v in own.values())
