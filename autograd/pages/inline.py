"""What a notebook shows of one object: plain HTML with its style in it, and no script."""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.pages.numbers import Numbers, numbers_of, text_of

CORNER = 8  # rows and columns of a tensor
UP, DOWN = "26, 95, 208", "191, 33, 48"  # colours of numbers above and below zero
CELL = "padding:1px 6px;text-align:right;font:12px ui-monospace,monospace"


def heat_map(data: Array) -> str:
    """The corner of a raw array as a table, coloured by sign and size, and a line with its range."""
    n = numbers_of(data, CORNER, CORNER)
    return f"{cells(n)}<div>{escape(range_of(n))}</div>"


def cells(n: Numbers) -> str:
    most = max(abs(n.low or 0.0), abs(n.high or 0.0)) or 1.0
    rows = []
    for row in n.corner:
        made = []
        for x in row:
            share = min(abs(x) / most, 1.0) * 0.45 if isfinite(x) else 0.0
            colour = f"background:rgba({DOWN if x < 0 else UP}, {share:.2f});" if share else ""
            made.append(f'<td style="{colour}{CELL}">{text_of(x)}</td>')
        rows.append(f"<tr>{''.join(made)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def range_of(n: Numbers) -> str:
    """`float32[8, 16], a corner of it: min …, max …, mean …`"""
    text = f"{n.dtype}[{', '.join(map(str, n.shape))}]{', a corner of it' if n.cut else ''}"
    if n.low is not None and n.high is not None:
        text += f": min {text_of(n.low)}, max {text_of(n.high)}, mean {n.mean:.4g}"
    return text + (f", {n.nonfinite:,} not finite" if n.nonfinite else "")


def sparkline(values: Iterable[float], label: str, best: int | None = None) -> str:
    """A small curve as SVG, with a dot at one of its values; what is not finite is left out."""
    points = [(i, v) for i, v in enumerate(values) if isfinite(v)]
    if not points:
        return ""
    most = max(abs(v) for _, v in points) or 1.0
    points = [(i, v / most) for i, v in points]
    low, high = min(v for _, v in points), max(v for _, v in points)
    last = max(points[-1][0], 1)
    place = [
        (4 + 112 * i / last, 22 - 18 * ((v - low) / (high - low) if high > low else 0.5)) for i, v in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    dots = [place[k] for k, (i, _) in enumerate(points) if i == best]
    circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="rgb({DOWN})"/>' for x, y in dots)
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="120" height="26">'
        f'<polyline points="{line}" fill="none" stroke="rgb({UP})" stroke-width="1.5"/>{circles}</svg>'
    )


def histogram(data: Array, label: str, bins: int = 24) -> str:
    """How the finite elements of a raw array are spread, as a small SVG, with their range and how many others there
    are."""
    import numpy as np

    from tapegrad.backends import backend_of

    array = backend_of(data).to_numpy(data)
    size = array.size
    array = array[np.isfinite(array)].astype(np.float64)
    words = [span(array.min(), array.max())] if array.size else []
    words += [f"<b>{size - array.size:,} not finite</b>"] if size > array.size else []
    text = f'<div style="font-size:11px">{", ".join(words)}</div>' if words else ""
    if not array.size:
        return text
    # Scaled by a power of two, so that the largest doubles have a difference and the least ones are apart.
    array = np.ldexp(array, -int(np.frexp(np.abs(array).max())[1]))
    counts, _ = np.histogram(array, bins)
    high = counts.max()
    bars = "".join(
        f'<rect x="{5 * i}" width="4" y="{24 - 22 * c / high:.1f}" height="{22 * c / high:.1f}" fill="rgb({UP})"/>'
        for i, c in enumerate(counts)
        if c
    )
    return f'<svg role="img" aria-label="{escape(label)}" width="{5 * bins}" height="26">{bars}</svg>{text}'


def span(low: float, high: float) -> str:
    """`-1 … 2`, with as many digits as tell the two apart; `all 1` where they are one number."""
    if low == high:
        return f"all {low:.3g}"
    shown = ((f"{low:.{digits}g}", f"{high:.{digits}g}") for digits in (3, 6, 9, 17))
    return " … ".join(next((a, b) for a, b in shown if a != b))


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), html: int = 10**9) -> str:
    """A table of texts; columns from number `html` on are HTML already."""

    def line(cells: Sequence[str], tag: str) -> str:
        shown = (c if i >= html and tag == "td" else escape(c) for i, c in enumerate(cells))
        return "<tr>" + "".join(f'<{tag} style="text-align:left">{c}</{tag}>' for c in shown) + "</tr>"

    return f"<table>{line(head, 'th') if head else ''}{''.join(line(row, 'td') for row in rows)}</table>"
