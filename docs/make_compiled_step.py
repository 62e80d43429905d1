"""Write docs/compiled_step.md: what `tg.jit` makes of a small train step, from the recorded list to the source by each
emitter. Run: python docs/make_compiled_step.py"""

import linecache
from pathlib import Path
from typing import Any

from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.emit.native.emitter import NativeEmitter
from tapegrad.compiler.passes import improve

STEP = """import tapegrad as tg

tg.manual_seed(0)
model = tg.nn.Sequential(tg.nn.Dense(16, activation="relu", in_features=3), tg.nn.Dense(1))
optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

def train_step(x, y):
    loss = tg.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
"""
PAGE = """# A compiled step, from the tape to the program

Made by `python docs/make_compiled_step.py`; a test keeps it up to date.

This is `train.py`, a step of training as anybody writes it:

```python
{step}```

`step = tg.jit(train_step)` records it at its first call: every primitive that runs, in the forward pass, the gradient
rules and the optimizer, goes on one flat list. The rest of this page is what the methods of `step` print for 8 rows.

## The list, as recorded

`step.program("recorded")`: each operation, the dtype and shape of its result, and whose it is.

```text
{recorded}
```

## The passes

Each takes the list and gives a better one: `compiler/passes/` has a file for each, `step.program(NAME)` is the
list after it. `step.explain()` counts the operations that compute, and the bytes of the arrays that they make, after
each pass that changed the list:

```text
{passes}
```

What is left, `step.program()`:

```text
{improved}
```

## In NumPy

`step.source()`. The buffers are made once. Elementwise operations write into one whose contents nobody needs any more,
gradients into their parts of the buffer that the update reads. `step.save("step.py")` writes this to a file that runs
without tapegrad.

```python
{numpy}```

## In machine code

`tg.jit(train_step, emitter="native")`. Runs of elementwise operations become loops, with the reductions that end
them; each distinct one, and each product, is a small function for LLVM, and `step.ir()` shows them. Python runs this
source as it stands, to the same bits but for the products, whose order of adding up is that of their kernels.

```python
{native}```

## In CuPy

On a GPU each such run is one kernel; with `[cuda-fast]` all of them are launched as one CUDA graph.

```python
{cupy}```
"""


def page() -> str:
    linecache.cache["train.py"] = (len(STEP), None, STEP.splitlines(keepends=True), "train.py")
    scope: dict[str, Any] = {}
    exec(compile(STEP, "train.py", "exec"), scope)
    tg = scope["tg"]
    step = tg.jit(scope["train_step"], emitter="numpy")
    step(tg.zeros((8, 3)), tg.zeros((8, 1)))
    recorded, title = step.shown().runner.history[0][1], step.shown().runner.title
    return PAGE.format(
        step=STEP,
        recorded=step.program("recorded"),
        passes=step.explain(),
        improved=step.program(),
        numpy=step.source(),
        native=NativeEmitter(improve(recorded, "native")[0], title).source(),
        cupy=CupyEmitter(improve(recorded, "cupy")[0], title).source(),
    )


if __name__ == "__main__":
    (Path(__file__).parent / "compiled_step.md").write_text(page())
