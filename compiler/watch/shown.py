"""Of what code makes texts: one of an object without a text of its own says where that lies, one of a number does not.

Where a text is made of a variable, or of an attribute of one, that is looked at when it is made. Where it is made of
anything else, and where objects are put into a set, nobody looks: it may be of any object."""

import builtins
import operator
from collections.abc import Sequence
from dis import Instruction
from functools import lru_cache
from inspect import getattr_static
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.watch.asking import BEFORE_CALL, ends_of_arguments
from tapegrad.compiler.watch.code import CONSTANT, FORMATS, NAMED, PERCENT, SHOWING, instructions
from tapegrad.compiler.watch.kinds import PLAIN, is_a, is_plain_value, room_of_class
from tapegrad.compiler.watch.rooms import room_of

OF_ONE_VALUE = frozenset({"str", "repr", "format", "ascii"})  # of Python: a text of what they are given
GIVING_PLAIN = frozenset({"len", "float", "int", "bool"}) | OF_ONE_VALUE
VARIABLES = ("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL")
OF_ARRAYS = frozenset({"shape", "dtype", "ndim", "size", "device", "requires_grad"})
USUAL: tuple[Any, ...] = (object.__getattribute__, ModuleType.__getattribute__, type.__getattribute__)
CALLING = dict.fromkeys([BEFORE_CALL, "CALL"])  # the instructions of a call, when its arguments are there
DEEPEST = 3  # containers in one another


class Subject(NamedTuple):
    """What a text is made of: an attribute of an attribute … of a variable or constant.

    load      the instruction that loads the variable
    called    the builtin that is called on it, or ""
    """

    load: str
    name: Any
    attributes: tuple[str, ...] = ()
    called: str = ""


class Showing(NamedTuple):
    """Where code may make a text. subjects: of what; None: of anything. method: no text if that is a function that is
    heard itself, or an addition; "" where it is none."""

    subjects: tuple[Subject, ...] | None
    method: str = ""


@lru_cache(4096)
def showing(code: CodeType) -> dict[int, Showing]:
    """Offset of an instruction -> of what it may make a text, where that can be looked at."""
    ran = instructions(code)
    found = {i.offset: of_instruction(ran, n) for n, i in enumerate(ran)}
    return {offset: s for offset, s in found.items() if s is not None and s.subjects is not None}


def of_instruction(ran: Sequence[Instruction], n: int) -> Showing | None:
    i = ran[n]
    if i.opname in FORMATS:
        return Showing(of_format(ran, n))
    if i.argrepr in PERCENT:  # only what is on the right is put into a text
        return Showing(single(ran, n))
    if i.opcode not in NAMED or i.argval not in SHOWING:
        return None
    if i.opname == "LOAD_GLOBAL":
        own = Showing((Subject("LOAD_GLOBAL", i.argval),), i.argval)
        return Showing(of_arguments(ran, n)) if i.argval in OF_ONE_VALUE else own
    if i.argval == "format" and n and ran[n - 1].opcode in CONSTANT:
        return Showing(of_arguments(ran, n))
    return Showing(single(ran, n), str(i.argval))


def of_format(ran: Sequence[Instruction], n: int) -> tuple[Subject, ...] | None:
    """Of what an f-string makes a text. Where it says how, as in `.3f`, what has no text of its own raises."""
    i = ran[n]
    with_spec = i.opname == "FORMAT_WITH_SPEC" or (i.opname == "FORMAT_VALUE" and (i.arg or 0) & 4)
    if not with_spec:
        return single(ran, n - 1 if ran[n - 1].opname == "CONVERT_VALUE" else n)
    converted = ran[n - 2].opname == "CONVERT_VALUE" or (i.opname == "FORMAT_VALUE" and (i.arg or 0) & 3)
    plain = ran[n - 1].opcode in CONSTANT and ran[n - 1].argval and not i.is_jump_target
    return () if plain and not converted else None


def single(ran: Sequence[Instruction], n: int) -> tuple[Subject, ...] | None:
    """What is on top of the stack when the n-th instruction comes."""
    found = None if ran[n].is_jump_target else subject(ran, n - 1)
    return None if found is None else (found[0],)


def of_arguments(ran: Sequence[Instruction], n: int) -> tuple[Subject, ...] | None:
    """What is given to what the n-th instruction loads."""
    ends = ends_of_arguments(ran, n)
    found = [subject(ran, ends[k]) for k in range(1, len(ends))]
    whole = all(s is not None and s[1] == ends[k] + 1 for k, s in enumerate(found))
    return tuple(s[0] for s in found if s is not None) if found and whole else None


def subject(ran: Sequence[Instruction], n: int) -> tuple[Subject, int] | None:
    """What the n-th instruction leaves on the stack, and the first instruction that has a part in that."""
    attributes: list[str] = []
    while n > 0 and ran[n].opname == "LOAD_ATTR" and "NULL" not in ran[n].argrepr:
        attributes.insert(0, str(ran[n].argval))
        if ran[n].is_jump_target:
            return None
        n -= 1
    i = ran[n]
    if i.opcode in CONSTANT or i.opname in VARIABLES:
        kind = "LOAD_CONST" if i.opcode in CONSTANT else i.opname
        return Subject(kind, i.argval, tuple(attributes)), n
    if i.opname != "CALL" or i.arg != 1 or attributes:
        return None
    return of_a_call(ran, n)


def of_a_call(ran: Sequence[Instruction], n: int) -> tuple[Subject, int] | None:
    """`len(x)` and its like, which give a number, or a text that is looked at where it is made, whatever x is."""
    for m in range(n - 1, -1, -1):
        if ran[m].opname == "LOAD_GLOBAL" and ran[m].argval in GIVING_PLAIN:
            ends = ends_of_arguments(ran, m)
            at_once = len(ends) == 2 and ends[1] + len(CALLING) == n
            return (Subject("LOAD_GLOBAL", ran[m].argval, (), ran[m].argval), m) if at_once else None
    return None


# ---- what is there when it is made ----
def shows_no_place(frame: FrameType, of: Showing) -> bool:
    """Whether the text that a frame is about to make says of no object where it lies."""
    try:
        values = [value_of(frame, s) for s in of.subjects or ()]
        if of.method:
            return all(is_heard(value, of.method) for value in values)
    except (LookupError, AttributeError):
        return False
    return all(
        value is vars(builtins)[s.called] if s.called else tells_no_place(value)
        for s, value in zip(of.subjects or (), values)
    )


def value_of(frame: FrameType, of: Subject) -> Any:
    """Raises LookupError or AttributeError where it is not known without code of the user's."""
    if of.load == "LOAD_CONST":
        value = of.name
    elif of.load == "LOAD_GLOBAL":
        scope = frame.f_globals
        value = scope[of.name] if of.name in scope else frame.f_builtins[of.name]
    else:
        value = frame.f_locals[of.name]
    for attribute in of.attributes:
        value = attribute_of(value, attribute)
    return value


def attribute_of(value: Any, name: str) -> Any:
    kind = type(value)
    if name in OF_ARRAYS and (kind is np.ndarray or is_our_tensor(value)):
        return getattr(value, name)
    found = found_as_it_is(value, name)
    if is_a(found, MemberDescriptorType):
        return found.__get__(value)
    if any("__get__" in vars(c) for c in type(found).__mro__):
        raise LookupError(name)
    return found


def found_as_it_is(value: Any, name: str) -> Any:
    """What an object or its class has under a name, without any code being asked."""
    kind = type(value)
    if kind.__getattribute__ not in USUAL or (is_a(value, type) and kind is not type):
        raise LookupError(name)
    return getattr_static(value, name)


def is_our_tensor(value: Any) -> bool:
    return is_a(value, Tensor) and room_of_class(type(value)) == "own"


def tells_no_place(value: Any, depth: int = DEEPEST) -> bool:
    """Whether the text of a value is made of numbers and words alone."""
    if type(value) in (tuple, list, dict) and depth:
        parts = [*value, *value.values()] if type(value) is dict else value
        return all(tells_no_place(part, depth - 1) for part in parts)
    if is_a(value, np.dtype):
        return value.metadata is None and not value.names
    known = is_plain_value(value) and type(value) in (*PLAIN, *np.sctypeDict.values())
    return (known and not is_a(value, np.object_)) or is_our_tensor(value)


def is_heard(owner: Any, method: str) -> bool:
    """Whether a function, or the one that an object has under a name, is Python's addition, or code that is met itself
    as it runs: the user's and ours."""
    f = owner
    if not is_a(owner, (FunctionType, Primitive)) and owner is not operator.add:
        f = found_as_it_is(owner, method)
    if is_a(f, FunctionType):
        return room_of(f.__code__.co_filename) != "library"
    return f is operator.add or is_a(f, Primitive)
