"""Answers to names and keywords of other libraries: "tapegrad's name for torch.cat is tg.concat(arrays, axis=0)".

The names stand in one plain file for each room, which is read when a name is not found: tg.txt, tensor.txt, nn.txt,
functional.txt, losses.txt, init.txt, module.txt, random.txt, tree.txt and autograd.txt; keywords.txt has the keywords
of all functions. The page docs/coming_from.md is made from them.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# The rooms in which a name is looked for that is not in the one where it was asked for.
PUBLIC = (
    ("tg", "tapegrad"),
    ("tg.nn", "tapegrad.nn"),
    ("tg.nn.functional", "tapegrad.nn.functional"),
    ("tg.nn.losses", "tapegrad.nn.losses"),
    ("tg.nn.init", "tapegrad.nn.init"),
    ("tg.optim", "tapegrad.optim"),
    ("tg.random", "tapegrad.random"),
    ("tg.tree", "tapegrad.tree"),
    ("tapegrad.models", "tapegrad.models"),
    ("tapegrad.data", "tapegrad.data"),
)


class Entry(NamedTuple):
    """A name of another library, our spelling ("" where there is none), and a remark."""

    theirs: str
    ours: str
    remark: str

    def __str__(self) -> str:
        remark = f" ({self.remark})" if self.remark else ""
        if not self.ours:
            return f"tapegrad has no {self.theirs}: {self.remark}"
        return f"tapegrad's name for {self.theirs} is {self.ours}{remark}"


def entry(theirs: str, ours: str) -> Entry:
    """What stands for a name: `our spelling # a remark`, or `none: what to do`."""
    spelling, _, remark = ours.partition(" # ")
    return (
        Entry(theirs, "", spelling[6:]) if spelling.startswith("none: ") else Entry(theirs, spelling, remark)
    )


def rows(room: str) -> list[tuple[list[str], str, str]]:
    """The lines of a room's file: their names, our spelling, the remark."""
    found = []
    for line in Path(__file__).with_name(f"{room}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            theirs, _, ours = line.partition(" -> ")
            _, spelling, remark = entry(theirs, ours)
            found.append((theirs.split(", "), spelling, remark))
    return found


@cache
def table(room: str) -> dict[str, Entry]:
    """The names of a room by their last part."""
    entries: dict[str, Entry] = {}
    for names, ours, remark in rows(room):
        for name in names:
            entries.setdefault(name.rpartition(".")[2], Entry(name, ours, remark))
    return entries


@cache
def keywords() -> dict[str, tuple[list[str], str]]:
    """Their keywords: ours, of which a function has one, and the remark where there is none."""
    entries: dict[str, tuple[list[str], str]] = {}
    for names, ours, remark in rows("keywords"):
        for name in names:
            own, note = entries.get(name, ([], ""))
            entries[name] = own + ([w for w in ours.split(", ") if w] if ours else []), note or remark
    return entries


def answer(room: str, name: str, public: Iterable[str]) -> str:
    """What to write for a name that a room does not have, or ""."""
    entry = table(room).get(name)
    if entry is not None:
        return str(entry)
    if room not in ("tensor", "module") and (place := elsewhere(name)):
        return f"it is {place}"
    from difflib import get_close_matches

    close = get_close_matches(name, [p for p in public if not p.startswith("_")], n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else ""


def elsewhere(name: str) -> str:
    """The public room that has a name, as one writes it."""
    for spelling, module in PUBLIC:
        loaded = sys.modules.get(module)
        if loaded is not None and name in getattr(loaded, "__all__", ()):
            return f"{spelling}.{name}"
    return ""


def no_attribute(owner: str, room: str, name: str, public: Iterable[str]) -> AttributeError:
    """The error for an attribute that is not there. It names public names only."""
    said = "" if name.startswith("__") else answer(room, name, public)
    return AttributeError(f"{owner} has no attribute {name!r}" + (f": {said}" if said else ""))


def getattr_of(module: str, room: str, later: Mapping[str, str] | None = None) -> Callable[[str], object]:
    """A module's `__getattr__`. `later` are the rooms inside it that are loaded when they are first asked for, and the
    names that come with them: name -> room, or "" for a room."""

    def __getattr__(name: str) -> object:
        if later and name in later:
            inside = import_module(f"{module}.{later[name] or name}")
            found = getattr(inside, name) if later[name] else inside
            setattr(sys.modules[module], name, found)
            return found
        raise no_attribute(f"module {module!r}", room, name, sys.modules[module].__dir__())

    return __getattr__


# ---- keywords ----
def answering(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which answers a foreign keyword, or too many arguments by position, with what it takes."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # by something inside
            raise better(function, error, args, kwargs) from None

    return call


def answering_methods(kind: type, *names: str) -> None:
    """Have methods of a class answer as `answering` says."""
    for name in names:
        setattr(kind, name, answering(vars(kind)[name]))


def error_of_call(
    module: object, forward: Callable[..., object], error: TypeError, args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> TypeError:  # fmt: skip
    """The error of a module's call: of a forward of ours that does not take these arguments, in the user's terms."""
    if error.__traceback__ is None or error.__traceback__.tb_next is not None:
        return error  # by something inside
    if not (getattr(forward, "__module__", None) or "").startswith("tapegrad"):
        return error
    return better(forward, error, args, kwargs, type(module).__name__)


def better(
    function: Callable[..., object], error: TypeError, args: tuple[object, ...], kwargs: Mapping[str, object],
    called: str = "",
) -> TypeError:  # fmt: skip
    """The error of a call that does not fit the signature, in the user's terms. `called` is the function's name for
    messages, if it is not its own."""
    signature = inspect.signature(function)
    name = called or function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    given = args[1:] if len(parameters) < len(signature.parameters) else args
    taken = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for word in kwargs:
        if word not in taken and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return TypeError(unknown_keyword(name, word, taken))
    if re.search(r"positional arguments? but|too many positional", str(error)):
        bare = [p.replace(annotation=p.empty) for p in parameters]
        shown = f"{name}{signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}"
        return TypeError(
            f"{name}: {len(given)} argument{'s' * (len(given) > 1)} by position {'are' if len(given) > 1 else 'is'} "
            f"too many for {shown}" + (sizes(name, given) or by_position(name, given, parameters))
        )
    if name == "where" and len(given) == 1:
        return TypeError(
            "where: x1 and x2 are missing: where(condition, x1, x2); the places are nonzero(condition)"
        )
    if called:
        return TypeError(f"{called}: {str(error).removeprefix(f'{function.__qualname__}() ')}")
    return error


def sizes(name: str, given: tuple[object, ...]) -> str:
    """A remark for `zeros(2, 3)`."""
    if (
        len(given) > 1
        and name in ("zeros", "ones", "empty", "uniform")
        and all(isinstance(n, int) for n in given)
    ):
        bounds = "; tg.random.uniform(low, high, size) has bounds" if name == "uniform" else ""
        return f": the shape is one argument, {name}({given}){bounds}"
    return ""


# What the arguments by position are in PyTorch, and what to write.
BY_POSITION = {
    "flatten": "it makes one axis of all; PyTorch's flatten(1) is x.reshape(x.shape[0], -1)",
    "Flatten": "PyTorch's Flatten(1) is Flatten(); to flatten other axes, reshape",
    "Identity": "leave them out, it passes on what it gets",
    "softplus": "PyTorch's softplus(x, beta) is softplus(beta * x) / beta",
    "linear": "without a bias write x @ kernel; PyTorch's weight is the kernel transposed, x @ weight.T",
}
INPLACE = "PyTorch's inplace: leave it out and use the result, nothing here works in place"


def by_position(name: str, given: Sequence[object], parameters: Iterable[inspect.Parameter]) -> str:
    """A remark for a habit such as `t.sum(0, True)`, or ""."""
    if name in BY_POSITION:
        return f": {BY_POSITION[name]}"
    kinds = {p.name: p.kind for p in parameters}
    places = [p for p, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY]
    flags = given[len(places) :]
    if not flags or not all(isinstance(flag, bool) for flag in flags):
        return ""
    option = next((word for word in ("keepdims", "training", "descending") if word in kinds), "")
    if option:
        return f": write {option}={flags[0]}"
    of_one = name[:1].isupper() or places[:1] == ["x"]
    return f": {INPLACE}" if of_one and len(places) == len(kinds) else ""


def unknown_keyword(name: str, word: str, taken: list[str]) -> str:
    """What a function takes in place of a keyword."""
    ours, remark = keywords().get(word, ([], ""))
    fitting = [w for w in ours if w in taken]
    if fitting:
        return f"{name}: tapegrad's word for {word} is {fitting[0]}"
    if remark := remark or BY_POSITION.get(name, ""):
        return f"{name} has no keyword {word!r}: {remark}"
    from difflib import get_close_matches

    close = get_close_matches(word, taken, n=1)
    meant = f": did you mean {close[0]!r}?" if close else ""
    known = f"; it takes {', '.join(taken)}" if taken else "; it takes no arguments by name"
    return f"{name} has no keyword {word!r}{meant}{known}"
