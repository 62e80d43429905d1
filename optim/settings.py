"""`OptimizerOptions`: options that are attributes, of an optimizer and of its groups, and may be set between steps."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from tapegrad.autograd.attributes import keep_methods, may_set, set_by_us
from tapegrad.autograd.flags import current
from tapegrad.optim.aliases import OptionNames, OptionValues
from tapegrad.optim.flat import FlatGroup
from tapegrad.optim.group import Defaults, Fixed, Group
from tapegrad.optim.options import (
    FOREIGN_ATTRIBUTES,
    FOREIGN_OPTIONS,
    Choice,
    Number,
    Option,
    above_0,
    at_least_0,
    name_hint,
    optional,
    yes_or_no,
)
from tapegrad.optim.schedules import from_config

OWN = frozenset(("groups", "flats", "defaults", "few_blocks"))  # what is not for users to set
FOREIGN = FOREIGN_OPTIONS.keys() | FOREIGN_ATTRIBUTES.keys()  # also on a class of the user's


class OptimizerOptions:
    """The part of an Optimizer that has to do with options."""

    options: ClassVar[dict[str, Option]] = {}  # a subclass's own
    shared: ClassVar[dict[str, tuple[object, Option]]] = {
        "weight_decay": (None, optional(at_least_0)),
        "clipvalue": (None, optional(above_0)),
        "clipnorm": (None, optional(above_0)),
        "global_clipnorm": (None, optional(above_0)),
        "maximize": (False, yes_or_no),
        "form": ("keras", Choice("keras", "torch")),
    }
    fixed: ClassVar[tuple[str, ...]] = ("form",)  # options that decide what the state is
    groups: Fixed[Group]
    flats: list[FlatGroup]
    defaults: Defaults

    def check(self, options: OptionNames) -> None:
        """Raise ValueError for options that contradict each other.

        Args:
            options: The options of a group, as attributes.
        """

    def slots(self, options: OptionNames) -> dict[str, float]:
        """The parts of the state, each with one number for every element of a parameter, and their first values.

        Args:
            options: The options of a group, as attributes.
        """
        return {}

    def add_slots(self, group: Group, added: dict[str, float], values: OptionValues) -> None:
        """Give a group's state further parts.

        Args:
            group: The group.
            added: The first values of the parts, by name.
            values: The group's options by name, as they will be.
        """

    @classmethod
    @cache
    def option_kinds(cls) -> dict[str, Option]:
        """Every option's kind, by name."""
        return {"lr": at_least_0, **cls.options, **{name: kind for name, (_, kind) in cls.shared.items()}}

    def _checked(self, values: Mapping[str, object], where: str = "") -> OptionValues:
        kinds = self.option_kinds()
        for name in values:
            if name not in kinds:
                raise TypeError(
                    f"{type(self).__name__}: unknown option {name!r}{where}{name_hint(name, kinds)}; known are "
                    f"{', '.join(kinds)}"
                )
        checked = {name: self._checked_one(name, where, value) for name, value in values.items()}
        self.check(SimpleNamespace(**checked))
        return checked

    def _checked_one(self, name: str, where: str, value: object) -> object:
        kind = self.option_kinds()[name]
        if isinstance(value, dict) and "schedule" in value:
            value = from_config(value)
        if not callable(value):
            return kind(name + where, value)
        if name in self.fixed or not isinstance(kind, Number):
            raise TypeError(f"{name}{where}: it is not a number that a schedule could change, got {value!r}")
        kind(f"{name}{where} by its schedule at step 0", value(0))
        return value

    def set_options(self, groups: Sequence[Group], changes: Mapping[str, object]) -> None:
        """Set options of some groups. Raises what a constructor would raise for such values.

        Args:
            groups: The groups.
            changes: The new values by name.

        Raises:
            AttributeError: The option decides what the state is.
        """
        for name in changes:
            if name in self.fixed and groups:
                raise AttributeError(
                    f"{name} decides what the state of {type(self).__name__} is, and cannot be changed: make a new one"
                )
        checked = [self._checked({**group.options(), **changes}) for group in groups]
        restructured = any(
            (flat.structure_with(values), flat.schedules_with(values)) != (flat.structure, flat.schedules)
            for g, values in zip(groups, checked)
            for flat in g.flats
        )
        if restructured and (recorder := current.get().recorder) is not None:
            recorder.restructured(", ".join(changes))
        for group, values in zip(groups, checked):
            slots = self.slots(SimpleNamespace(**values))
            if missing := slots.keys() - group.flats[0].state.keys():
                self.add_slots(group, {slot: slots[slot] for slot in slots if slot in missing}, values)
            for flat in group.flats:
                flat.set_options(values, changes)

    def refuse_schedule(self, who: str, option: str) -> None:
        """Refuse to have an option set that a schedule sets.

        Args:
            who: What would set it, for the message.
            option: The option's name, such as "lr".

        Raises:
            ValueError: The option has a schedule.
        """
        if any(name == option for flat in self.flats for name, _ in flat.schedules):
            raise ValueError(
                f"{who} sets {option}, which a schedule of this {type(self).__name__} sets, too: give it a number"
            )

    def config(self) -> OptionValues:
        """The constructor's options that make this optimizer again. Where groups differ, the constructor's own."""
        options = [group.options() for group in self.groups] or [dict(self.defaults)]
        return {
            name: options[0][name] if all(o[name] == options[0][name] for o in options) else default
            for name, default in self.defaults.items()
        }

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in (kinds := self.option_kinds()):
                raise AttributeError(
                    f"{type(self).__name__} has no attribute {name!r}{name_hint(name, [*kinds, *dir(self)])}"
                )
            default = self.defaults[name]
            values = [getattr(group, name) for group in self.groups] or [
                float(default(0)) if callable(default) else default
            ]
            if any(value != values[0] for value in values):
                what = "learning rates" if name == "lr" else f"values of {name}"
                shown = sorted(set(values), key=str)
                raise ValueError(f"the groups have different {what}, {shown}: use opt.groups[i].{name}")
            return values[0]

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        if name in (kinds := self.option_kinds()):
            checked = self._checked({**self.defaults, name: value})
            self.set_options(self.groups, {name: value})
            vars(self)["defaults"] = Defaults({**self.defaults, name: checked[name]})
        elif name in OWN and not set_by_us():
            raise AttributeError(
                f"{name} of {type(self).__name__} is what it was made of, and cannot be set: make a new optimizer, or "
                "set an option, as in opt.lr = 0.1 or opt.groups[0].lr = 0.1"
            )
        elif may_set(self, name) and (name not in FOREIGN or hasattr(type(self), name)):
            object.__setattr__(self, name, value)
        else:
            hint = name_hint(name, kinds) or f"; its options are {', '.join(kinds)}"
            raise AttributeError(f"nothing reads the attribute {name!r} of {type(self).__name__}{hint}")
