"""Products over gathered windows read the windows where they lie; where that would not be the same they stay."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.windows import read_windows

S = "slice(None, None, None)"
START = "x: float32[2, 4, 5]\nw: float32[10, 3]\n"
LAYOUT = "starts=(0,), strides=(1,), counts=(3,), window=(2,), dilation=(1,)"


def part(name: str, begin: int, end: int, step: int = 1, of: str = "x", channels: str = S) -> str:
    return f"{name} = slice({of}, index=({S}, slice({begin}, {end}, {step}), {channels}))\n"


def added(name: str, into: str, what: str, begin: int, end: int) -> str:
    return f"{name} = add_at({into}, {what}, index=({S}, slice({begin}, {end}, 1), {S}))\n"


PARTS = part("a", 0, 3) + part("b", 1, 4)
ROWS = "c = concat(a, b, axis=2)\nr = reshape(c, shape=(6, 10))\n"
GRADIENT = "g: float32[6, 3]\nk: float32[3, 10]\nz: constant float32[2, 4, 5] 0.0\n"
COLUMNS = f"""m = matmul(g, k)\nn = reshape(m, shape=(2, 3, 10))
    a = slice(n, index=({S}, {S}, slice(0, 5, 1)))\nb = slice(n, index=({S}, {S}, slice(5, 10, 1)))\n"""
ADDED = added("d", "z", "a", 0, 3) + added("e", "d", "b", 1, 4)
APART = "starts=(0,), strides=(2,), counts=(2,), window=(2,), dilation=(1,)"
HALVES = "u: float32[2, 2, 5]\nv: float32[2, 2, 5]\nz: constant float32[2, 4, 5] 0.0\nh: float32[2, 4, 5]\n"
FIRST = f"({S}, slice(0, 3, 2), {S})"
SECOND = f"({S}, slice(1, 4, 2), {S})"
PUT = f"d = add_at(z, u, index={FIRST})\ne = add_at(d, v, index={SECOND})\n"
PUT_WINDOWS = f"put_windows(u, v, shape=(2, 4, 5), {APART})"
CHOSEN = f"""y_part_1 = slice(h, index={FIRST})\ny_not_equal_2 = not_equal(y_part_1, 0)
    y_where_3 = where(y_not_equal_2, u, 0.0)\ny_part_2 = slice(h, index={SECOND})
    y_not_equal_4 = not_equal(y_part_2, 0)\ny_where_5 = where(y_not_equal_4, v, 0.0)
    y = put_windows(y_where_3, y_where_5, shape=(2, 4, 5), {APART})\nreturn y"""
BIASED = (
    f"{START}b: float32[3]\n{PARTS.replace('a =', 'a1 =').replace('b =', 'a2 =')}c = concat(a1, a2, axis=2)\n"
)
BIASED += "r = reshape(c, shape=(6, 10))\nm = matmul(r, w)\ns = reshape(m, shape=(2, 3, 3))\n"
SEEN = f"m_windows = windows_of(x, {LAYOUT})\n"
CASES = {
    "forward": (
        f"{START}{PARTS}{ROWS}y = matmul(r, w)\nreturn y",
        f"y_windows = windows_of(x, {LAYOUT})\ny = convolve_windows(y_windows, w)\nreturn y",
    ),
    "of the kernel": (
        f"{START}g: float32[6, 3]\n{PARTS}{ROWS}t = permute_dims(r, axes=(1, 0))\ny = matmul(t, g)\nreturn y",
        f"y_windows = windows_of(x, {LAYOUT})\ny = convolve_kernel(y_windows, g)\nreturn y",
    ),
    "both": (
        f"{START}g: float32[6, 3]\n{PARTS}{ROWS}y = matmul(r, w)\nt = permute_dims(r, axes=(1, 0))\n"
        "h = matmul(t, g)\nreturn y, h",
        f"y_windows = windows_of(x, {LAYOUT})\ny = convolve_windows(y_windows, w)\n"
        "h = convolve_kernel(y_windows, g)\nreturn y, h",
    ),
    "of the input": (
        f"{GRADIENT}{COLUMNS}{ADDED}return e", f"e = convolve_input(g, k, shape=(2, 4, 5), {LAYOUT})\nreturn e",
    ),
    "apart": (
        f"{START}{part('a', 0, 3, 2)}{part('b', 1, 4, 2)}c = concat(a, b, axis=2)\nr = reshape(c, shape=(4, 10))\n"
        "y = matmul(r, w)\nreturn y",
        "y_windows = windows_of(x, starts=(0,), strides=(2,), counts=(2,), window=(2,), dilation=(1,))\n"
        "y = convolve_windows(y_windows, w)\nreturn y",
    ),
    "apart in zeros": (f"{HALVES}{PUT}return e", f"e = {PUT_WINDOWS}\nreturn e"),
    "one part in zeros": (f"{HALVES}d = add_at(z, u, index={FIRST})\nreturn d", None),
    "of another shape": (f"{HALVES.replace('v: float32[2, 2, 5]', 'v: float32[5]')}{PUT}return e", None),
    "chosen after": (f"{HALVES}{PUT}c = not_equal(h, 0)\ny = where(c, e, 0.0)\nreturn y", CHOSEN),
    "chosen after, else 1": (
        f"{HALVES}{PUT}c = not_equal(h, 0)\ny = where(c, e, 1.0)\nreturn y",
        f"e = {PUT_WINDOWS}\nc = not_equal(h, 0)\ny = where(c, e, 1.0)\nreturn y",
    ),
    "summed after": (
        f"{HALVES}{PUT}s = sum(e, axis=(0, 1))\nreturn e, s",
        f"e_add_1 = add(u, v)\ne = {PUT_WINDOWS}\ns = sum(e_add_1, axis=(0, 1))\nreturn e, s",
    ),
    "summed along one axis": (
        f"{HALVES}{PUT}s = sum(e, axis=(1,))\nreturn e, s", f"e = {PUT_WINDOWS}\ns = sum(e, axis=(1,))\nreturn e, s",
    ),
    "with a bias": (
        f"{BIASED}y = add(s, b)\nreturn y",
        f"{SEEN}y_rows = convolve_windows(m_windows, w, b)\ny = reshape(y_rows, shape=(2, 3, 3))\nreturn y",
    ),
    "with a bias and relu": (
        f"{BIASED}a = add(s, b)\ny = maximum(a, 0.0)\nreturn y",
        f"{SEEN}y_rows = convolve_windows(m_windows, w, b, relu=True)\ny = reshape(y_rows, shape=(2, 3, 3))\nreturn y",
    ),
    "with a bias of another shape": (
        f"{BIASED.replace('b: float32[3]', 'b: float32[3, 1]')}y = add(s, b)\nreturn y",
        f"{SEEN}m = convolve_windows(m_windows, w)\ns = reshape(m, shape=(2, 3, 3))\ny = add(s, b)\nreturn y",
    ),
    "read before the bias": (
        f"{BIASED}y = add(s, b)\nreturn y, s",
        f"{SEEN}m = convolve_windows(m_windows, w)\ns = reshape(m, shape=(2, 3, 3))\ny = add(s, b)\nreturn y, s",
    ),
    "read before relu": (
        f"{BIASED}a = add(s, b)\ny = maximum(a, 0.0)\nreturn a, y",
        f"{SEEN}a_rows = convolve_windows(m_windows, w, b)\na = reshape(a_rows, shape=(2, 3, 3))\n"
        "y = maximum(a, 0.0)\nreturn a, y",
    ),
    "the bias is written between": (
        f"{BIASED.replace('b: float32[3]', 'b: captured float32[3] 0:12')}k = multiply(b, 2.0)\nb = write(b, k)\n"
        "y = add(s, b)\nreturn y",
        f"{SEEN}m = convolve_windows(m_windows, w)\ns = reshape(m, shape=(2, 3, 3))\nk = multiply(b, 2.0)\n"
        "b = write(b, k)\ny = add(s, b)\nreturn y",
    ),
    "in another order": (
        f"{START}{PARTS}c = concat(b, a, axis=2)\nr = reshape(c, shape=(6, 10))\ny = matmul(r, w)\nreturn y", None,
    ),
    "of two arrays": (
        f"{START}u: float32[2, 4, 5]\n{part('a', 0, 3)}{part('b', 1, 4, of='u')}{ROWS}y = matmul(r, w)\nreturn y",
        None,
    ),
    "of steps that differ": (
        f"{START}{part('a', 0, 2)}{part('b', 0, 4, 2)}c = concat(a, b, axis=2)\nr = reshape(c, shape=(4, 10))\n"
        "y = matmul(r, w)\nreturn y", None,
    ),
    "unevenly": (
        f"x: float32[2, 6, 5]\nw: float32[15, 3]\n{PARTS}{part('d', 3, 6)}c = concat(a, b, d, axis=2)\n"
        "r = reshape(c, shape=(6, 15))\ny = matmul(r, w)\nreturn y", None,
    ),
    "backwards": (
        f"{START}{part('a', 2, None, -1)}{part('b', 3, 0, -1)}{ROWS}y = matmul(r, w)\nreturn y", None,
    ),
    "of some channels": (
        f"x: float32[2, 4, 7]\nw: float32[10, 3]\n{part('a', 0, 3, channels='slice(0, 5, 1)')}"
        f"{part('b', 1, 4, channels='slice(0, 5, 1)')}{ROWS}y = matmul(r, w)\nreturn y", None,
    ),
    "joined along another axis": (
        f"{START}v: float32[5, 3]\n{PARTS}c = concat(a, b, axis=1)\nr = reshape(c, shape=(12, 5))\ny = matmul(r, v)\n"
        "return y", None,
    ),
    "of whole numbers": (
        f"x: int64[2, 4, 5]\nw: int64[10, 3]\n{PARTS}{ROWS}y = matmul(r, w)\nreturn y", None,
    ),
    "written between": (
        f"x: captured float32[2, 4, 5] 0:160\nw: float32[10, 3]\n{PARTS}{ROWS}v = multiply(x, 2.0)\nx = write(x, v)\n"
        "y = matmul(r, w)\nreturn y", None,
    ),
    "written later": (
        f"x: captured float32[2, 4, 5] 0:160\nw: float32[10, 3]\n{PARTS}{ROWS}y = matmul(r, w)\nv = multiply(x, 2.0)\n"
        "x = write(x, v)\nreturn y",
        f"y_windows = windows_of(x, {LAYOUT})\ny = convolve_windows(y_windows, w)\nv = multiply(x, 2.0)\n"
        "x = write(x, v)\nreturn y",
    ),
    "to ones": (f"{GRADIENT.replace('0.0', '1.0')}{COLUMNS}{ADDED}return e", None),
    "columns that are read again": (f"{GRADIENT}{COLUMNS}{ADDED}return e, m", None),
    "sums that are read again": (f"{GRADIENT}{COLUMNS}{ADDED}return d, e", None),
    "columns in another order": (
        f"{GRADIENT}{COLUMNS}{added('d', 'z', 'b', 0, 3)}{added('e', 'd', 'a', 1, 4)}return e", None,
    ),
    "the kernel is written between": (
        f"g: float32[6, 3]\nk: captured float32[3, 10] 0:120\nz: constant float32[2, 4, 5] 0.0\n{COLUMNS}"
        f"v = multiply(k, 2.0)\nk = write(k, v)\n{ADDED}return e", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_windows(name: str) -> None:
    check(read_windows, *CASES[name])
