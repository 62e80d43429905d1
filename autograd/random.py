"""Random numbers. One seed, `manual_seed(n)`, sets everything that is drawn afterwards.

Initial weights and shuffles are drawn on the host, so they are the same on every backend; masks (dropout) are drawn
where the data are, each device having its own stream of the same seed.
"""

from typing import Any

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.creation import place
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import resolve

_seed = int(np.random.SeedSequence().generate_state(1)[0])
_host = np.random.Generator(np.random.Philox(_seed))
_streams: dict[str, Any] = {}  # device -> its uniform(shape, dtype)


def manual_seed(seed: int) -> None:
    """Start every random stream anew from `seed`: initial weights, shuffling, dropout."""
    global _seed, _host
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: expected an integer of at least 0, got {seed!r}")
    _seed = int(seed)
    _host = np.random.Generator(np.random.Philox(_seed))
    _streams.clear()


def host_generator() -> np.random.Generator:
    """The host's stream, for initial weights and the order of samples."""
    return _host


def _uniform(xp: Any, *, shape: tuple[int, ...], dtype: Any, place: str) -> Any:
    backend, device = resolve(place)
    if place not in _streams:
        _streams[place] = backend.generator(_seed + 1, device)
    return _streams[place](shape, dtype)


uniform_p = Primitive("random_uniform", _uniform, doc="draws from [0, 1), new ones at each call")


def uniform(shape: tuple[int, ...], *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Draws from the uniform distribution on [0, 1), made on the device."""
    backend, device = place(device)
    return uniform_p.make(
        shape=tuple(shape), dtype=backend.dtype(dtype or dtypes.get_default_dtype()), place=device
    )
