"""Reads docstrings in Google style, and the public names whose docstrings are held to it."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import tapegrad as tg
from tapegrad import backends, data, models, nn, optim
from tapegrad.autograd.operators import METHODS
from tapegrad.autograd.primitive import Primitive

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "References")


def sections(text: str) -> dict[str, list[str]]:
    """The lines of each section of a docstring by its title, without their indentation; "" has the text before."""
    found: dict[str, list[str]] = {"": []}
    title = ""
    for line in inspect.cleandoc(text).splitlines():
        if match := re.fullmatch(rf"({'|'.join(SECTIONS)}):", line):
            title = match[1]
            assert title not in found, f"two sections {title}"
            found[title] = []
        elif title and line and not line.startswith(" "):
            title = ""
            found[""].append(line)
        else:
            found[title].append(line[4:] if title else line)
    return found


def entries(lines: list[str]) -> list[str]:
    """The names that a section describes: `name: text` or `one, two: text`, with further lines indented."""
    found = []
    for line in lines:
        if line and not line.startswith(" "):
            names, colon, text = line.partition(":")
            assert colon and text.strip(), f"expected `name: text`, got {line!r}"
            found += [name.strip().lstrip("*") for name in names.split(",")]
    return found


def parameters(value: Any) -> list[str]:
    """The names that a call takes, but for self; of a class, those of its constructor."""
    if isinstance(value, Primitive):
        return list(value.array_names)
    return [name for name in inspect.signature(value).parameters if name not in ("self", "cls")]


def faults(value: Any) -> list[str]:
    """What a docstring leaves out, and what it describes that is not there."""
    text = value.__doc__ or ""
    if not text.strip():
        return ["it has no docstring"]
    try:
        found = sections(text)
        described = entries(found.get("Args", []))
        entries(found.get("Raises", []))
    except AssertionError as error:
        return [str(error)]
    taken = parameters(value)
    return [
        *(f"{name} is not described" for name in taken if name not in described),
        *(f"{name} is described and not taken" for name in described if name not in taken),
    ]


def is_described(value: Any) -> bool:
    """Whether a value has a docstring of its own: a function, a primitive, a class that is no exception."""
    if isinstance(value, type):
        return not issubclass(value, BaseException)
    return isinstance(value, Primitive) or inspect.isroutine(value)


def members(kind: type, name: str, named: set[type]) -> Iterator[tuple[str, Any]]:
    """The public methods that a class defines itself, or has from a base of ours that no room names.

    Those whose docstring is that of a base are left out.
    """
    for base in kind.__mro__:
        if base is not kind and (base in named or not base.__module__.startswith("tapegrad.")):
            continue
        fields = getattr(base, "__dataclass_fields__", {})
        for key, member in vars(base).items():
            member = getattr(member, "__func__", member)
            inherits = not getattr(member, "__doc__", "") and any(hasattr(b, key) for b in base.__mro__[1:])
            written_here = inspect.isfunction(member) and member.__name__ == key and key not in fields
            if written_here and not key.startswith("_") and not inherits:
                yield f"{name}.{key}", member


ROOMS: dict[str, Any] = {
    "tg": tg, "tg.random": tg.random, "nn": nn, "nn.activations": nn.activations, "nn.functional": nn.functional,
    "nn.losses": nn.losses, "nn.init": nn.init, "optim": optim, "data": data, "models": models, "backends": backends,
}  # fmt: skip


def public() -> dict[str, Any]:
    """Every public function and class, and the public methods of the classes, by name."""
    found = {}
    for room, module in ROOMS.items():
        for name in dir(module) if module is tg else module.__all__:
            value = getattr(module, name)
            if is_described(value):
                found[f"{room}.{name}"] = value
    classes = {name: value for name, value in found.items() if isinstance(value, type)}
    seen = set()
    for name, kind in classes.items():
        for key, member in members(kind, name, set(classes.values())):
            if key not in found and id(member) not in seen:
                seen.add(id(member))
                found[key] = member
    for name in METHODS:
        found.pop(f"tg.Tensor.{name}", None)  # the function of that name is held to it
    return found
