"""Functions under `checkpoint` and `custom_gradient` that run again for `Tape.what_if`: what they use besides their
arguments is on no tape, so it is watched, and refused where it is not as it was.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tapegrad.autograd import writes
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.tapes.births import Births, made_since
from tapegrad.autograd.tapes.what_if.kept import Kept
from tapegrad.autograd.tapes.what_if.refusal import Refusal
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.transforms.calls import same_numbers

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Params, Result, Value
    from tapegrad.autograd.primitive import Primitive
    from tapegrad.autograd.tapes.what_if.again import Call, Replay


class Watch(Recorder):
    """`with Watch(replay, call):` the function of this call, or its gradient, runs again inside.

    Raises RuntimeError as soon as it takes a tensor that the change reaches, or that was written to since the call.
    """

    def __init__(self, replay: "Replay", call: "Call") -> None:
        self.replay, self.call = replay, call
        self.births = Births()
        self.kept = Kept(*call.primitive.user)
        self.scope = changed_flags(recorder=self)

    def __enter__(self) -> None:
        self.births.__enter__()
        self.scope.__enter__()

    def __exit__(self, *error: object) -> None:
        self.scope.__exit__(*error)
        self.births.__exit__(*error)
        if self.kept.put_back() and error[0] is None:
            raise Refusal(
                f"what_if: {self.call.primitive.name} keeps something of a call outside of itself, in a list, a dict, "
                "an attribute or a variable, where the calls on the new numbers would meet those on the old ones: let "
                "the pullback have what it needs from the function around it, or run the program itself on the new "
                "numbers"
            )

    def is_inside(self, t: Tensor) -> bool:
        """Whether the function itself made a tensor, when it ran again."""
        return t not in self.replay.news and made_since(t, self.replay.started)

    def take(self, t: Tensor) -> None:
        replay = self.replay
        if self.is_inside(t):
            return
        instead = "make it a positional argument, or run the program itself on the new numbers"
        name = (
            f"what_if: {self.call.primitive.name} uses {replay.called(t)} without getting it as an argument"
        )
        if writes.since(t.data, self.call.serial, replay.started):
            raise Refusal(f"{name}, and it was written to since: {instead}")
        if replay.depends(t):
            raise Refusal(f"{name}, and the change reaches it: {instead}")

    def primitive(
        self, primitive: "Primitive", args: "tuple[Value, ...]", params: "Params", result: "Result"
    ) -> None:
        for a in args:
            if isinstance(a, Tensor):
                self.take(a)

    def detached(self, tensor: Tensor, result: Tensor) -> None:
        self.take(tensor)

    def becomes(self, tensor: Tensor) -> None:
        if not self.is_inside(tensor):
            raise Refusal(
                f"what_if: {self.call.primitive.name} writes to {self.replay.called(tensor)}, which it did not make, "
                "and would do so again: write outside of it, or run the program itself on the new numbers"
            )

    def write(self, tensor: Tensor, value: Tensor) -> None:
        self.becomes(tensor)
        self.take(value)

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        self.take(tensor)


def call_again(
    replay: "Replay", call: "Call", olds: "Sequence[Value]", inputs: "Sequence[Value]", changed: bool
) -> list[Tensor]:
    """The results of a call of a user's function on other arguments.

    On those of the recording it must give what was recorded: otherwise a number or an array that it uses is another one
    now, or the mode of a layer is.
    """
    primitive = call.primitive
    with Watch(replay, call), changed_flags(grad=isinstance(call, Node)):
        copies = [t if not isinstance(t, Tensor) else copied(t) for t in olds] if changed else inputs
        results = again = primitive.again(copies)
        if changed:
            results = primitive.again(inputs)
    recorded = primitive.forward(None)
    recorded = recorded if isinstance(recorded, tuple) else (recorded,)
    if [r.shape for r in again] != [a.shape for a in recorded] or not all(
        same_numbers(r.data, a) for r, a in zip(again, recorded, strict=True)
    ):
        raise Refusal(
            f"what_if: {primitive.name} gives other numbers now than when it was recorded, for the same arguments: "
            "something that it uses, a number, an array or the mode of a layer, has changed since: make it an argument"
        )
    if not isinstance(call, Node):
        return [Tensor(results[call.index].data)]
    for node in {r.node for r in results if r.node is not None}:
        # What the function uses besides its arguments, and is not changed, is on the new tape, too.
        known = {t: replay.stand_in(t, call.serial) for t in call.inputs if isinstance(t, Tensor)}
        node.inputs = tuple(known.get(t, t) for t in node.inputs)
        node.primitive.vjp = watched_rule(replay, call, node.primitive.vjp)
    return results


def copied(t: Tensor) -> Tensor:
    """A leaf with the contents of another tensor, and memory of its own."""
    return Tensor(t.backend.asarray(t.data, copy=True), t.requires_grad)


def watched_rule(replay: "Replay", call: "Call", rule: Callable[..., Any]) -> Callable[..., Any]:
    """A gradient rule that is watched, too: a pullback uses what its function does not. It runs twice, for who listens
    to the backward pass shall hear it once."""

    def watched(*given: Any) -> Any:
        with Watch(replay, call):
            rule(*given)
        return rule(*given)

    return watched
