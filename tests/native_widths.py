"""A program of many operations at the width of vectors that TAPEGRAD_VECTOR_BITS allows: prints what it came to.

width, multiply-add in one instruction; registers in its loops and in its products; the hash of its loops' results
with that of the printed source run by Python; the largest error of its products; the key of its cache
"""

from hashlib import sha256
from typing import Any

import numpy as np

import tapegrad as tg
from native_programs import bits, interpreted, left_to_numpy, machine_code, native
from tapegrad.compiler.emit.native import machine

FUNCTIONS = ("exp", "log", "tanh", "sin", "sqrt", "floor", "abs")


def loops(x: Any, k: Any) -> Any:
    """Functions, casts, choices, integers, division, and sums over either axis and all."""
    y = sum(getattr(tg, name)(tg.abs(x) + 0.5 if name.startswith("log") else x) for name in FUNCTIONS[:4])
    z = [getattr(tg, name)(tg.abs(x)) for name in FUNCTIONS[4:]]
    whole = (k // 3 + k % 7) * tg.astype(x * 3.0, "int32")
    chosen = tg.where(x > 0.25, tg.astype(x, "float64"), -1.0)
    return y, *z, whole, chosen, y.sum(axis=0), y.sum(axis=1), chosen.sum(), tg.max(x), x**3


def registers(text: str) -> str:
    """The widest that stand in the machine code."""
    module = machine.llvm().parse_assembly(text)
    assembly = machine.compiler().emit_assembly(module)
    return next((name for name in ("zmm", "ymm", "xmm") if f"%{name}" in assembly), "none")


def main() -> None:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        x, k = rng.normal(size=(9, 53)).astype(dtype), rng.integers(-50, 50, (9, 53)).astype("int32")
        f, product = native(loops), native(lambda a, b: (a @ b, a.T @ a, b[:, 0] @ a.T))
        b = rng.normal(size=(53, 9)).astype(dtype)
        with tg.no_grad(), np.errstate(all="ignore"):
            for _ in range(3):
                f(tg.tensor(x), tg.tensor(k))
                got = product(tg.tensor(x), tg.tensor(b))
        assert left_to_numpy(f) == left_to_numpy(product) == [""]
        (case,) = f.cases
        mine, printed = machine_code(case.runner, [x, k]), interpreted(case.runner, [x, k])
        hashes = [sha256(repr(results).encode()).hexdigest()[:16] for results in (mine, printed)]
        xd, bd = x.astype("float64"), b.astype("float64")
        wanted = (xd @ bd, xd.T @ xd, bd[:, 0] @ xd.T)
        error = max(float(np.abs(g.numpy() - w).max()) for g, w in zip(got, wanted)) / np.finfo(dtype).eps
        assert bits(got[0].numpy())[1] == (9, 9)
        print(
            machine.vector_bits(), machine.fused(), registers(f.ir()), registers(product.ir()), *hashes, error
        )
    print(sha256(machine.host().encode()).hexdigest())


if __name__ == "__main__":
    main()
