"""The walk through tensors, arrays and optimizers."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from tapegrad.autograd.protocols import INTERNAL
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.watch.classes import Classes
from tapegrad.compiler.watch.kinds import BYTES, as_it_is, is_a, room_of_class
from tapegrad.compiler.watch.shared_memory import apart, clear, extent, layout, memory
from tapegrad.compiler.watch.walk import Reached

MISSING = object()
ADDRESSES = frozenset({"__array_interface__", "ctypes"})


class Tensors(Classes):
    """The part of the walk that knows which tensors are read at each call, and which must stay."""

    def tensor(self, local: str, t: Tensor, name: str, argument: bool) -> None:
        """An argument, and what was seen to be replaced, is read at each call; any other must be the same. So must a
        Parameter or Buffer that is an argument: a step sets its gradient, or writes to it."""
        self.tensors[id(t)] = Reached(local, name, t)
        self.inner_state(local, t, name)
        if room_of_class(type(t)) == "user":
            self.attributes(local, t, name, False)
        owner = self.owners.get(id(t.data))
        if owner is not None and owner is not t:
            self.guards.need(
                f"{local}._data is {self.tensors[id(owner)].local}._data",
                f"{name}: memory shared with another",
            )
        plain = type(t) is Tensor and t.node is None and not t.requires_grad
        if (argument and type(t) is Tensor) or (name in self.made_inputs and plain):
            self.read(local, t, name, argument)
        else:
            self.tensors[id(t)] = Reached(self.identical(local, t, name, place=plain), name, t)
            if t.node is None or t.requires_grad:
                asked = f"{local}._requires_grad" if t.requires_grad else f"not {local}._requires_grad"
                self.guards.need(asked, f"requires_grad of {name}")
        if owner is None:
            self.owners[id(t.data)] = t

    def inner_state(self, local: str, t: Tensor, name: str) -> None:
        """What is no input, and yet may be asked for by name."""
        for slot in INTERNAL & self.names.user:
            asked = f"{local}.{slot} is {self.guards.value(getattr(t, slot))}"
            self.guards.need(asked, f"{name}.{slot}")

    def read(self, local: str, t: Tensor, name: str, argument: bool = False, entry: bool = False) -> None:
        """A tensor that is an input. entry: it is read as it is before the call alone, like a gradient."""
        self.inputs.append(t)
        self.guards.read(local, t, name, argument, entry)

    def array(self, local: str, value: np.ndarray, name: str) -> None:
        if value.dtype.hasobject:
            self.refuse(f"{name} is a NumPy array of Python objects: make it a list, or tensors")
            return
        if value.nbytes > BYTES:
            self.refuse(
                f"{name} is a NumPy array of {value.nbytes:,} bytes, too large to compare at each call: make it a "
                "tensor outside, with tg.tensor"
            )
            return
        self.arrays.append((local, value, name))
        self.host_arithmetic = True
        if type(value) is not np.ndarray:
            self.attributes(local, value, name, False)
        self.guards.need(f"type({local}) is {self.guards.value(type(value))}", f"{name}: its type")
        kind = self.guards.fresh_value((value.shape, as_it_is(value.dtype), value.strides))
        asked = f"({local}.shape, {local}.dtype, {local}.strides)"
        self.guards.need(f"{asked} == {kind}", f"the shape, dtype or order in memory of {name}")
        if "base" in self.names.user:
            if is_a(value.base, np.ndarray):
                self.visit(f"{local}.base", value.base, f"{name}.base")
            else:
                self.guards.need(
                    f"type({local}.base) is {self.guards.value(type(value.base))}", f"{name}.base"
                )
        if "flags" in self.names.user:
            self.guards.need(f"{local}.flags.num == {value.flags.num}", f"{name}.flags")
        bytes_of = self.guards.value(np.ndarray.tobytes)  # a subclass may hide some
        self.guards.need(
            f"{bytes_of}({local}) == {self.guards.fresh_value(np.ndarray.tobytes(value))}",
            f"the contents of {name}",
        )

    def distinct_arrays(self, program: list[Array]) -> None:
        """What has memory in common, goes on having it: one may be written, and another one read. No array that code
        may write lies in memory that the program reads or writes. program: the arrays that it captured."""
        if not self.arrays:
            return
        g, given = self.guards, [value for _, value, _ in self.arrays]
        inputs = [(f"a{n}", t.data) for n, t in enumerate(self.inputs) if type(t.data) is np.ndarray]
        others = [array for _, array in inputs]
        g.program_memory[:] = memory(a for a in program if not any(a is array for array in others))
        extents = [*map(extent, given + others)]
        if not apart(g.program_memory, extents, len(given), *given, *others):
            if self.names.writes_arrays:
                names = ", ".join(name for *_, name in self.arrays)
                self.refuse(
                    f"it may write into {names}, which shares memory with a tensor: take a copy of one"
                )
            return
        same = " and ".join(f"{local} is {g.value(value)}" for local, value, _ in self.arrays)
        arrays, theirs = (", ".join(local for local, *_ in part) for part in (self.arrays, inputs))
        if inputs:
            own, sizes = g.fresh_value(memory(given)), g.fresh_value(extents[len(given) :])
            same += f" and {g.value(clear)}({own}, {sizes}, {theirs})"
        if self.names.user.isdisjoint(ADDRESSES):
            sizes, known = g.fresh_value(extents), g.fresh_value(layout(extents, *given))
            asked = f"{g.value(g.program_memory)}, {sizes}, {len(given)}, {', '.join(filter(None, (arrays, theirs)))}"
            same += f" or {g.value(layout)}({sizes}, {arrays}) == {known} and {g.value(apart)}({asked})"
        g.need(same, "which arrays share memory", entry=True)

    def optimizer(self, local: str, value: Any, name: str) -> None:
        """Its buffers, where it is; what a class of the user's adds, as of any other object."""
        g = self.guards
        g.need(f"type({local}) is {g.value(type(value))}", f"{name}: its type")
        self.klass(type(value))
        d = g.let(f"{local}.__dict__")
        g.need(f"[*{d}] == {g.fresh_value(list(vars(value)))}", f"the attributes of {name}")
        self.same_elements(f"{d}['flats']", value.flats, f"{name}.flats")
        self.same_elements(f"{d}['groups']", value.groups, f"{name}.groups")
        for i, flat in enumerate(value.flats):
            number = f"_{i + 1}" if len(value.flats) > 1 else ""
            at = g.value(flat)
            # That dicts are equal is found sooner than that lists of their values are.
            g.need(f"{at}.__dict__ == {g.fresh_value(dict(vars(flat)))}", f"{name}.flats[{i}]")
            self.same_elements(g.value(flat.params), flat.params, f"{name}.flats[{i}].params")
            for number_of, (constraint, _) in enumerate(flat.limits):
                self.visit(f"{at}.limits[{number_of}][0]", constraint, f"a constraint of {name}")
            for part in (flat.views, flat.gradient_slots):
                g.need(f"len({g.value(part)}) == {len(part)}", f"{name}.flats[{i}]")
            renamed = {"lr": "learning_rate", **{slot: f"{slot}_option" for slot in flat.state}}
            options = {renamed.get(n, n): t for n, t in flat.numbers_in_use().items()}
            parts = {"parameters": flat.p, "steps": flat.step, **flat.totals, **flat.state, **options}
            for part, t in parts.items():
                self.known_tensor(t, part + number)
            for parameter, t in zip(flat.names, flat.params):
                self.known_tensor(t, parameter)
        for attribute, part in vars(value).items():
            if attribute in self.names.user and attribute not in ("flats", "groups", "defaults"):
                self.visit(f"{d}[{attribute!r}]", part, f"{name}.{attribute}")

    def methods_of_tensors(self) -> None:
        """Those that the user's code names, that its operators ask for, and that `fit` calls for the user: in Tensor,
        and in each class of ours built on it that was met, or that a class met is built on: it may be given one of its
        own."""
        g = self.guards
        user = self.names.user | {"backward"}
        named = self.ran_of(Tensor) if self.names.all else user
        names = {n for n in named if self.has_run(getattr(Tensor, n, None))} | self.names.operators
        # Also what has no code of Python's, such as a number.
        names |= user & {"requires_grad", *vars(Tensor)}
        bases = {c for kind in {type(r.tensor) for r in self.tensors.values()} for c in kind.__mro__}
        met = {c for c in bases - {Tensor} if issubclass(c, Tensor) and room_of_class(c) == "own"}
        # What such a class was given already hides that of Tensor, whose code did not run.
        hiding = [own for c in met for own in vars(c).items()]
        names |= {
            n for n, own in hiding if n in user or self.has_run(own) or (self.names.all and n[:2] != "__")
        }
        asked = []
        for of in sorted(met, key=lambda kind: kind.__name__):
            asked += [self.has_own(of, names & vars(of).keys())] if names & vars(of).keys() else []
            if absent := frozenset(names - vars(of).keys()):
                asked.append(f"{g.value(vars(of).keys())}.isdisjoint({g.fresh_value(absent)})")
        if own := names & vars(Tensor).keys():
            asked.append(self.has_own(Tensor, own))
        for n in sorted(names - own):  # of a class that Tensor is built on, or of none
            found = getattr(Tensor, n, MISSING)
            asked.append(
                f"{g.value(getattr)}({g.value(Tensor)}, {n!r}, {g.value(MISSING)}) == {g.value(found)}"
            )
        if asked:
            known = {of: {n: vars(of).get(n, MISSING) for n in sorted(names)} for of in (*met, Tensor)}
            g.need(" and ".join(asked), f"{{{g.value(patched)}({g.fresh_value(known)})}}")

    def has_own(self, kind: type, names: set[str]) -> str:
        """The condition that a class has what it has of its own under some names."""
        get = itemgetter(*sorted(names))
        g = self.guards
        return f"{g.fresh_value(get)}({g.value(vars(kind))}) == {g.fresh_value(get(vars(kind)))}"

    def ran_of(self, kind: type) -> set[str]:
        return {n for of in kind.__mro__ for n, method in vars(of).items() if self.has_run(method)}

    def has_run(self, function: Any) -> bool:
        function = function.fget if is_a(function, property) else function
        return getattr(function, "__code__", None) in self.ran

    def same_elements(self, place: str, value: Sequence[object], name: str) -> None:
        """A list or tuple holds what it held. What has no equality of its own is compared by identity."""
        held = tuple(value) if isinstance(value, tuple) else list(value)
        self.guards.need(f"{place} == {self.guards.fresh_value(held)}", name)

    def known_tensor(self, t: Tensor, name: str) -> None:
        """A tensor that cannot be replaced by another one without a check that fails."""
        self.tensors.setdefault(id(t), Reached(self.guards.value(t), name, t))
        self.inner_state(self.guards.value(t), t, name)
        self.owners.setdefault(id(t.data), t)


def patched(known: dict[type, dict[str, Any]]) -> str:
    """Which attributes of classes are not the known ones."""
    return ", ".join(
        f"{kind.__name__}.{n}"
        for kind, found in known.items()
        for n, attribute in found.items()
        if vars(kind).get(n, MISSING) is not attribute
    )
