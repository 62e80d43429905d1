"""What a piece of code names, as far as it ran: a branch that was not taken names nothing."""

import dis
import re
from dis import Instruction
from functools import cached_property, lru_cache
from itertools import pairwise
from types import CodeType

from tapegrad.compiler.watch.operators import asked_by

JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
ENDS = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"})
NAMED, CONSTANT = frozenset(dis.hasname), frozenset(dis.hasconst)
VARIABLES = frozenset({*dis.hasfree, *dis.haslocal})
GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
FORMATS = ("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "BUILD_INTERPOLATION")
CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT")
CHANGING = ("STORE_ATTR", "DELETE_ATTR", "STORE_SUBSCR", "DELETE_SUBSCR")
MUTATORS = frozenset(
    "append extend insert add update pop popitem remove discard clear setdefault sort reverse write appendleft "  # noqa: SIM905
    "__setitem__ __delitem__ __setattr__ __delattr__ __iadd__ setattr delattr".split()
)
PRINTING = frozenset({
    "repr", "str", "format", "ascii", "__repr__", "__str__", "__format__", "format_map", "vformat", "mod", "__mod__",
    "substitute", "safe_substitute", "dumps", "deepcopy", "copy",
})  # fmt: skip
# What makes a set or adds to one: the order in it comes from where the objects lie.
SHOWING = (PRINTING - {"copy", "deepcopy"}) | {"set", "frozenset", "add"}
PERCENT = ("%", "%=")
ORDERS = frozenset({"<", "<=", ">", ">="})
IDENTITY = frozenset(
    "id hash index count remove is_ is_not eq ne set frozenset add fromkeys setdefault Counter discard".split()  # noqa: SIM905
)
# What writes into an array besides, by its name or as the name of an argument.
WRITERS = frozenset(
    "out fill put itemset sort partition resize byteswap setfield copyto putmask place put_along_axis "  # noqa: SIM905
    "fill_diagonal at shuffle setitem iadd isub imul itruediv ifloordiv imod ipow imatmul iand ior ixor "
    "__setitem__ __iadd__ __isub__ __imul__ __itruediv__ memoryview frombuffer".split()
)
HOLDERS = (
    "LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_ATTR", "BINARY_SUBSCR", "FOR_ITER", "UNPACK_SEQUENCE",
    "UNPACK_EX",
)  # fmt: skip
TELLING_APART = frozenset({"id", "is_", "is_not"})


class Part:
    """What the instructions of a piece of code name that ran.

    names      of globals and attributes
    texts      constants of text that may be the names of attributes
    globals    names that are looked up in the module
    values     names of globals that are taken as values, and not called at once
    attributes   (the instruction that loads what has it, the name in that, the attribute, whether it is called at once)
    fetched    local variables that hold what was imported, a global or an attribute, such as a module
    free       the variables of functions around it that it uses
    imports    the modules that it imports
    by_identity   whether it may tell objects apart: `a is b` (but not `a is None`), `a == b`, `a in b`, `id(a)`
    tells_apart   whether it may tell apart what is equal and never changes: `a is b`, `id(a)`
    operators     the special methods that its operators ask for
    shows         whether it may tell where an object lies: by a text of it, or by the order in a set
    prints        whether it may read all that is in an object without naming it: `a == b`, `f"{a}"`, `str(a)`
    catches       whether an error was raised in it or passed on, which it may have caught
    matches       whether it has a `case Point(x=a)`, whose attribute need not be there
    matches_by_place   whether it has a `case Point(x, y)`, which reads attributes that it does not name
    """

    def __init__(
        self, code: CodeType, offsets: frozenset[int] | None, quiet: frozenset[int] = frozenset()
    ) -> None:
        """quiet   the offsets of those that made texts of numbers and words alone"""
        self.code, self.quiet = code, quiet
        self.ran = instructions(code) if offsets is None else executed(instructions(code), offsets)
        self.names = frozenset(name_in(i) for i in self.ran if i.opcode in NAMED)

    @cached_property
    def offsets(self) -> frozenset[int]:
        return frozenset(i.offset for i in self.ran)

    @cached_property
    def texts(self) -> frozenset[str]:
        found = set()

        def take(constant: object) -> None:
            if isinstance(constant, str) and constant.isidentifier():
                found.add(constant)
            elif isinstance(constant, (tuple, frozenset)):
                for part in constant:
                    take(part)

        for i in self.ran:
            if i.opcode in CONSTANT or i.opname == "KW_NAMES":
                take(self.code.co_consts[i.arg or 0])
        return frozenset(found)

    @cached_property
    def words(self) -> frozenset[str]:
        return self.names | self.texts

    @cached_property
    def globals(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name_in(i) for i in self.ran if i.opname in GLOBALS))

    @cached_property
    def values(self) -> frozenset[str]:
        loads = ("LOAD_GLOBAL", "LOAD_NAME")
        return frozenset(
            name_in(i) for n, i in enumerate(self.ran) if i.opname in loads and not self.called(n)
        )

    @cached_property
    def attributes(self) -> frozenset[tuple[str, str, str, bool]]:
        return frozenset(
            (before.opname, str(before.argval), name_in(i), i.opname == "LOAD_METHOD" or self.called(n))
            for n, (before, i) in enumerate(pairwise(self.ran), 1)
            if i.opname in ("LOAD_ATTR", "LOAD_METHOD")
        )

    @cached_property
    def fetched(self) -> frozenset[str]:
        sources = ("IMPORT_NAME", "IMPORT_FROM", "LOAD_ATTR", "LOAD_GLOBAL")
        pairs = pairwise(self.ran)
        return frozenset(
            str(i.argval) for before, i in pairs if before.opname in sources and i.opname == "STORE_FAST"
        )

    @cached_property
    def free(self) -> frozenset[str]:
        named: set[str] = set()
        for i in self.ran:
            if i.opcode in VARIABLES:
                named.update(i.argval if isinstance(i.argval, tuple) else (str(i.argval),))
        return frozenset(named.intersection(self.code.co_freevars))

    def called(self, n: int) -> bool:
        """Whether what the n-th instruction loads is called at once."""
        if "NULL" in self.ran[n].argrepr:
            return True
        following = self.ran[n + 1] if n + 1 < len(self.ran) else None
        return following is not None and following.opname == "PUSH_NULL"

    @cached_property
    def imports(self) -> tuple[str, ...]:
        return tuple(name_in(i) for i in self.ran if i.opname == "IMPORT_NAME")

    @cached_property
    def changes(self) -> str:
        """The name of something from outside that it may change; "" if there is none."""
        for n, i in enumerate(self.ran):
            named = name_in(i)
            owner = self.ran[max(0, n - 2 if i.opname.endswith("_SUBSCR") else n - 1)]
            if i.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") or (
                i.opname in ("STORE_DEREF", "DELETE_DEREF") and named in self.code.co_freevars
            ):
                return named
            reaches = i.opname in CHANGING or (i.opname in ("LOAD_ATTR", "LOAD_METHOD") and named in MUTATORS)
            if reaches and owner.opname != "LOAD_FAST":
                names = (name for name in (name_in(owner), named) if name.isidentifier() and name != "None")
                return next(names, "a container")
        return ""

    @cached_property
    def mutates(self) -> bool:
        """Whether it may change a container, which another name may hold, too."""
        return any(i.opname in CHANGING or name_in(i) in MUTATORS for i in self.ran)

    @cached_property
    def writes_arrays(self) -> bool:
        """Whether it may write into a NumPy array: by an index, an operator such as `+=`, `out=`, or a function."""
        in_place = any(
            before.opname == "BINARY_OP"
            and before.argrepr.endswith("=")
            and (i.opname != "STORE_FAST" or name_in(i) in self.handed_on)
            for before, i in pairwise(self.ran)
        )
        stores = any(i.opname in ("STORE_SUBSCR", "STORE_SLICE") for i in self.ran)
        return in_place or stores or not WRITERS.isdisjoint(self.words)

    @cached_property
    def handed_on(self) -> frozenset[str]:
        """Parameters, and local variables that are set to what another name, a container or a loop holds: not to a
        number, or to what a call or an operation makes."""
        found, held = set(self.code.co_varnames[: self.code.co_argcount + self.code.co_kwonlyargcount]), False
        for before, i in pairwise(self.ran):
            if i.opname != "STORE_FAST":
                held = i.opname in HOLDERS and before.opname not in CONSTANTS
            elif held:
                found.add(name_in(i))
        return frozenset(found)

    @cached_property
    def tells_apart(self) -> bool:
        """Whether it has an `a is b` of which neither is None, or what says the same."""
        pairs = pairwise(self.ran)
        compares = any(i.opname == "IS_OP" and before.opname not in CONSTANTS for before, i in pairs)
        return compares or not TELLING_APART.isdisjoint(self.names)

    @cached_property
    def operators(self) -> frozenset[str]:
        return asked_by(self.ran)

    @cached_property
    def by_identity(self) -> bool:
        before = None
        for i in self.ran:
            constant = before is not None and before.opname in CONSTANTS
            if i.opname in ("BUILD_MAP", "BUILD_SET", "MAP_ADD", "SET_ADD"):
                return True
            compares = i.opname in ("IS_OP", "CONTAINS_OP", "COMPARE_OP")
            if compares and not constant and i.argval not in ORDERS:
                return True
            before = i
        return not IDENTITY.isdisjoint(self.names)

    @cached_property
    def shows(self) -> bool:
        return any(i.offset not in self.quiet and (makes_set(i) or makes_text(i, SHOWING)) for i in self.ran)

    @cached_property
    def prints(self) -> bool:
        return self.by_identity or any(makes_set(i) or makes_text(i, SHOWING | PRINTING) for i in self.ran)

    @cached_property
    def asks_abc(self) -> bool:
        """Whether it has a `case {…}` or `case […]`, which ask what is registered as a mapping or sequence."""
        return any(i.opname in ("MATCH_MAPPING", "MATCH_SEQUENCE") for i in self.ran)

    @cached_property
    def catches(self) -> bool:
        return any(i.opname == "PUSH_EXC_INFO" for i in self.ran)

    @cached_property
    def matches(self) -> bool:
        return any(i.opname == "MATCH_CLASS" for i in self.ran)

    @cached_property
    def matches_by_place(self) -> bool:
        return any(i.opname == "MATCH_CLASS" and i.arg for i in self.ran)


@lru_cache(4096)
def part_of(
    code: CodeType, offsets: frozenset[int] | None = None, quiet: frozenset[int] = frozenset()
) -> Part:
    """The part of a piece of code whose instructions at these offsets were met; None: all of it."""
    return Part(code, offsets, quiet)


def makes_set(i: Instruction) -> bool:
    return i.opname in ("BUILD_SET", "SET_ADD")


def makes_text(i: Instruction, words: frozenset[str]) -> bool:
    return i.opname in FORMATS or i.argrepr in PERCENT or (i.opcode in NAMED and name_in(i) in words)


@lru_cache(4096)
def instructions(code: CodeType) -> tuple[Instruction, ...]:
    return tuple(simple for i in dis.get_instructions(code) for simple in simplified(i))


def simplified(i: Instruction) -> list[Instruction]:
    """An instruction as those that Python 3.11 has: one that loads or stores two local variables is two."""
    kinds = re.findall("LOAD_FAST|STORE_FAST", i.opname)
    if not kinds:
        return [i]
    names = i.argval if isinstance(i.argval, tuple) else (i.argval,)
    return [
        i._replace(opname=kind, opcode=dis.opmap[kind], argval=name, argrepr=name)
        for kind, name in zip(kinds, names, strict=True)
    ]


def executed(all_of_them: tuple[Instruction, ...], offsets: frozenset[int]) -> list[Instruction]:
    """Those that were met, and those to which control falls through from one that was: none is left out that ran."""
    found, on = [], True
    for i in all_of_them:
        if on := on or i.offset in offsets:
            found.append(i)
        if i.opcode in JUMPS or i.opname in ENDS:
            on = False
    return found


@lru_cache(4096)
def has_branches(code: CodeType) -> bool:
    """Whether a part of it may not run though the rest does."""
    return bool(code.co_exceptiontable) or any(i.opcode in JUMPS for i in instructions(code))


def name_in(instruction: Instruction) -> str:
    """Of a global or an attribute that it names."""
    return str(instruction.argval)
