"""Random numbers. One seed, `manual_seed(n)`, sets everything that is drawn afterwards.

Initial weights and the order of samples come from a stream on the host, so they are the same on every backend. What is
drawn where the data are (dropout masks) is a function of the seed and of a running number, the same on every device of
a backend: the whole state of it is one integer, so a checkpoint can repeat a draw and a resumed run continues.
"""

import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from copy import deepcopy
from threading import Lock, local
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.aliases import Array, DType, DTypeLike
from tapegrad.autograd.creation import place, read_shape
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends import resolve

if TYPE_CHECKING:
    from numpy.random import Generator


class Streams:
    """The stream on the host and the draws on devices, both functions of one seed.

    host     made when first asked for: numpy.random is a tenth of the cost of importing NumPy
    draws    how many draws were made on devices
    lock     taken inside `uninterrupted`: while a function is recorded, a KeyboardInterrupt may come in the place of
             the call that gives it back
    """

    def __init__(self, seed: int, draws: int = 0, host: "Generator | None" = None) -> None:
        self.lock = Lock()
        self.start(seed, draws, host)

    def start(self, seed: int, draws: int = 0, host: "Generator | None" = None) -> None:
        self.seed, self.draws, self.host = seed, draws, host

    def copy(self) -> "Streams":
        with uninterrupted(), self.lock:
            return Streams(self.seed, self.draws, deepcopy(self.host))

    def generator(self) -> "Generator":
        with uninterrupted(), self.lock:
            if self.host is None:
                self.host = np.random.Generator(np.random.Philox(self.seed))
            return self.host

    def next_draw(self) -> tuple[int, int]:
        """The seed and the number of a draw that nobody else gets."""
        with uninterrupted(), self.lock:
            self.draws += 1
            return self.seed, self.draws


# The streams of the process serve every thread. `own_streams` gives a block its own, in its thread alone.
PROCESS = Streams(int.from_bytes(os.urandom(7)))
OWN: ContextVar[Streams | None] = ContextVar("tapegrad_streams", default=None)
# What a checkpoint draws, to draw it again.
NOTED: ContextVar[tuple[list[tuple[int, int]], ...]] = ContextVar("tapegrad_noted_draws", default=())
REPEATED: ContextVar[Iterator[tuple[int, int]] | None] = ContextVar("tapegrad_repeated_draws", default=None)
LAST = local()  # .draw: what the last draw of a thread was a function of


def renew_lock() -> None:
    """In a forked child, where a thread that held it is gone."""
    PROCESS.lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_lock)


def streams() -> Streams:
    """The streams that this thread draws from."""
    return OWN.get() or PROCESS


class own_streams:
    """`with own_streams(seed):` the block draws from streams that start at `seed`, and that no other thread draws from.
    All other streams stay where they are. `own_streams(another)` draws from the Streams that another block had.

    streams   those of the block; a later block that gets them goes on where this one ended
    """

    def __init__(self, start: "int | Streams") -> None:
        self.streams = start if isinstance(start, Streams) else Streams(checked_seed("own_streams", start))

    def __enter__(self) -> Streams:
        self.before = OWN.set(self.streams)
        return self.streams

    def __exit__(self, *error: object) -> None:
        OWN.reset(self.before)


def checked_seed(what: str, seed: object) -> int:
    from tapegrad.autograd.arguments import index_of

    number = index_of(seed)
    if number is None or not 0 <= number < 2**63:
        raise ValueError(f"{what}: seed: expected an integer from 0 to 2**63 - 1, got {seed!r}")
    return number


def manual_seed(seed: int) -> None:
    """Start every random stream anew from `seed`: initial weights, shuffling, dropout.

    The streams are those of the process, which every thread draws from, under a lock. A fit with a seed of its own
    (`Sequential.fit(…, seed=0)`, `MLPClassifier(random_state=0)`) has streams of its own and leaves these alone.

    Args:
        seed: A non-negative integer.
    """
    streams().start(checked_seed("manual_seed", seed))
    _tell()


def begin_part(seed: int, number: int) -> None:
    """Put the streams of this block at the beginning of a numbered part, such as an epoch, of what has this seed: they
    are a function of the two, wherever they stood."""
    mixed = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0]
    streams().start(int(mixed) >> 1)


def host_generator() -> "Generator":
    """The host's stream, for initial weights and the order of samples."""
    return streams().generator()


def get_state() -> dict[str, Any]:
    """Where all random streams stand, as plain numbers (JSON can hold them); for `set_state`."""
    now = streams()
    return {"seed": now.seed, "draws": now.draws, "host": _plain(now.generator().bit_generator.state)}


def set_state(state: Mapping[str, Any]) -> None:
    """Put all random streams where they stood when `get_state` was called."""
    now = streams()
    host = dict(state["host"])
    host["state"] = {k: np.array(v, dtype=np.uint64) for k, v in host["state"].items()}
    host["buffer"] = np.array(host["buffer"], dtype=np.uint64)
    now.generator().bit_generator.state = host
    now.seed, now.draws = state["seed"], state["draws"]
    _tell()


def snapshot() -> tuple[object, ...]:
    """Where all random streams stand, for `go_back` and to be compared with another snapshot; quicker than a state."""
    now = streams()
    if now.host is None:
        return now.seed, now.draws, None
    state = now.host.bit_generator.state
    return (
        now.seed,
        now.draws,
        tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in _leaves(state)),
        state,
    )


def go_back(taken: tuple[Any, ...]) -> None:
    """Put all random streams where they stood when a snapshot was taken."""
    now = streams()
    now.seed, now.draws, position, *state = taken
    if position is None:
        now.host = None
    else:
        now.generator().bit_generator.state = state[0]


def _leaves(state: object) -> Iterator[object]:
    for part in state.values() if isinstance(state, dict) else (state,):
        yield from _leaves(part) if isinstance(part, dict) else (part,)


def _tell() -> None:
    if (recorder := current.get().recorder) is not None:
        recorder.reseeded()


def _plain(state: object) -> object:
    if isinstance(state, dict):
        return {k: _plain(v) for k, v in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


class noted_draws:
    """`with noted_draws() as numbers:` the list gets what each draw on a device in this block was a function of."""

    def __enter__(self) -> list[tuple[int, int]]:
        numbers: list[tuple[int, int]] = []
        self.before = NOTED.set((*NOTED.get(), numbers))
        return numbers

    def __exit__(self, *error: object) -> None:
        NOTED.reset(self.before)


class repeated_draws:
    """`with repeated_draws(numbers):` draws on devices are those of a block with `noted_draws`, one after the other.
    The streams stay where they are, wherever they are by now."""

    def __init__(self, numbers: list[tuple[int, int]]) -> None:
        self.numbers = iter(numbers)

    def __enter__(self) -> None:
        self.before = REPEATED.set(self.numbers)

    def __exit__(self, *error: object) -> None:
        REPEATED.reset(self.before)


def draws() -> int:
    """How many draws were made on devices since the seed was set."""
    return streams().draws


def rewind(draws: int) -> None:
    """Go back to where so many draws had been made, as `draws()` said then."""
    streams().draws = draws


def position() -> tuple[int, int]:
    """What this thread's last draw on a device was a function of."""
    last: tuple[int, int] = LAST.draw
    return last


def draw(shape: tuple[int, ...], dtype: DType, place: str) -> Array:
    """The next draw on a device, as a raw array."""
    backend, device = resolve(place)
    repeated = REPEATED.get()
    LAST.draw = made = (None if repeated is None else next(repeated, None)) or streams().next_draw()
    for numbers in NOTED.get():
        numbers.append(made)
    return backend.uniform(shape, backend.dtype(dtype), *made, device)


uniform_p = Primitive(
    "random_uniform",
    lambda xp, shape, dtype, place: draw(shape, dtype, place),
    doc="draws from [0, 1), new ones at each call",
)


@answering
def uniform(shape: tuple[int, ...], *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Draws from the uniform distribution on [0, 1), made on the device.

    Args:
        shape: An integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    asked = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, "uniform: dtype")
    if asked not in dtypes.FLOATS:
        raise TypeError(f"uniform: dtype must be float16, float32 or float64, got {asked}")
    backend, device = place(device)
    return uniform_p.make(shape=read_shape("uniform", shape), dtype=backend.dtype(asked), place=device)
