"""When memory was last written to, by the span of memory: all views of one array share it.

`backward` asks `last > serial` for each node, one comparison of integers. Only where something was written after the
node was recorded does it look at the spans. A counter for each array that owns memory would not do: all parameters of
an optimizer lie in one buffer, and writing one of them says nothing about the others.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from itertools import count
from math import inf
from typing import Any
from weakref import getweakrefs, ref

from tapegrad.backends.aliases import Array

# One clock for everything that happens to tensors: nodes are numbered in the order they were made, which is a
# topological order, and a write is stamped with the same clock, so that backward sees which came first.
next_serial: Callable[[], int] = count(1).__next__

Span = tuple[float, float]  # the address of the first byte, and the one after the last
Place = tuple[dict[Span, int], Span]  # the writes into the array that owns the memory, and a part of it

MANY = 1000  # spans of one array, from which on the older half is kept as one
EVERYWHERE: Span = (-inf, inf)

last = 0  # the time of the newest write of all, on the clock that numbers the nodes
_alive: set["_Home"] = set()  # the notes on all arrays that own memory, were written to, and are still there


def owner(array: Array) -> Array:
    """The array whose memory this one looks into, or itself."""
    while (base := getattr(array, "base", None)) is not None and hasattr(base, "dtype"):
        array = base
    return array


def span(array: Array) -> Span:
    """The memory from an array's first byte to its last; EVERYWHERE where the library does not tell."""
    interface = getattr(array, "__array_interface__", None) or getattr(
        array, "__cuda_array_interface__", None
    )
    if interface is None:
        return EVERYWHERE
    low = high = interface["data"][0]
    if array.flags.c_contiguous:
        return low, low + array.nbytes
    for n, stride in zip(array.shape, array.strides, strict=True):
        if n == 0:
            return low, low
        if stride < 0:
            low += (n - 1) * stride
        else:
            high += (n - 1) * stride
    return low, high + array.itemsize


def happened(now: int) -> None:
    """Note the time of the newest write. `backward` checks the inputs of every node that is older."""
    global last
    # Python changes threads at calls and jumps back: of two threads the later one wins without a lock, which a
    # KeyboardInterrupt in a profiler's hook would leave locked.
    if now > last:
        last = now


class _Home(ref[Array]):
    """A weak reference to an array that owns memory, with the notes on it: span -> when it was last written.

    It is found among the references to the array, not by a number that another array may have later: so threads that
    write, and arrays that go, never meet.
    """

    __slots__ = ("spans",)
    spans: dict[Span, int]
    # By identity: a weak reference would ask its array, and arrays have no hash.
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def _notes(home: Array) -> dict[Span, int] | None:
    for reference in getweakrefs(home):
        if type(reference) is _Home:
            return reference.spans
    return None


def place(array: Array) -> Place:
    """Where the writes into this array are noted; to be kept by who writes into one array often."""
    home = owner(array)
    notes = _notes(home)
    if notes is None:
        # The callback runs no Python code, in which a KeyboardInterrupt would be lost.
        reference = _Home(home, _alive.discard)
        notes = reference.spans = {}
        _alive.add(reference)
    return notes, span(array)


def mark(at: Place, now: int) -> None:
    """As `wrote`, for a place that is known."""
    mark_all((at,), now)


def mark_all(places: Iterable[Place], now: int) -> None:
    """As `mark`, for several places that were written at one time."""
    for spans, where in places:
        spans[where] = now
        if len(spans) > MANY:
            _join_older_half(spans)
    happened(now)


def wrote(array: Array, now: int) -> None:
    """The memory that this array shows was, or is about to be, written to at the time `now`."""
    mark(place(array), now)


def _join_older_half(spans: dict[Span, int]) -> None:
    older = sorted(spans.items(), key=lambda item: item[1])[: MANY // 2]
    spans[min(a for (a, _), _ in older), max(b for (_, b), _ in older)] = older[-1][1]
    for place, _ in older:
        spans.pop(place, None)


def since(array: Array, serial: int, until: float = inf) -> bool:
    """Whether any of the memory that this array shows was written to after the time `serial`, and before `until`."""
    notes = _notes(owner(array))
    return notes is not None and written_at((notes, span(array)), serial, until)


def times_since(array: Array, serial: int) -> list[int]:
    """When the memory that this array shows was written to after the time `serial`, as far as that is kept."""
    notes, (low, high) = _notes(owner(array)), span(array)
    return [
        when
        for (a, b), when in list((notes or {}).items())
        if when > serial and a < high and low < b and low < high
    ]


def written_at(at: Place, serial: int, until: float = inf) -> bool:
    """As `since`, for a place that is known."""
    spans, (low, high) = at
    return low < high and any(
        serial < when < until and a < high and low < b for (a, b), when in list(spans.items())
    )


def among(array: Array, places: Iterable[Place]) -> bool:
    """Whether one of the places is this array's."""
    notes, where = place(array)
    return any(spans is notes and there == where for spans, there in places)


# Who is told of a tensor that is about to be written to: functions whose second run is to find it as it was.
NOTING: ContextVar[tuple[Callable[[Any], None], ...]] = ContextVar("tapegrad_noting_writes", default=())


def about_to_write(tensor: Any) -> None:
    for note in NOTING.get():
        note(tensor)


def refuse_shared_places(array: Array) -> None:
    """Raise RuntimeError for an array some of whose elements share one place in memory: none can be written alone.

    An array without elements is accepted: NumPy gives it strides of 0, and a write changes nothing."""
    if array.size and any(n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)):
        raise RuntimeError(
            "some elements of this tensor share one place in memory, as after broadcast_to, so they cannot be written "
            "to: make a copy first, as in t = tg.tensor(t)"
        )


def store(array: Array, value: Array) -> int:
    """Write into an array, and note where and when for `backward`. Returns when."""
    if 0 in getattr(array, "strides", ()):
        refuse_shared_places(array)
    if array is not value and owner(value) is owner(array):  # NumPy mixes up overlapping arrays of one axis
        value = value.copy()
    if not getattr(getattr(array, "flags", None), "writeable", True):  # only NumPy has such
        raise ValueError(
            f"this tensor, {array.dtype}{list(array.shape)}, looks into memory that is read-only, as that of a file "
            "under numpy.memmap or of a broadcast array: copy it first, as in tg.tensor(array)"
        )
    now = next_serial()
    wrote(array, now)
    array[...] = value
    return now
