"""A chain of n primitives, one after another: forward and backward must not recurse and must take time linear in n. And
the memory of a training loop: with the garbage collector off, 1,000 more steps must leave no more alive than before.
"""

import gc
import json
import sys
import time
import tracemalloc

from benchmarks.harness import Case, Contestant, Promise

SHORT, LONG = 10_000, 100_000
REPEATS = {SHORT: 10, LONG: 3, 3 * LONG: 2}


def chain(library: str, n: int) -> dict[str, float]:
    """Fastest forward and backward pass per node (µs) over some repeats."""
    if library == "PyTorch":
        import torch

        new, one = torch.tensor, torch.ones(())
    else:
        import tapegrad as tg

        new, one = tg.tensor, tg.tensor(1.0)
    forward, backward, both = [], [], []
    for _ in range(REPEATS[n]):
        x = new(0.5, requires_grad=True)
        start = time.perf_counter()
        y = x
        for _ in range(n):
            y = y * one
        middle = time.perf_counter()
        y.backward()
        end = time.perf_counter()
        assert x.grad.item() == 1.0
        forward.append(middle - start)
        backward.append(end - middle)
        both.append(end - start)
    for _ in range(n):  # a chain that nobody went back through is freed without recursion, too
        x = x * one
    start = time.perf_counter()
    del x, y
    freed = time.perf_counter() - start
    us = {"forward": min(forward), "backward": min(backward), "both": min(both), "free": freed}
    return {key: seconds / n * 1e6 for key, seconds in us.items()}


def live_memory(early: int = 2500, late: int = 3500) -> dict[str, float]:
    """KB alive (as tracemalloc counts, NumPy's arrays included) before and after 1,000 steps, and live Tensors.

    The steps before it fill Python's free lists: up to 2,000 dead tuples of each length stay allocated for reuse.
    """
    import tapegrad as tg
    from benchmarks import networks, steps

    gc.disable()
    step, _ = networks.tapegrad(steps.JOBS["step_small"].task)
    tracemalloc.start()
    alive = {}
    for number in range(1, late + 1):
        step()
        if number in (early, late):
            alive[number] = tracemalloc.get_traced_memory()[0] / 1024
    tensors = sum(isinstance(thing, tg.Tensor) for thing in gc.get_objects())
    return {
        "early": alive[early],
        "late": alive[late],
        "growth": alive[late] - alive[early],
        "tensors": tensors,
    }


def named(name: str, *args: object, needs: str = "tapegrad") -> Contestant:
    return Contestant(name, ("-m", "benchmarks.deep_chain", *map(str, args)), needs=needs)


CASES = (
    Case(
        title="A chain, one core",
        contestants=(
            named("tapegrad, 10,000 nodes", "tapegrad", SHORT),
            named("tapegrad, 100,000 nodes", "tapegrad", LONG),
            named("tapegrad, 300,000 nodes", "tapegrad", 3 * LONG),
            named("PyTorch, 10,000 nodes", "PyTorch", SHORT, needs="torch"),
            named("PyTorch, 100,000 nodes", "PyTorch", LONG, needs="torch"),
        ),
        columns={
            "forward": "forward, µs per node",
            "backward": "backward, µs per node",
            "both": "both, µs per node",
            "free": "freeing it unused, µs per node",
        },
        promises=(
            Promise("both", "tapegrad, 300,000 nodes", "tapegrad, 100,000 nodes", 1.3),
            Promise("both", "tapegrad, 100,000 nodes", "tapegrad, 10,000 nodes", 1.3),
        ),
        cores=1,
        note="Time per node; a ratio of 1 between two lengths is exactly linear. The short chain gains from memory "
        "that it used before and that fits into the cache, which says nothing of how the time grows.",
    ),
    Case(
        title="Live memory of a training loop, garbage collector off",
        contestants=(named("tapegrad", "live_memory"),),
        columns={
            "early": "KB after 2,500 steps",
            "late": "KB after 3,500 steps",
            "growth": "growth, KB",
            "tensors": "live Tensors",
        },
        rounds=1,
    ),
)

if __name__ == "__main__":
    figures = live_memory() if sys.argv[1] == "live_memory" else chain(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(figures))
