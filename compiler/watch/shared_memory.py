"""NumPy arrays that the code reaches, the arrays of a program, and which of them have memory in common."""

from collections.abc import Iterable

import numpy as np

from tapegrad.backends.aliases import Array

Range = tuple[int, int]  # (begin, end), in bytes


def extent(array: np.ndarray) -> Range:
    """How many bytes before its first element its memory begins, and how many behind that it ends."""
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides)]
    last = sum(s for s in steps if s > 0) + array.itemsize if array.size else 0
    return sum(s for s in steps if s < 0), last


def bounds(array: np.ndarray, extent: Range) -> Range:
    """Where its memory begins and ends."""
    place = array.__array_interface__["data"][0]
    return place + extent[0], place + extent[1]


def memory(arrays: Iterable[Array]) -> list[Range]:
    """The memory of NumPy arrays, joined where it overlaps or adjoins."""
    return joined(bounds(a, extent(a)) for a in arrays if isinstance(a, np.ndarray))


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in their order, as few as there can be."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


def clear(taken: list[Range], extents: list[Range], *arrays: np.ndarray) -> bool:
    """Whether no array lies in memory that is taken: ranges that are `joined`."""
    lowest, highest = taken[0][0], taken[-1][1]
    for begin, end in map(bounds, arrays, extents):
        if begin < highest and lowest < end and any(begin < high and low < end for low, high in taken):
            return False
    return True


def layout(extents: list[Range], *arrays: np.ndarray) -> list[tuple[int, int]]:
    """Of each array, the first one of those whose memory hangs together with its own, and how many bytes behind that
    it begins."""
    places = [*map(bounds, arrays, extents)]
    groups: list[list[int]] = []
    end = 0
    for n in sorted(range(len(arrays)), key=places.__getitem__):
        low, high = places[n]
        if not groups or low >= end:
            groups.append([])
        groups[-1].append(n)
        end = max(end, high)
    first = {n: min(together) for together in groups for n in together}
    return [(first[n], low - places[first[n]][0]) for n, (low, _) in enumerate(places)]


def apart(program: list[Range], extents: list[Range], count: int, *arrays: np.ndarray) -> bool:
    """Whether the first `count` arrays lie in no memory of the program, and in none of the other arrays."""
    places = [*map(bounds, arrays, extents)]
    theirs = joined(program + places[count:])
    return not theirs or clear(theirs, extents[:count], *arrays[:count])
