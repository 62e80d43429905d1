"""Calls the callbacks of a training at each of Keras's moments."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Real
from typing import Any, NamedTuple

from tapegrad.autograd.attributes import is_ours
from tapegrad.data.aliases import PlainData
from tapegrad.models.aliases import AsGiven, Logs
from tapegrad.models.arity import called, first_name, positional
from tapegrad.models.callbacks import MOMENTS, Callback

# Keras calls these for callbacks that define them instead.
OLDER = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def as_callbacks(callbacks: AsGiven) -> list[Callback]:
    """The callbacks of a fit: a list, one alone, or none. TypeError for what is none, and for unknown moments."""
    if callbacks is None:
        return []
    several = isinstance(callbacks, Iterable) and not isinstance(callbacks, (str, Callback))
    found = list(callbacks) if several else [callbacks]
    for callback in found:
        if not isinstance(callback, Callback):
            is_class = isinstance(callback, type)
            remedy = f": write {callback.__name__}(…)" if is_class else ""
            raise TypeError(
                f"callbacks: expected tapegrad.models.Callback, got {'the class ' * is_class}{callback!r}{remedy}"
            )
        check_moments(callback)
    return found


def check_moments(callback: Callback) -> None:
    """Raise TypeError for a method named on_… that is no moment, which nothing would call, and for one that would get a
    number as its logs."""
    for name, arguments in MOMENTS.items():
        if (
            arguments[0] != "logs"
            and overrides(callback, name)
            and first_name(getattr(callback, name)) == "logs"
        ):
            raise TypeError(
                f"{type(callback).__name__}: {name}(logs) would get the {arguments[0]}'s number as logs: write "
                f"{name}({', '.join(arguments)})"
            )
    for kind in type(callback).__mro__:
        if is_ours(kind.__module__):
            continue
        for name, value in vars(kind).items():
            if name.startswith("on_") and callable(value) and name not in MOMENTS:
                close = get_close_matches(name, MOMENTS, n=1)
                hint = f": did you mean {close[0]!r}?" if close else ""
                raise TypeError(
                    f"{kind.__name__}: unknown moment {name!r}{hint} Known: {', '.join(MOMENTS)}. A method that is no "
                    "moment needs another name"
                )


def overrides(callback: Callback, name: str) -> bool:
    """Whether a callback does something at a moment."""
    return getattr(type(callback), name) is not getattr(Callback, name) or name in vars(callback)


class Unseen(NamedTuple):
    """An epoch's end that some callbacks have not seen yet.

    measured   whether the logs are whole; False while the validation of the epoch goes on
    """

    epoch: int
    logs: Logs
    by: list[Callback]
    measured: bool = True

    def state_for(self, callback: Callback) -> PlainData | None:
        """The epoch and its numbers as plain data, for a callback that has not seen them."""
        if not any(other is callback for other in self.by):
            return None
        numbers = {name: float(value) for name, value in self.logs.items() if isinstance(value, Real)}
        logs = {name: str(value) for name, value in numbers.items()}
        return {"epoch": self.epoch, "logs": logs, "measured": self.measured}


class Moments:
    """The callbacks of one training: `moments("on_epoch_end", epoch, logs)` calls those that define the moment."""

    def __init__(self, callbacks: list[Callback], model: Any, params: dict[str, object]) -> None:
        self.callbacks = callbacks
        self.calls: dict[str, list[tuple[Callable[..., Any], int, Callback]]] = {name: [] for name in MOMENTS}
        self.unseen: Unseen | None = None
        for callback in callbacks:
            callback.set_model(model)
            callback.set_params(params)
            for name, arguments in MOMENTS.items():
                if name in OLDER.values():
                    continue
                older = OLDER.get(name)
                if overrides(callback, name) or (older is not None and overrides(callback, older)):
                    function = getattr(callback, name)
                    self.calls[name].append((function, positional(function, len(arguments)), callback))

    def __call__(self, name: str, *arguments: object) -> None:
        for function, count, _ in self.calls[name]:
            function(*arguments[:count])

    def epoch_end(self, epoch: int, logs: Logs, of: list[Callback] | None = None) -> None:
        """The moment `on_epoch_end`, of all callbacks or of some. `unseen` says meanwhile who has not seen it yet, for
        a file that one saves."""
        calls = self.calls["on_epoch_end"]
        if of is not None:
            calls = [call for call in calls if any(call[-1] is callback for callback in of)]
        try:
            for number, (function, count, _) in enumerate(calls, 1):
                self.unseen = Unseen(epoch, logs, [callback for *_, callback in calls[number:]])
                function(*(epoch, logs)[:count])
        finally:
            self.unseen = None

    @contextmanager
    def before_epoch_end(self, epoch: int, logs: Logs) -> Iterator[Callable[[Logs], None]]:
        """While an epoch that has been trained is validated, `unseen` says that nobody has seen its end. The block gets
        a function to call with the numbers of the validation, which are whole from then on."""
        by = [callback for *_, callback in self.calls["on_epoch_end"]]
        self.unseen = Unseen(epoch, logs, by, measured=False)

        def whole(measured: Logs) -> None:
            logs.update({f"val_{name}": value for name, value in measured.items()})
            self.unseen = Unseen(epoch, logs, by)

        try:
            yield whole
        finally:
            self.unseen = None

    def any(self, *names: str) -> bool:
        """Whether some callback does something at one of these moments."""
        return any(self.calls[name] for name in names)


NOBODY = Moments([], None, {})


def begin(callbacks: list[Callback], model: Any, params: dict[str, object]) -> None:
    """Give callbacks the model and the numbers of its training, which begins now."""
    for callback in callbacks:
        check_moments(callback)
        callback.set_model(model)
        callback.set_params(params)
    tell(callbacks, "on_train_begin")


def batch_moments(
    callbacks: list[Callback],
) -> tuple[Callable[[int], None] | None, Callable[[int, float], None] | None]:
    """What is to be called before a batch with its number, and after it with the mean loss so far, too."""
    if not callbacks:
        return None, None
    return (
        lambda number: tell(callbacks, "on_train_batch_begin", number),
        lambda number, loss: tell(callbacks, "on_train_batch_end", number, {"loss": loss}),
    )


def tell(callbacks: list[Callback], moment: str, *args: object) -> None:
    """Call a moment of each callback with as many of the arguments as it takes; a dict that is left out is empty."""
    arguments = (*args, {})[: len(MOMENTS[moment])]
    for callback in callbacks:
        called(getattr(callback, moment), *arguments)
