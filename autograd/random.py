"""Random numbers. One seed, `manual_seed(n)`, sets everything that is drawn afterwards.

Initial weights and the order of samples come from a stream on the host, so they are the same on every backend. What is
drawn where the data are (dropout masks) is a function of the seed and of a running number, the same on every device of
a backend: the whole state of it is one integer, so a checkpoint can repeat a draw and a resumed run continues.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.creation import place
from tapegrad.autograd.flags import current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import resolve

if TYPE_CHECKING:
    from numpy.random import Generator

_seed = int.from_bytes(os.urandom(7))
_host: "Generator | None" = (
    None  # made when first asked for: numpy.random is a tenth of the cost of importing NumPy
)
_draws = 0


def manual_seed(seed: int) -> None:
    """Start every random stream anew from `seed`: initial weights, shuffling, dropout."""
    global _seed, _host, _draws
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed.__index__() < 2**63:
        raise ValueError(f"manual_seed: expected an integer from 0 to 2**63 - 1, got {seed!r}")
    _seed, _draws, _host = int(seed), 0, None
    _tell()


def host_generator() -> "Generator":
    """The host's stream, for initial weights and the order of samples."""
    global _host
    if _host is None:
        _host = np.random.Generator(np.random.Philox(_seed))
    return _host


def get_state() -> dict[str, Any]:
    """Where all random streams stand, as plain numbers (JSON can hold them); for `set_state`."""
    return {"seed": _seed, "draws": _draws, "host": _plain(host_generator().bit_generator.state)}


def set_state(state: dict[str, Any]) -> None:
    """Put all random streams where they stood when `get_state` was called."""
    global _seed, _draws
    _seed, _draws = state["seed"], state["draws"]
    host = dict(state["host"])
    host["state"] = {k: np.array(v, dtype=np.uint64) for k, v in host["state"].items()}
    host["buffer"] = np.array(host["buffer"], dtype=np.uint64)
    host_generator().bit_generator.state = host
    _tell()


def snapshot() -> tuple[Any, ...]:
    """Where all random streams stand, for `go_back` and to be compared with another snapshot; quicker than a state."""
    if _host is None:
        return _seed, _draws, None
    state = _host.bit_generator.state
    return (
        _seed,
        _draws,
        tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in _leaves(state)),
        state,
    )


def go_back(taken: tuple[Any, ...]) -> None:
    """Put all random streams where they stood when a snapshot was taken."""
    global _seed, _draws, _host
    _seed, _draws, position, *state = taken
    if position is None:
        _host = None
    else:
        host_generator().bit_generator.state = state[0]


def _leaves(state: Any) -> Iterator[Any]:
    for part in state.values() if isinstance(state, dict) else (state,):
        yield from _leaves(part) if isinstance(part, dict) else (part,)


def _tell() -> None:
    if (recorder := current.get().recorder) is not None:
        recorder.reseeded()


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {k: _plain(v) for k, v in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


class repeated_draws:
    """`with repeated_draws(n):` device draws start again at number n, and go on where they were afterwards."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __enter__(self) -> None:
        global _draws
        self.after, _draws = _draws, self.first

    def __exit__(self, *error: object) -> None:
        global _draws
        _draws = self.after


def draws() -> int:
    """How many draws were made on devices since the seed was set."""
    return _draws


def rewind(draws: int) -> None:
    """Go back to where so many draws had been made, as `draws()` said then."""
    global _draws
    _draws = draws


def position() -> tuple[int, int]:
    """What the last draw on a device was a function of."""
    return _seed, _draws


def draw(shape: tuple[int, ...], dtype: Any, place: str) -> Any:
    """The next draw on a device, as a raw array."""
    global _draws
    backend, device = resolve(place)
    _draws += 1
    return backend.uniform(shape, backend.dtype(dtype), _seed, _draws, device)


uniform_p = Primitive(
    "random_uniform",
    lambda xp, shape, dtype, place: draw(shape, dtype, place),
    doc="draws from [0, 1), new ones at each call",
)


def uniform(shape: tuple[int, ...], *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Draws from the uniform distribution on [0, 1), made on the device."""
    backend, device = place(device)
    return uniform_p.make(
        shape=tuple(shape), dtype=backend.dtype(dtype or dtypes.get_default_dtype()), place=device
    )
