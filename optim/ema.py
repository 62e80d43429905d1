"""`EMA`: a running mean of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import TensorLike, Value
from tapegrad.autograd.arguments import rate, state_given, truth
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.creation import asarray
from tapegrad.autograd.dtypes import float64, name_of
from tapegrad.autograd.filled import full
from tapegrad.autograd.flags import current, no_grad
from tapegrad.autograd.ops import astype, minimum
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.autograd.writes import next_serial
from tapegrad.optim.aliases import ParamsLike
from tapegrad.optim.params import read_groups


class EMA(Options):
    """An exponential moving average of parameters, which often does better on new data than they do.

        ema = EMA(model, decay=0.999)
        …                                        after each opt.step():
        ema.update()                             average = average + (1 - decay) * (parameter - average)
        …
        with ema.applied():                      the parameters have the averages in here, and their own values after it
            evaluate(model)

    `update` may stand inside a compiled step. The averages start as the parameters' values, and have their dtypes;
    those of float16 are float32, where small steps are not rounded away.

    Args:
        params: As for an optimizer: a Module, tensors, (name, tensor) pairs, a dict. Only parameters are averaged, no
            buffers, such as the running statistics of a layer.
        decay: The share of the average that stays, at least 0 and below 1.
        warmup: True: the decay is at most (1 + n) / (10 + n) at update n = 1, 2, …, so that the first values lose
            their weight soon, as TensorFlow does with num_updates.
    """

    checks = {"decay": rate, "warmup": truth}

    def __init__(self, params: ParamsLike, decay: float = 0.999, warmup: bool = False) -> None:
        self.decay, self.warmup = decay, warmup
        groups = read_groups(params)
        self.params: dict[str, Tensor] = {name: p for named, _ in groups for name, p in named.items()}
        self.averages = {name: average_of(p) for name, p in self.params.items()}
        self.updates = full((), 0.0, dtype=float64)

    def update(self) -> None:
        """Take up the parameters as they are now."""
        with no_grad():
            self.updates.assign(self.updates + 1.0)
            new: Value = 1.0 - self.decay
            if self.warmup:
                new = 1.0 - minimum((1.0 + self.updates) / (10.0 + self.updates), self.decay)
            for name, p in self.params.items():
                average = self.averages[name]
                weight = astype(new, average.dtype) if isinstance(new, Tensor) else new
                average.assign(average + weight * (p - average))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters have the averages inside the `with`, and their own values after it.

        Raises:
            RuntimeError: The parameters were changed inside, which is lost.
        """
        own = {name: copy_of(p) for name, p in self.params.items()}
        changed = False
        try:
            self.copy_to_parameters()
            begun = next_serial()
            yield
            changed = any(writes.since(p.data, begun) for p in self.params.values())
        finally:
            with uninterrupted(), no_grad():
                for name, p in self.params.items():
                    p.assign(own[name])
        if changed and current.get().recorder is None:
            raise RuntimeError(
                "EMA.applied: the parameters were changed inside, and have the values from before again: train outside "
                "of the `with`, or write ema.copy_to_parameters() first to go on from the averages"
            )

    def copy_to_parameters(self) -> None:
        """Give the parameters the averages for good, as at the end of a training."""
        with uninterrupted(), no_grad():
            for name, p in self.params.items():
                p.assign(self.averages[name])

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the averages by the parameters' names, and "updates", how many there were. For `tg.save`."""
        return {"updates": copy_of(self.updates), **{name: copy_of(t) for name, t in self.averages.items()}}

    def load_state_dict(self, saved: Mapping[str, TensorLike]) -> None:
        """Take up what `state_dict` gave.

        Args:
            saved: The averages by name, and "updates".

        Raises:
            ValueError: Other names or shapes; nothing is changed then.
        """
        own = {"updates": self.updates, **self.averages}
        saved = state_given("EMA.load_state_dict", saved)
        given = {name: asarray(value) for name, value in saved.items()}
        faults = [f"missing: {name}" for name in own if name not in given]
        faults += [f"unknown: {name}" for name in given if name not in own]
        faults += [
            f"{name}: expected {list(t.shape)}, got {list(given[name].shape)}"
            for name, t in own.items()
            if name in given and given[name].shape != t.shape
        ]
        if faults:
            raise ValueError("EMA.load_state_dict: nothing was loaded:\n  " + "\n  ".join(faults))
        with uninterrupted():
            for name, t in own.items():
                t.assign(given[name])


def average_of(p: Tensor) -> Tensor:
    """What an average begins as."""
    return p.detach().astype("float32") if name_of(p.dtype) == "float16" else copy_of(p)


def copy_of(t: Tensor) -> Tensor:
    return asarray(t.detach(), copy=True)
