"""`Group`: parameters that are trained with the same options."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from weakref import ref

from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.optim.aliases import OptionValues
from tapegrad.optim.flat import FlatGroup
from tapegrad.optim.options import Option, name_hint

if TYPE_CHECKING:
    from tapegrad.optim.settings import OptimizerOptions

T = TypeVar("T")

# The ways of changing a list, and what to write instead of it.
TO_ADD = "make a new optimizer with all groups, [{'params': …, 'lr': …}, …]"
TO_TAKE_AWAY = "freeze it, p.requires_grad_(False) and p.grad = None, or make a new optimizer without it"
INSTEAD = dict.fromkeys(("append", "extend", "insert"), TO_ADD) | dict.fromkeys(
    ("remove", "pop", "clear", "sort", "reverse"), TO_TAKE_AWAY
)


class Fixed(tuple[T, ...]):
    """The groups of an optimizer or the parameters of a group. Nothing is added or taken away later: the buffers that
    hold parameters and state are made for these."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse(AttributeError, f"has no {name}()", INSTEAD.get(name, ""))

    def __iadd__(self, other: object) -> NoReturn:  # type: ignore[misc]
        self._refuse(TypeError, "cannot be added to", TO_ADD)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        self._refuse(TypeError, "cannot be replaced", TO_ADD)

    def __delitem__(self, index: object) -> NoReturn:
        self._refuse(TypeError, "cannot be deleted from", TO_TAKE_AWAY)

    def _refuse(self, kind: type[Exception], what: str, instead: str) -> NoReturn:
        said = f": what an optimizer trains is fixed when it is made: {instead}" if instead else ""
        raise kind(f"a tuple of an optimizer's groups or parameters {what}{said}")


class Defaults(Mapping[str, Any]):
    """The options that groups are made with which have none of their own. Setting one here would reach no group."""

    def __init__(self, options: OptionValues) -> None:
        self._options = dict(options)

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return repr(self._options)

    def __setitem__(self, name: str, value: object) -> NoReturn:
        raise TypeError(
            f"an optimizer's defaults are what its groups began with: set opt.{name} = {value!r} for all groups, "
            f"or opt.groups[0].{name} for one"
        )


class Group:
    """Parameters that are trained with the same options.

    params, names   the parameters, and what they are called in the optimizer's `state_dict`

    Every option is an attribute, such as `group.lr` or `group.beta_1`. You can set it at any time; the next step uses
    the new value.
    """

    names: Fixed[str]
    params: Fixed[Tensor]
    kinds: Mapping[str, Option]
    flats: list[FlatGroup]
    optimizer: "ref[OptimizerOptions]"  # weak, so that an optimizer's buffers go with its last reference

    def __init__(self, named: dict[str, Tensor], optimizer: "OptimizerOptions") -> None:
        vars(self).update(
            names=Fixed(named),
            params=Fixed(named.values()),
            kinds=optimizer.option_kinds(),
            flats=[],
            optimizer=ref(optimizer),
        )

    def flatten(
        self,
        options: OptionValues,
        slots: dict[str, float],
        totals: dict[str, float],
        before: FlatGroup | None = None,
    ) -> list[FlatGroup]:
        """The parameters laid out in buffers, one for each dtype and device. The state is that of the beginning; the
        number of steps and the totals are those of the FlatGroup `before`, if there is one."""
        by_kind: dict[tuple[str, str], list[int]] = {}
        for i, p in enumerate(self.params):
            by_kind.setdefault((name_of(p.dtype), p.device), []).append(i)
        flats = []
        for numbers in by_kind.values():
            names, params = [self.names[i] for i in numbers], [self.params[i] for i in numbers]
            flats.append(FlatGroup(names, params, slots, totals, self.kinds, options))
            if before is not None:
                flats[-1].count_on(before.counts())
        return flats

    def options(self) -> OptionValues:
        """Every option's value."""
        return {name: self.flats[0].option(name) for name in self.kinds}

    def replace_flats(self, flats: list[FlatGroup]) -> None:
        """Have the parameters in these buffers from now on."""
        vars(self)["flats"] = flats

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            kinds = vars(self).get("kinds", {})
            if name in kinds:
                return self.flats[0].read_option(name)
            raise AttributeError(f"a Group has no attribute {name!r}{name_hint(name, [*kinds, *vars(self)])}")

    def __setattr__(self, name: str, value: object) -> None:
        optimizer = self.optimizer()
        if optimizer is None:
            raise RuntimeError(f"the optimizer of this Group is gone, and nothing would read {name!r}")
        if name not in self.kinds:
            hint = name_hint(name, self.kinds) or f"; its options are {', '.join(self.kinds)}"
            raise AttributeError(f"nothing reads the attribute {name!r} of a Group{hint}")
        optimizer.set_options([self], {name: value})

    def __getitem__(self, name: str) -> Any:
        raise TypeError(f"options of a Group are attributes: write group.{name}, not group[{name!r}]")

    def __setitem__(self, name: str, value: object) -> None:
        raise TypeError(f"options of a Group are attributes: write group.{name} = …, not group[{name!r}] = …")

    def size_text(self) -> str:
        """`2, of 12 numbers`: its parameters."""
        return f"{len(self.params)}, of {plural(sum(t.size for t in self.params), 'number')}"

    def __repr__(self) -> str:
        shown = "".join(f"{k}={v!r}, " for k, v in self.options().items())
        return f"Group({shown[:-2]}; {plural(len(self.params), 'parameter')})"
