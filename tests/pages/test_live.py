"""The page that runs tapegrad in the browser. Its Python is Pyodide, which TAPEGRAD_PYODIDE names: a folder with
pyodide.js, its lock file and NumPy's wheel. Without one, the page says so, and the rest is skipped."""

import functools
import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / "docs" / "site" / "extra" / "live"
LOOP = """import tapegrad as tg

tg.set_default_dtype("float64")  # in float32 rounding grows over the steps, differently on each machine
tg.manual_seed(0)
x = tg.tensor([[i / 50 - 1.0] for i in range(100)])
y = tg.sin(3 * x)
model = tg.nn.Sequential(tg.nn.Dense(32, activation="tanh", in_features=1), tg.nn.Dense(1))
optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
for step in range(500):
    loss = tg.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
"""


def runner() -> Any:
    spec = importlib.util.spec_from_file_location("live_runner", LIVE / "runner.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def wheel(path: Path) -> None:
    """The package as a wheel has it; pip builds the one of the site."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder, _, names in os.walk(ROOT / "src" / "tapegrad", followlinks=True):
            for name in names:
                if "__pycache__" not in folder:
                    file = Path(folder, name)
                    archive.write(file, Path("tapegrad", file.relative_to(ROOT / "src" / "tapegrad")))
        archive.writestr(
            "tapegrad-0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tapegrad\nVersion: 0\n"
        )
        archive.writestr("tapegrad-0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def served(tmp_path: Path, chromium: Any) -> Iterator[Callable[[], Any]]:
    """served(): the live page, opened from a server of its own. It must ask for nothing from elsewhere."""
    shutil.copytree(LIVE, tmp_path / "live")
    wheel(tmp_path / "live" / "tapegrad-0-py3-none-any.whl")
    given = {"pyodide": "pyodide/", "wheel": "tapegrad-0-py3-none-any.whl"}
    (tmp_path / "live" / "settings.json").write_text(json.dumps(given))
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    elsewhere: list[str] = []
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.on("request", lambda asked: elsewhere.append(asked.url))

    def show() -> Any:
        page.goto(f"{address}live/index.html")
        return page

    yield show
    page.close()
    server.shutdown()
    server.server_close()
    assert [url for url in elsewhere if not url.startswith((address, "data:", "about:", "blob:"))] == []


SHOWN = {
    "a value": ("1 + 1", [("text", "2\n")]),
    "nothing": ("x = 1", []),
    "an empty program": ("", []),
    "what shows itself as HTML": ("import tapegrad as tg\ntg.ones(1)", "html"),
    "an error, with its line": ("x = 1\nx / 0", "error"),
    "an error of syntax": ("x = ", "error"),
    "an end": ("raise SystemExit", []),
}


@pytest.mark.parametrize(("code", "expected"), SHOWN.values(), ids=SHOWN)
def test_what_a_program_shows(code: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    shown = runner().run(code)
    if isinstance(expected, list):
        assert shown == expected
    else:
        ((kind, text),) = shown
        assert kind == expected
        assert kind != "error" or (
            f'program.py", line {code.count(chr(10)) + 1}' in text and "runner.py" not in text
        )


def test_pictures_are_shown_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    module = runner()
    ((kind, text),) = module.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert kind == "image" and text.startswith("data:image/png;base64,") and module.figures() == []


def test_the_page_says_that_there_is_no_pyodide(served: Callable[[], Any]) -> None:
    page = served()
    page.wait_for_function(
        "document.getElementById('status').textContent.startsWith('there is no Pyodide at')"
    )
    assert page.is_disabled("#run") and page.is_visible("#pyodide")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_of_the_live_page(served: Callable[[], Any], scheme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    page = served()
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("document.getElementById('settings').open")
    violations = axe.Axe().run(page).response["violations"]
    assert [
        (v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")
    ] == []


@pytest.fixture
def pyodide(tmp_path: Path, served: Callable[[], Any]) -> None:
    """The folder that TAPEGRAD_PYODIDE names, whose wheels are those of its lock file."""
    named = os.environ.get("TAPEGRAD_PYODIDE")
    if not named:
        pytest.skip("no Pyodide: TAPEGRAD_PYODIDE=FOLDER names one, with pyodide.js and the wheel of NumPy")
    folder = Path(named).resolve()
    lock = json.loads((folder / "pyodide-lock.json").read_text())["packages"]["numpy"]
    assert hashlib.sha256((folder / lock["file_name"]).read_bytes()).hexdigest() == lock["sha256"]
    (tmp_path / "live" / "pyodide").symlink_to(folder)


@pytest.mark.slow
def test_the_live_page_trains_as_the_desktop_does(
    served: Callable[[], Any], pyodide: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tg.get_default_dtype()
    try:
        exec(compile(LOOP, "program.py", "exec"), {})
    finally:
        tg.set_default_dtype(before)
    page = served()
    page.wait_for_function("document.getElementById('status').textContent === 'ready'", timeout=180_000)
    page.fill("#code", LOOP)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "document.getElementById('status').textContent.startsWith('done')", timeout=120_000
    )
    assert float(page.inner_text("#output")) == pytest.approx(float(capsys.readouterr().out), abs=1e-6)
    page.fill(
        "#code", "import tapegrad as tg\nx = tg.ones(2, requires_grad=True)\ntg.tape(x.sum(), {'x': x})"
    )
    page.click("#run")
    page.frame_locator("#output iframe").get_by_text("sum(x)").first.wait_for()
    page.fill("#code", "x = 1\nx / 0")
    page.click("#run")
    page.wait_for_function("document.getElementById('output').textContent.includes('ZeroDivisionError')")
    assert "runner.py" not in page.inner_text("#output")


TAPE = """import tapegrad as tg
x = tg.tensor([0.5, 2.0], requires_grad=True)
with tg.keep_lines():
    y = x * tg.sin(x)
    loss = tg.where(y > 1.0, y**2, y).sum()
tg.tape(loss, {"x": x})
"""


def test_the_runner_answers_for_the_tape_that_it_showed() -> None:
    module = runner()
    assert "run the program again" in json.loads(module.change('{"row": 0, "cell": 0, "text": "1"}'))["wrong"]
    ((kind, text),) = module.run(TAPE)
    assert kind == "html" and "srcdoc" in text and "&quot;live&quot;:true" in text
    said = json.loads(module.change('{"row": 0, "cell": 0, "text": "3.5"}'))
    assert said["rows"][0][0][0][6] == "3.5 2" and any(said["marks"])
    module.run("1")
    assert "run the program again" in json.loads(module.change('{"reset": true}'))["wrong"]


@pytest.mark.slow
def test_a_tape_in_the_live_page_shows_the_figures_of_other_numbers(
    served: Callable[[], Any], pyodide: None
) -> None:
    from tapegrad.autograd.pages.record import record_of

    exec(
        compile(TAPE.replace('tg.tape(loss, {"x": x})', "tape = tg.tape(loss, {'x': x})"), "p.py", "exec"),
        scope := {},
    )
    rows = record_of(scope["tape"].what_if({"x": [0.5, 1.0]}), "").rows
    page = served()
    page.wait_for_function("document.getElementById('status').textContent === 'ready'", timeout=180_000)
    page.fill("#code", TAPE)
    page.keyboard.press("Control+Enter")
    frame = page.frame_locator("#output iframe")
    frame.locator("#tape").focus(timeout=60_000)
    page.keyboard.press("Home")
    frame.locator("#panel input").nth(1).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("1.0")
    page.keyboard.press("Enter")
    frame.locator("#effect", has_text="rows changed").wait_for()
    assert frame.locator("#tape").evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    shown = frame.locator("#tape").evaluate(
        "() => R.map(r => [r[VALUES], r[COTANGENTS]].map(v => v[0] && v[0][6]))"
    )
    for row, (value, cotangent) in zip(rows, shown, strict=True):
        for numbers, text in ((row.values[0], value), (row.cotangents[0], cotangent)):
            wanted = [x for line in numbers.corner for x in line] if numbers else None
            found = [float(x) for x in text.split()] if text else None
            assert found == (pytest.approx(wanted, rel=1e-3, abs=1e-6) if wanted else None), row.name
    frame.locator("#panel input").nth(0).fill("half")
    page.keyboard.press("Enter")
    frame.locator("#wrong", has_text="'half' is not a number").wait_for()
    frame.locator("#reset").click()
    frame.locator("#say", has_text="These are the first numbers").wait_for(state="attached")
    page.click("#settings summary")
    page.click("#address button")  # Python starts anew, without the tape
    frame.locator("#panel input").nth(0).fill("4")
    page.keyboard.press("Enter")
    frame.locator("#wrong", has_text="run the program again").wait_for()
