"""A real browser for the tests of the pages: the machine's Chromium, driven by playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser. Skips with the reason where there is none. TAPEGRAD_CHROMIUM names another one.

    It goes before tests of other modules run: while it is there, playwright has an event loop running in this thread,
    and asyncio.run refuses to begin another.
    """
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    found = os.environ.get("TAPEGRAD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: apt install chromium, or name one in TAPEGRAD_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """opened(html, width=…, dark=…): the page in the browser. At the end it must have logged nothing, and asked for
    nothing but itself."""
    complaints: list[str] = []
    contexts = []

    def request(asked: Any) -> None:
        if not asked.url.startswith((tmp_path.as_uri(), "data:", "about:")):
            complaints.append(f"it asks for {asked.url}")

    def show(html: str, width: int = 1280, height: int = 800, dark: bool = False) -> Any:
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        # Its own Content-Security-Policy forbids what the tests put in; that it holds is a test of its own.
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            bypass_csp=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", request)
        page.goto(path.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert not complaints
