"""`checkpoint`: a function that is run twice, to save the memory of its inside between forward and backward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from tapegrad.autograd import random, writes
from tapegrad.autograd.aliases import Array, Tree, Value
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.structure import flatten, need_function
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.calls import (
    Call,
    as_given,
    as_tensors,
    call_once,
    label,
    refuse_rewritten,
    used_from_outside,
)
from tapegrad.autograd.transforms.derivatives import cotangents_at, fresh, noted_leaves
from tapegrad.autograd.transforms.second_runs import noted_writes, refuse_other_results, requiring_grad
from tapegrad.autograd.writes import next_serial

P = ParamSpec("P")  # the parameters of a user's function
R = TypeVar("R")  # and what it returns


def checkpoint(f: Callable[P, R]) -> Callable[P, R]:
    """f, with nothing kept of its inside for the backward pass, which runs f again: less memory for more time.

    Takes and returns nested structures of tensors, and any other values. What f uses without getting it as an argument,
    such as a Module's parameters, gets its gradient as well. Random draws are the same in both runs. What f writes to a
    tensor, such as the running mean of a layer, is written once: the second run begins with what was there before the
    first one, and what it writes is taken back. A result that does not require grad without checkpoint does not require
    it with checkpoint.

    Args:
        f: A function that computes the same whenever it is called with the same arguments.

    Returns:
        A function with the signature of f.

    Raises:
        RuntimeError: The second run gives other results, or a tensor that f uses was written to in between.
    """
    need_function("checkpoint", f)

    @wraps(f)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        flags = current.get()
        if not flags.grad or flags.raw:
            return f(*args, **kwargs)
        call = Call(f, args, kwargs, numbers=False)
        begun = next_serial()
        inputs = [Tensor(t.data, requires_grad=t.requires_grad) for t in call.inputs]
        if flags.recorder is not None:
            for t, stand_in in zip(call.inputs, inputs, strict=True):
                flags.recorder.detached(t, stand_in)
        with (
            changed_flags(leaves=(*flags.leaves, *inputs)),
            random.noted_draws() as draws,
            noted_leaves() as made,
            noted_writes() as written,
        ):
            results, rebuild_results = flatten(call(inputs), modules=False)
        tracked = [i for i, r in enumerate(results) if isinstance(r, Tensor) and r.requires_grad]
        if not tracked:
            return rebuild_results(results)
        outside, constants = used_from_outside([results[i] for i in tracked], inputs, begun, made)
        arrays = [results[i].data for i in tracked]
        second = SecondRun(call, draws, written, tracked, arrays, outside, constants, next_serial())
        # The graph of the first run ends here: nothing below holds its tensors.
        given, call.inputs = [*call.inputs, *outside], []
        others = [None if i in tracked else r for i, r in enumerate(results)]
        del results
        written.end()

        def rebuild(outputs: list[Tree]) -> Tree:
            whole = dict(enumerate(others)) | dict(zip(tracked, outputs, strict=True))
            return rebuild_results(list(whole.values()))

        user = (f, call.others, kwargs)
        return call_once(
            f"checkpoint({label(f)})", second.rule, given, arrays, rebuild, second.again, user, begun
        )

    return function


@dataclass(slots=True)
class SecondRun:
    """What the backward pass of a checkpoint needs to run the function again."""

    call: Call
    draws: list[tuple[int, int]]  # the random numbers of the first run
    written: noted_writes  # what it wrote to
    tracked: list[int]  # the places among the results of those that require grad
    arrays: list[Array]  # the results at these places
    outside: list[Tensor]  # the tensors that require grad and are no arguments
    constants: list[writes.Place]  # the memory of the others
    ended: int  # when the first run was done, or the last one that was taken back

    def rule(self, needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Value, ...]:
        """The gradient rule of the recorded call, whose inputs are the arguments and `outside`."""
        recorded = current.get().grad
        refuse_rewritten(self.call.f, self.constants, self.ended)
        arguments = as_tensors(given[: len(given) - len(self.outside)])
        with changed_flags(raw=False, in_rule=False), self.written.once():
            with changed_flags(grad=True, again=True):
                inputs = [fresh("checkpoint", t) if n else t for t, n in zip(arguments, needed, strict=False)]
                outputs = self.results(inputs)
            targets = [t for t, n in zip([*inputs, *self.outside], needed, strict=True) if n]
            with changed_flags(grad=recorded):
                found = iter(cotangents_at(outputs, as_tensors(g), targets, record=recorded))
        self.ended = next_serial()
        return as_given(g, [next(found) if n else None for n in needed])

    def results(self, inputs: list[Tensor]) -> list[Tensor]:
        """Those of the second run that require grad; RuntimeError if they are others than the first run's."""
        with (
            changed_flags(leaves=tuple(inputs)),
            random.repeated_draws(self.draws),
            requiring_grad(self.outside),
        ):
            again = flatten(self.call(inputs), modules=False)[0]
        found = [again[i] for i in self.tracked if i < len(again)]
        refuse_other_results(
            f"{label(self.call.f)} under checkpoint", found, self.arrays,
            "something that it uses, a number, an array or the mode of a layer, has changed since. Change it after the "
            "backward pass, or pass it as an argument",
        )  # fmt: skip
        return found

    def again(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The results for other arguments, recorded as those of the first run were."""
        count = len(tensors) - len(self.outside)
        with random.repeated_draws(self.draws):
            made = checkpoint(self.call.f)(*self.call.arguments(tensors[:count]), **self.call.kwargs)
        leaves = flatten(made, modules=False)[0]
        return [leaves[i] for i in self.tracked]
