"""What the leaves and calls of a tape are called: as the user names them, or as keep_lines knows them; else by a letter
and a number."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count

from tapegrad.autograd.aliases import Tree
from tapegrad.autograd.structure import is_module
from tapegrad.autograd.tapes.sites import site_of
from tapegrad.autograd.tensor import Node, Tensor


def given_names(names: Tree) -> Mapping[str, Tensor]:
    """The `names` of `tg.tape` as a dict {name: leaf}, checked."""
    if names is None or is_module(names):
        return {} if names is None else dict(names.named_parameters())
    if not isinstance(names, Mapping):
        raise TypeError(
            f"tape: names: expected a Module or a dict {{name: leaf}}, got {type(names).__name__}"
        )
    known: dict[Tensor, str] = {}
    called: dict[str, Tensor] = {}
    for name, part in names.items():
        if not isinstance(name, str) or not (isinstance(part, Tensor) or is_module(part)):
            raise TypeError(f"tape: names: expected a text for each Tensor or Module, got {name!r}: {part!r}")
        if not name.strip():
            raise ValueError(
                f"tape: names: {name!r} is no name: give the {type(part).__name__} one that can be read"
            )
        if isinstance(part, Tensor) and part.node is not None:
            raise ValueError(
                f"tape: names: {name!r} is no leaf but the result of {part.node.primitive.name}: results have the "
                "names of their calls, as v1: name the tensors that it starts from"
            )
        parts = part.named_parameters() if is_module(part) else [("", part)]
        for path, leaf in parts:
            full = f"{name}.{path}" if path else name
            if known.setdefault(leaf, full) != full:
                raise ValueError(
                    f"tape: names: {known[leaf]!r} and {full!r} are one tensor: give it one name"
                )
            if called.setdefault(full, leaf) is not leaf:
                raise ValueError(
                    f"tape: names: two tensors are called {full!r}: give the one from outside another name"
                )
    return called


def numbered(kind: str, used: set[str]) -> Iterator[str]:
    """Names of a letter and a number that nothing has."""
    return (name for name in map(f"{kind}{{}}".format, count(1)) if name not in used)


def prefixes() -> Iterator[str]:
    """What may stand before a name for its cotangent."""
    return (f"d{'_' * k}" for k in count())


def unused(name: str, taken: set[str]) -> str:
    """A name, with a number behind it if there is one like it."""
    return name if name not in taken else next(n for k in count(2) if (n := f"{name}_{k}") not in taken)


def names_kept(nodes: list[Node], given: Mapping[Tensor, str]) -> dict[Tensor, str]:
    """The names that were given, and what keep_lines knows of the other leaves: the paths of parameters, and the user's
    variables. A variable that was one leaf and then another is the name of neither."""
    names = dict(given)
    taken = {*names.values()}
    held: dict[str, set[Tensor]] = {}
    for node in nodes:
        for t, variables in zip(node.inputs, site_of(node).names):
            for name in variables if isinstance(t, Tensor) else ():
                held.setdefault(name, set()).add(t)

    def give(t: Tensor, name: str) -> None:
        names[t] = name
        taken.add(name)

    roots = {site.runs[0].module: site.root for node in nodes if (site := site_of(node)).runs}
    paths = [(root, path, t) for root in roots for path, t in root.named_parameters() if t not in names]
    alone = len(roots) == 1 and all(held.get(path, {t}) == {t} for _, path, t in paths)
    shared = Counter(roots.values())
    for root, path, parameter in paths:
        variable = roots[root] if shared[roots[root]] == 1 else ""
        prefix = "" if alone else f"{variable or type(root).__name__}."
        give(parameter, unused(prefix + path, taken))
    for name, (t, *others) in held.items():
        if not others and t not in names and name not in taken:
            give(t, name)
    return names


def names_of_converted(nodes: list[Node], known: Mapping[Tensor, str]) -> dict[Tensor, str]:
    """The names of leaves that are copies of a named tensor in another dtype, which arithmetic makes of integers."""
    inputs = [t for node in nodes for t in node.recorded_inputs() if isinstance(t, Tensor) and t.node is None]
    taken = {name for t, name in known.items() if t in {*inputs}}
    names: dict[Tensor, str] = {}
    for t in inputs:
        name = next((known[s] for s in converted_from(t) if s in known), "")
        if name and t not in known and t not in names:
            names[t] = unused(name if name not in taken else f"{name}_{t.dtype}", taken)
            taken.add(names[t])
    return names


def converted_from(t: Tensor) -> Iterator[Tensor]:
    """What a tensor is a copy of in another dtype, and what that is a copy of."""
    return (s for source in getattr(t, "_converted_from", ()) if (s := source()) is not None)
