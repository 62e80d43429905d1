"""`Update`: what a subclass of Optimizer says of its formula."""

from tapegrad.autograd.aliases import Value
from tapegrad.optim.aliases import Numbers, OptionNames, Slots, Updated
from tapegrad.optim.settings import OptimizerOptions


class Update(OptimizerOptions):
    """The part of an Optimizer that is its formula: a subclass overrides what it needs."""

    def slots(self, options: OptionNames) -> dict[str, float]:
        """The parts of the state, each with one number for every element of a parameter, and their first values.

        Args:
            options: The options of a group, as attributes.
        """
        return {}

    def square_weight(self, options: OptionNames) -> Value | None:
        """The c of the largest (c * g)**2 that `update` works out, in float64; None if it squares no gradients.

        Args:
            options: The options of a group, as attributes.
        """
        return None

    def constants(self, options: OptionNames) -> Numbers:
        """What `update` needs, from the options. Worked out in float64, and again only when an option changes.

        Args:
            options: The options of a group, as attributes.
        """
        return {}

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        """What `update` needs, from the options and the number of this step, from 1. Worked out in float64.

        Args:
            options: The options of a group, as attributes.
            step: The number of the step, from 1, in float64.
        """
        return {}

    def next_totals(self, options: OptionNames, step: Value) -> Numbers:
        """What the `totals`, which options has by name, become in this step. Worked out in float64.

        Args:
            options: The options of a group and the totals, as attributes.
            step: The number of the step, from 1, in float64.
        """
        return {}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        """The new values of a parameter and of its state. Changes nothing in place.

        Args:
            n: `constants` and `numbers` in p's dtype, every option that is not a number, and `largest`, the dtype's
                largest number.
            p: A parameter.
            g: Its gradient.
            state: Its state by slot.

        Returns:
            (new p, {slot: new contents}).
        """
        raise NotImplementedError
