"""Draw docs/tape.svg for the README: a few lines of code, the tape they leave, and the same code on either backend.
What it shows of the tape is what tg.tape prints. Run: python docs/make_picture.py"""

from html import escape
from pathlib import Path

import numpy as np

import tapegrad as tg

HERE = Path(__file__).resolve().parent
CODE = """x = tg.tensor(data)
W = tg.tensor(w0, requires_grad=True)
b = tg.tensor(b0, requires_grad=True)

loss = (tg.tanh(x @ W + b) ** 2).mean()
print(tg.tape(loss))

loss.backward()
W.grad, b.grad"""
ROW = 19
LEFT, TAPE_X, ADJOINT_X = 24.0, 368.0, 620.0
STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2933}"
    ".head{font:600 13px system-ui,sans-serif;fill:#334e68}"
    ".code{fill:#f5f7fa;stroke:#cbd2d9}.tape{fill:#e6f6ff;stroke:#84c5f4}.back{fill:#fff3e0;stroke:#f0b429}"
    ".place{fill:#e3f9e5;stroke:#7bc47f}"
)


def rows() -> list[tuple[str, list[str]]]:
    """(forward call, its adjoint lines) of the loss in CODE."""
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=(32, 4)).astype("float32"))
    w = tg.tensor(rng.normal(size=(4, 4)).astype("float32"), requires_grad=True)
    b = tg.tensor([0.0] * 4, requires_grad=True)
    tape = tg.tape((tg.tanh(x @ w + b) ** 2).mean(), {"x": x, "W": w, "b": b})
    adjoint = tape.adjoint()
    return [(f"{tape.calls[n]} = {tape.call(n)}", adjoint[n][::-1]) for n in tape.nodes]


def text(x: float, y: float, words: str, css: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{css}" xml:space="preserve">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, css: str) -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8" class="{css}"/>'


def frames(height: float) -> list[str]:
    """The three columns, with their headings."""
    return [
        box(8, 8, 336, height - 74, "code"),
        box(356, 8, 240, height - 74, "tape"),
        box(608, 8, 364, height - 74, "back"),
        text(LEFT, 34, "what you write", "head"),
        text(TAPE_X, 34, "the tape, from the top down", "head"),
        text(ADJOINT_X, 34, "the gradient program, from the bottom up", "head"),
    ]


def calls(table: list[tuple[str, list[str]]]) -> list[str]:
    """Each call of the tape, and beside it the lines of the gradient program that it leads to."""
    parts, y = [], 62.0
    for call, adjoint in table:
        parts.append(text(TAPE_X, y, call))
        for line in adjoint:
            parts.append(text(ADJOINT_X, y, line))
            y += ROW
    return [*parts, text(ADJOINT_X, y, f"d{table[-1][0].split(' ')[0]} = ones")]


def foot(below: float) -> list[str]:
    """What lies under all three: the primitives, on either backend."""
    return [
        box(8, below, 964, 46, "place"),
        text(LEFT, below + 29, "primitives: one table of forwards and gradient rules", "head"),
        box(490, below + 8, 226, 30, "code"),
        text(506, below + 28, "NumPy, on the CPU"),
        box(732, below + 8, 226, 30, "code"),
        text(748, below + 28, "CuPy, on the GPU"),
    ]


def picture() -> str:
    table = rows()
    height = 62 + (sum(max(1, len(a)) for _, a in table) + 1) * ROW + 74
    code = [text(LEFT, 62 + i * ROW, line) for i, line in enumerate(CODE.split("\n"))]
    parts = [*frames(height), *code, *calls(table), *foot(height - 56)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 {height:.0f}" role="img" '
        f'aria-label="Code, the tape it records, and the gradient program beside it"><style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    (HERE / "tape.svg").write_text(picture())
