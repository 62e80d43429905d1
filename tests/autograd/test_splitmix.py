"""Random numbers are the same on every backend: NumPy's beside the C that runs on a GPU, and the published sequence."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends import splitmix
from tapegrad.backends.cupy_backend import RANDOM_NUMBER

C = """
#define T %s
void draw(unsigned long long key, double unit, int bits, long n, T *out) {
  for (long i = 0; i < n; i++) {
    T u;
    %s
    out[i] = u;
  }
}
"""


def test_the_published_sequence() -> None:
    """The first numbers of seed 1234567, as the reference implementation prints them."""
    states = [(1234567 + i * splitmix.GAMMA) % 2**64 for i in range(3)]
    assert [splitmix.scramble(z) for z in states] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


@pytest.mark.parametrize(("dtype", "name"), [("float32", "float"), ("float64", "double")])
def test_numpy_draws_what_a_gpu_draws(dtype: str, name: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc, which compiles the GPU's formula here, is not installed")
    source, library = tmp_path / "draw.c", tmp_path / "draw.so"
    source.write_text(C % (name, RANDOM_NUMBER))
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    draw = ctypes.CDLL(str(library)).draw
    out, bits = np.empty(1001, dtype), splitmix.bits_of(dtype)
    key = splitmix.key_of(7, 3)
    draw(ctypes.c_ulonglong(key), ctypes.c_double(2.0**-bits), 64 - bits, ctypes.c_long(1001), out.ctypes.data_as(
        ctypes.c_void_p))  # fmt: skip
    assert np.array_equal(out, splitmix.uniform((7, 143), dtype, 7, 3).ravel())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_from_0_to_below_1(dtype: str) -> None:
    tg.manual_seed(0)
    u = tg.uniform((200, 500), dtype=dtype).numpy()
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    assert abs(float(u.astype("float64").mean()) - 0.5) < 0.005
    counts = np.histogram(u, 16, (0, 1))[0]
    # Chi-square of 15 degrees of freedom, 1 in 10,000 above 44.
    assert ((counts - 6250) ** 2 / 6250).sum() < 45
