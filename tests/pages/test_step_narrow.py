"""Pages with a program, in windows in which its lines wrap, and by keyboard."""

from collections.abc import Callable
from typing import Any

import pytest

import page_programs as programs
import tapegrad as tg

Opened = Callable[..., Any]
SIZES = [(390, 844), (768, 1024), (1200, 800)]
# How far the first marked line stands from being wholly in sight in the box that scrolls.
OUT_OF_SIGHT = """box => {
  const line = box.querySelector(".code .fwd, .code .bwd, :scope > .fwd")?.getBoundingClientRect()
  const seen = box.getBoundingClientRect()
  return line ? Math.max(0, seen.top - line.top, line.bottom - seen.bottom) : -1
}"""
FRAMES = "new Promise(done => { let k = 8; (function f() { k-- ? requestAnimationFrame(f) : done() })() })"
FOCUS = "document.activeElement.dataset.tab ?? (document.activeElement.id || document.activeElement.tagName)"


@pytest.fixture(scope="module")
def pages() -> tuple[str, str]:
    """The page of a tape with its step, and that of the step."""
    step, loss_of, batch = programs.train_step("numpy")
    with tg.keep_lines():
        loss = loss_of(*batch)
    return tg.tape(loss).html(step=step), step.html()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_program_of_a_tape_shows_the_lines_of_its_row(
    opened: Opened, pages: tuple[str, str], size: tuple[int, int]
) -> None:
    page = opened(pages[0], *size)
    page.get_by_role("tab", name="program").click()
    page.locator("#tape").focus()
    page.keyboard.press("Home")
    seen = 0
    for _ in range(page.locator("#tape [role=treeitem]").count()):
        page.evaluate(FRAMES)
        out = page.locator("#panel").evaluate(OUT_OF_SIGHT)
        assert out <= 1, page.inner_text("#where")
        seen += out >= 0
        page.keyboard.press("ArrowDown")
    assert seen > 5


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_source_of_a_step_shows_the_lines_of_its_operation(
    opened: Opened, pages: tuple[str, str], size: tuple[int, int]
) -> None:
    page = opened(pages[1], *size)
    page.locator("#tape").focus()
    page.keyboard.press("Home")
    seen = 0
    for _ in range(20):
        page.evaluate(FRAMES)
        out = page.locator("#source").evaluate(OUT_OF_SIGHT)
        assert out <= 1, page.inner_text("#story")
        assert page.evaluate("document.getElementById('source').clientHeight") >= 100
        assert page.evaluate("document.getElementById('story').clientHeight") >= 100
        seen += out >= 0
        page.keyboard.press("ArrowDown")
    assert seen > 10


# what has the focus, the key, what has it then
FOCUSED = (
    ("[data-tab=call]", "ArrowRight", "program"),
    ("[data-tab=call]", "ArrowLeft", "program"),
    ("[data-tab=call]", "Enter", "call"),
    ("#panel .code [tabindex='0']", "ArrowRight", "panel"),
    ("#panel summary", "ArrowRight", "panel"),
    ("#panel [data-i]", "Enter", "panel"),
    ("#panel [data-i]", "ArrowLeft", "panel"),
    ("#panel", "ArrowRight", "panel"),
    ("#tape", "ArrowRight", "tape"),
)


@pytest.mark.parametrize("case", FOCUSED, ids=str)
def test_a_key_does_not_lose_the_focus(
    opened: Opened, pages: tuple[str, str], case: tuple[str, str, str]
) -> None:
    selector, key, then = case
    page = opened(pages[0])
    page.locator("#tape .row", has_text="linear").first.click()
    place = page.inner_text("#where")
    page.locator(selector).first.focus()
    page.keyboard.press(key)
    assert page.evaluate(FOCUS) == then
    steps = key != "Enter" and "data-tab" not in selector
    assert (page.inner_text("#where") != place) == (steps or "[data-i]" in selector)


def test_tabs_are_one_stop_of_the_tab_key(opened: Opened, pages: tuple[str, str]) -> None:
    page = opened(pages[0])
    for tab in ("program", "call", "program"):
        page.locator("#panel [role=tab][tabindex='0']").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#panel [aria-selected=true]").inner_text() == tab
        assert page.locator("#panel [role=tab][tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.o") is not None


def test_folds_keep_the_focus_on_their_button(opened: Opened) -> None:
    with tg.keep_lines():
        made = programs.deep(3)
    page = opened(tg.tape(*made).html())
    page.locator("#tape [aria-expanded]").first.click()
    for said in ("Fold", "Unfold"):
        button = page.locator("#panel [data-f]")
        assert button.inner_text() == said
        button.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.dataset.f") == "0"
