"""Code for narrower vectors than the processor has, as TAPEGRAD_VECTOR_BITS asks: loops of the same bits, down to a
plain processor without AVX; products within the same error; a file of its own in the cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapegrad.compiler.emit.native import machine

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
PROGRAM = Path(__file__).parents[3] / "native_widths.py"


def limited(bits: str) -> list[list[str]]:
    env = {
        **os.environ,
        "TAPEGRAD_VECTOR_BITS": bits,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(PROGRAM.parent)]),
    }
    run = subprocess.run([sys.executable, str(PROGRAM)], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [line.split() for line in run.stdout.splitlines()]


def test_each_width_that_the_processor_has() -> None:
    there = machine.llvm().get_host_cpu_features()
    if "avx" not in there:
        pytest.skip("vectors of other widths are a matter of x86")
    own = 512 if there["avx512f"] else 256 if there["avx"] else 128
    found = {bits: limited(str(bits)) for bits in (128, 256, 512) if bits <= own}
    for bits, (*rows, _) in found.items():
        for width, fused, loops, products, machine_code, printed, error in rows:
            assert int(width) == bits
            assert bits > 128 or (fused, loops, products) == ("False", "xmm", "xmm")
            assert bits > 256 or "zmm" not in (loops, products)
            assert machine_code == printed and float(error) < 150  # as eager's, of BLAS
    assert len({tuple(row[4] for row in rows) for *rows, _ in found.values()}) == 1
    assert len({key for *_, (key,) in found.values()}) == len(found)


def test_another_width_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEGRAD_VECTOR_BITS", "64")
    with pytest.raises(ValueError, match="TAPEGRAD_VECTOR_BITS must be 128, 256 or 512, got '64'"):
        machine.vector_bits.__wrapped__()
