"""A tape whose numbers can be changed, in a real browser: here this process answers it, on the site Pyodide does."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import page_programs as programs
import tapegrad as tg
from tapegrad.autograd.pages.live import LiveTape
from tapegrad.autograd.pages.record import record_of

Opened = Callable[..., Any]
AROUND = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>around</title>
<style>body {{ margin: 0 }}</style><main>{frame}</main><script>addEventListener("message", async event => {{
  if (event.data.tape) event.source.postMessage(JSON.parse(await answer(JSON.stringify(event.data.tape))), "*");
}})</script></html>"""


def small(keep: bool = True) -> tg.tape:
    x = tg.tensor([[0.5, -2.0], [1.0, 3.0]], requires_grad=True)
    n = tg.tensor([1, 0])
    with tg.keep_lines() if keep else tg.enable_grad():
        y = tg.where(x > 0, x * tg.sin(x), -x)[n]
        loss = (y**2).sum()
    return tg.tape(loss, {"x": x, "n": n})


def shown(opened: Opened, tape: Any, **options: Any) -> tuple[Any, Any, LiveTape]:
    """(the page around, the tape in its frame, what answers it)"""
    live = LiveTape(tape)
    page = opened(AROUND.format(frame=live.frame()), **options)
    page.expose_function("answer", lambda asked: json.dumps(live.answer(json.loads(asked))))
    frame = page.frames[1]
    frame.wait_for_selector("#reset")
    return page, frame, live


def leaf(frame: Any, name: str) -> None:
    frame.locator("#tape .leaf .n", has_text=re.compile(rf"^\W*{re.escape(name)}\b")).first.click()


def figures(frame: Any) -> list[Any]:
    """What the page holds of each row: values and cotangents."""
    return list(frame.evaluate("R.map(r => [r[VALUES], r[COTANGENTS]])"))


def expected(tape: Any) -> list[Any]:
    return [[row[5], row[6]] for row in record_of(tape, "").data()["rows"]]  # type: ignore[attr-defined]


def settled(frame: Any) -> None:
    for _ in range(500):  # the page's policy forbids what wait_for_function does
        if not frame.evaluate("waiting"):
            return
        frame.page.wait_for_timeout(20)
    pytest.fail("no answer")


def test_a_number_changed_by_keyboard_gives_the_numbers_of_the_library(opened: Opened) -> None:
    tape = small()
    page, frame, _ = shown(opened, tape)
    first = expected(tape)
    leaf(frame, "x")
    boxes = frame.locator("#panel .cells input")
    assert boxes.count() == 4 and boxes.nth(1).get_attribute("aria-label") == "x, row 1, column 2"
    boxes.nth(1).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("2.0")
    page.keyboard.press("Enter")
    settled(frame)
    changed = expected(tape.what_if({"x": [[0.5, 2.0], [1.0, 3.0]]}))
    assert figures(frame) == json.loads(json.dumps(changed)) != json.loads(json.dumps(first))
    assert frame.evaluate("document.activeElement.getAttribute('aria-label')") == "x, row 1, column 2"
    assert "rows changed" in frame.inner_text("#effect")
    assert frame.inner_text("#say") == frame.inner_text("#effect")
    moved = frame.locator("#panel .cells .moved")
    assert moved.first.get_attribute("title") == "was -2" and "was: min -2, max 3" in frame.inner_text(
        "#panel"
    )
    assert frame.locator("#tape .row.moved").count() >= 6
    marked = frame.locator("#tape .row.moved").first.get_attribute("aria-label")
    assert marked is not None and marked.startswith("changed: ")
    # The row that keeps its figures has no mark.
    assert frame.locator("#tape .row.moved .n", has_text=re.compile(r"^\W*n\b")).count() == 0
    frame.locator("#reset").focus()
    page.keyboard.press("Enter")
    settled(frame)
    assert figures(frame) == json.loads(json.dumps(first)) and frame.locator(".moved").count() == 0
    assert frame.is_disabled("#reset") and frame.inner_text("#say") == "These are the first numbers"


def test_arrows_raise_and_lower_and_step_through_the_tape_elsewhere(opened: Opened) -> None:
    page, frame, live = shown(opened, small())
    leaf(frame, "x")
    frame.locator("#panel input").first.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
        settled(frame)
    (values,) = live.changes.values()
    assert values[0, 0] == np.float32(0.51) and frame.inner_text("#panel h2") == "x"
    frame.locator("#tape").focus()
    page.keyboard.press("ArrowRight")
    assert "forward v1" in frame.inner_text("#where")


# The number of a leaf as the page has it, the key, and the number that it asks for.
RAISED = {
    "an integer": ("12345", "ArrowUp", "12346"),
    "one below a power of ten": ("99999", "ArrowUp", "100000"),
    "one of more digits than a float has": (str(2**60 + 1), "ArrowUp", str(2**60 + 2)),
    "zero": ("0", "ArrowDown", "-1"),
    "a truth": ("False", "ArrowUp", "True"),
    "a truth that is lowered": ("True", "ArrowDown", "False"),
}


@pytest.mark.parametrize("case", RAISED)
def test_arrows_go_through_integers_one_by_one(opened: Opened, case: str) -> None:
    before, key, after = RAISED[case]
    is_truth = case.startswith("a truth")
    x, n = tg.ones((9, 2), requires_grad=True), tg.tensor([True] * 9 if is_truth else [5, 7])
    with tg.keep_lines():
        y = x[n].sum()
    live = LiveTape(tg.tape(y, {"x": x, "n": n}))
    start = '"True ' if is_truth else '"5 '
    page = opened(live.page().replace(start, f'"{before} '))
    leaf(page, "n")
    page.locator("#panel input").first.focus()
    page.keyboard.press(key)
    assert page.locator("#panel input").first.input_value() == after


NONSENSE = {
    "a word": ("x", "abc", "'abc' is not a number"),
    "nothing": ("x", "", "'' is not a number"),
    "too large": ("x", "1e39", "too large for float32"),
    "a fraction": ("n", "0.5", "not a whole number"),
    "an index out of range": ("n", "7", "out of bounds"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_said_at_its_place_and_changes_nothing(opened: Opened, case: str) -> None:
    name, text, message = NONSENSE[case]
    page, frame, live = shown(opened, small())
    before = figures(frame)
    leaf(frame, name)
    box = frame.locator("#panel input").first
    box.fill(text)
    box.press("Enter")
    settled(frame)
    assert message in frame.inner_text("#wrong") and figures(frame) == before and not live.changes
    assert box.get_attribute("aria-invalid") == "true" and box.input_value() == text
    assert box.get_attribute("aria-describedby") == "wrong"
    box.press("Escape")
    assert frame.inner_text("#wrong") == "" and box.get_attribute("aria-invalid") is None
    assert box.input_value() == box.get_attribute("value")
    assert page.title() == "around"


def test_what_is_typed_next_is_kept_when_the_answer_comes(opened: Opened) -> None:
    page, frame, live = shown(opened, small())
    leaf(frame, "x")
    frame.locator("#panel input").nth(0).focus()
    page.keyboard.press("Control+A")
    # The answer to the first comes while the second is being typed.
    page.keyboard.type("4")
    page.keyboard.press("Tab")
    page.keyboard.type("77")
    settled(frame)
    assert frame.locator("#panel input").nth(1).input_value().endswith("77")
    page.keyboard.press("Enter")
    settled(frame)
    (values,) = live.changes.values()
    assert values[0].tolist() == [4.0, 77.0]


def test_not_finite_is_a_number(opened: Opened) -> None:
    _, frame, _ = shown(opened, small())
    leaf(frame, "x")
    frame.locator("#panel input").first.fill("nan")
    frame.locator("#panel input").first.press("Enter")
    settled(frame)
    assert (
        "not finite" in frame.inner_text("#tape")
        and frame.locator("#panel input").first.input_value() == "nan"
    )


def test_a_tape_without_notes_says_what_it_needs(opened: Opened) -> None:
    _, frame, _ = shown(opened, small(keep=False))
    leaf(frame, "x")
    assert frame.locator("#panel input").count() == 0
    assert "make it under tg.keep_lines(). Its numbers can be changed" in frame.inner_text("#about")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_fault_and_a_phone_shows_all(opened: Opened, width: int, dark: bool) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    with tg.keep_lines():
        made = programs.mlp()
    live = LiveTape(tg.tape(*made))
    page = opened(live.page(), width=width, dark=dark)  # without a frame, which axe would not look into
    leaf(page, "layers.0.kernel")
    for text in ("1.5", "abc"):
        page.locator("#panel input").nth(6).fill(text)
        page.locator("#panel input").nth(6).press("Enter")
        page.evaluate("said => postMessage(said, '*')", live.answer({"row": 0, "cell": 6, "text": text}))
        page.wait_for_function("!waiting")
        assert page.locator("#panel .moved").count() and bool(page.inner_text("#wrong")) == (text == "abc")
        found = axe.Axe().run(page).response["violations"]
        assert [
            (v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")
        ] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    out = page.evaluate(
        "[...document.querySelectorAll('header *, #list, #panel, #panel td, footer *')]"
        ".filter(e => e.offsetWidth && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"
    )
    assert width == 390 or out == []


def test_a_page_by_itself_has_no_numbers_to_change(opened: Opened) -> None:
    page = opened(small().html())
    page.locator("#tape .row.leaf").first.click()
    assert page.locator("#panel input, #reset").count() == 0 and "postMessage" not in small().html()


# --- what answers ---

PLACES = {
    "a number": (tg.tensor(3.0), 0, ()),
    "a vector": (tg.tensor([1.0, 2.0, 3.0]), 2, (2,)),
    "a matrix whose corner is cut": (tg.ones((9, 10)), 11, (1, 3)),
    "four axes": (tg.ones((2, 3, 2, 4)), 5, (0, 0, 1, 1)),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_cell_of_the_corner_is_an_element(case: str) -> None:
    data, cell, place = PLACES[case]
    x = tg.tensor(data, requires_grad=True)
    with tg.keep_lines():
        loss = (x * 2.0).sum()
    live = LiveTape(tg.tape(loss, {"x": x}))
    said = live.answer({"row": 0, "cell": cell, "text": "7.5"})
    wanted = x.numpy()
    wanted[place] = 7.5
    assert np.array_equal(live.changes[x], wanted) and said["rows"][0][0][0][6].split()[cell] == "7.5"
    assert said["marks"] == [1, 1, 1] and said["row"] == 0


READ = {
    "0.5": ("float32", 0.5), " -1e-3 ": ("float64", -1e-3), "−2": ("float16", -2.0), "Inf": ("float32", np.inf),
    "-inf": ("float32", -np.inf), "12": ("int32", 12), "-3": ("int8", -3), "true": ("bool", 1), "0": ("bool", 0),
    "1,5": ("float32", "not a number"), "70000": ("float16", "too large"), "3.0": ("int32", "whole number"),
    "-1": ("uint8", "out of the range of uint8: 0 to 255"), "2": ("bool", "out of the range"),
    "maybe": ("bool", "True or False"),
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_what_is_typed_is_read(text: str) -> None:
    from tapegrad.autograd.pages.live import read

    dtype, wanted = READ[text]
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=wanted):
            read(text, np.dtype(dtype))
    else:
        assert read(text, np.dtype(dtype)) == wanted


def test_what_cannot_be_answered_is_said() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with tg.keep_lines():
        loss = (x * 2.0 if x.sum() > 0 else x).sum()
    live = LiveTape(tg.tape(loss, {"x": x}))
    said = live.answer({"row": 0, "cell": 0, "text": "-1"})
    assert (
        "may go another way" in said["wrong"] and not said["wrong"].startswith("what_if") and not live.changes
    )
    assert live.answer({"reset": True})["marks"] == [0, 0, 0]


def test_an_integer_that_was_converted_changes_in_all_places() -> None:
    x, k = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([1, 0])
    with tg.keep_lines():
        loss = (x * k).sum() + (x[k] ** 2).sum()
    live = LiveTape(tg.tape(loss, {"x": x, "k": k}))
    rows = {row.name: i for i, row in enumerate(live.first.rows)}
    for name in ("k", "k_float32"):
        said = live.answer({"row": rows[name], "cell": 0, "text": "0"})
        assert said["rows"][-1][0][0][6] == "2", said
        live.answer({"reset": True})
