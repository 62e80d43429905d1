"""How the pages look: nothing runs out of them or into its neighbour, and what is cut has its text as a tooltip."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

Opened = Callable[..., Any]


def corner() -> str:
    """Numbers of nine characters in eight columns."""
    draw = np.random.default_rng(0)
    x = tg.tensor(draw.normal(size=(8, 8)) * np.exp(draw.normal(size=(8, 8)) * 4 - 4), requires_grad=True)
    return tg.tape((x * x).sum(), {"x": x}).html()


def shapes() -> str:
    """Shapes of four axes."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2D(4, 3, in_features=1), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(10))
    with tg.keep_lines():
        loss = nn.functional.cross_entropy(model(tg.rand(2, 8, 8, 1)), tg.tensor([1, 2]))
    return tg.tape(loss, model).html()


def names() -> str:
    """A title without spaces, and a long name."""
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    return tg.tape((x * x).sum(), {"a_very_long_name_" * 20: x}).html(title="T" * 400)


class Lines(nn.Module):
    def __init__(self) -> None:
        parts = {"two\nlines": nn.Dense(2, in_features=2), "a\ttab": nn.Dense(2, in_features=2)}
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        for part in self.parts.values():
            x = tg.tanh(part(x))
        return x


def newlines() -> str:
    """Names of modules with a newline and a tab."""
    model = Lines()
    with tg.keep_lines():
        loss = model(tg.ones((1, 2))).sum()
    return tg.tape(loss, model).html()


PAGES = (corner, shapes, names, newlines)
# Of the rows, what is higher than its row, and what is cut and has no tooltip.
FAULTS = """[...document.querySelectorAll("#tape .row")].flatMap(row => [...row.children].filter(e =>
  e.offsetHeight > row.offsetHeight + 1
  || e.scrollWidth > e.clientWidth + 1 && e.clientWidth && !e.title && !e.classList.contains("bar")
).map(e => e.textContent))"""
WIDER = "document.getElementById('panel').scrollWidth - document.getElementById('panel').clientWidth"


@pytest.mark.parametrize("width", [390, 800, 1200, 1600])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_nothing_runs_out_of_the_page(opened: Opened, page: Callable[[], str], width: int) -> None:
    shown = opened(page(), width=width)
    shown.locator("#tape").focus()
    shown.keyboard.press("Home")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        shown.evaluate(
            "document.getElementById('panel').scrollWidth - document.getElementById('panel').clientWidth"
        )
        <= 0
    )
    assert shown.evaluate("document.querySelector('main').clientHeight") > 400
    assert shown.evaluate(FAULTS) == []


def test_shapes_of_four_axes_are_whole(opened: Opened) -> None:
    shown = opened(shapes(), width=1200)
    cut = "[...document.querySelectorAll('#tape .row .s.wide')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert shown.locator("#tape .row", has_text="float32[2, 6, 6, 4]").count() and shown.evaluate(cut) == 0


def test_numbers_beside_the_panel_are_reached_by_keyboard(opened: Opened) -> None:
    shown = opened(corner(), width=1200)
    shown.locator("#tape").focus()
    shown.keyboard.press("Home")
    box = shown.locator("#panel .scroll").first
    box.focus()
    for _ in range(20):
        shown.keyboard.press("ArrowRight")
    shown.wait_for_function("document.querySelector('#panel .scroll').scrollLeft > 0")
    assert shown.locator("#panel h2").inner_text() == "x"


def test_a_name_of_two_lines_is_one_row_of_text(opened: Opened) -> None:
    shown = opened(newlines(), width=1200)
    texts = shown.locator("#tape .row").all_inner_texts()
    assert any("parts.two lines.kernel" in text for text in texts)
    assert any("dparts.two lines.kernel" in text or "dparts.two lines.bias" in text for text in texts)


def test_a_small_tape_has_rows_of_two_lines_where_there_is_room(opened: Opened) -> None:
    """So that its calls are read whole; a window too low for that has rows of one line, and says it by tooltips."""
    model = nn.Sequential(nn.Dense(16, activation="tanh", in_features=3), nn.Dense(1))
    html = tg.tape(nn.functional.mse_loss(model(tg.ones((4, 3))), tg.ones((4, 1))), model).html()
    heights = "[...document.querySelectorAll('#tape .row')].map(r => r.offsetHeight)"
    cut = "[...document.querySelectorAll('#tape .n')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    high, low = opened(html, width=1200, height=1000), opened(html, width=1200, height=400)
    assert set(high.evaluate(heights)) == {42} and high.evaluate(cut) == 0
    assert max(high.evaluate("[...document.querySelectorAll('#tape .n')].map(e => e.offsetHeight)")) > 26
    assert set(low.evaluate(heights)) == {26}
    assert "log scale" in high.locator("#about").inner_text()
