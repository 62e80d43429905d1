"""What the README and docs say is what happens."""

import builtins
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from docstrings import faults, public

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_every_snippet_runs_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(snippets) >= 5
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert float(re.findall(r"loss after 500 steps: ([\d.]+)", printed)[0]) < 0.01
    shown = re.findall(r"```text\n(.*?)```", README, re.S)[0]
    assert shown.strip() in re.sub(r" +\n", "\n", printed)


def test_the_promise_of_jit_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "jit.md").read_text()
    exec(compile(re.findall(r"```python\n(.*?)```", text, re.S)[0], "jit.md", "exec"), {})
    assert capsys.readouterr().out == re.findall(r"```text\n(.*?)```", text, re.S)[0]


BLOCKS = re.compile(r"```(?:python|{code-cell} python)\n(.*?)```", re.S)
WITH_PROGRAMS = [
    path
    for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "site").rglob("*.md"))
    # That page shows what the emitters write.
    if BLOCKS.search(path.read_text()) and path.name != "compiled_step.md"
]


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_programs_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    """As a reader types them one after another. In a process of their own: they set defaults and add primitives."""
    blocks = BLOCKS.findall(page.read_text())
    for i, block in enumerate(blocks):
        (tmp_path / f"block_{i}.py").write_text(block)
    run_all = f"for i in range({len(blocks)}): exec(compile(open(f'block_{{i}}.py').read(), f'block_{{i}}.py', 'exec'))"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", run_all]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_pages_of_the_docs_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "pages.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("pages.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)))
    exec(compile(Path("pages.py").read_text(), "pages.py", "exec"), {"__name__": "pages"})
    assert {path.name for path in tmp_path.glob("*.html")} == {
        "tape.html",
        "with_program.html",
        "program.html",
        "changed.html",
    }


ERRORS = re.findall(r"^\| `(?:tg\.)?(\w+)` \|.* `(.+)` \|$", (ROOT / "docs" / "errors.md").read_text(), re.M)


@pytest.mark.parametrize(("kind", "example"), ERRORS)
def test_each_exception_of_the_docs_is_raised(
    kind: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tapegrad as tg
    from tapegrad import models, nn

    monkeypatch.chdir(ROOT)
    expected = getattr(tg, kind, None) or getattr(builtins, kind)
    with pytest.raises(expected) as raised:
        eval(example, {"tg": tg, "nn": nn, "np": np, "models": models, "t": tg.tensor([1.0, 2.0])})
    assert raised.type is expected
    assert expected.__module__ == "builtins" or f"`{expected.__base__.__name__}`" in dict(OWN)[f"tg.{kind}"]


OWN = re.findall(r"^\| `(tg\.\w+)` \| (`\w+`) \|", (ROOT / "docs" / "errors.md").read_text(), re.M)


def test_the_loop_has_at_most_15_lines() -> None:
    loop = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    assert len([line for line in loop.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "compiler/README.md"]
)
def test_paths_and_links_exist(page: str) -> None:
    """Links are relative to the page; paths in the text, to the repository or, in the compiler's page, to its room."""
    text, at = (ROOT / page).read_text(), (ROOT / page).parent
    for name in re.findall(r"\]\(([\w./]+)\)", text):
        assert (at / name).exists(), f"{page} links to {name}"
    found = re.findall(r"`((?:[a-z_]+/)+[a-z_.]*)`", text)
    assert len(found) >= 10
    made = ("runs/", "docs/_build/")  # by the commands
    for name in found:
        assert name.startswith(made) or (ROOT / name).exists() or (at / name).exists(), f"{page}: {name}"


STUBS = module(ROOT / "docs" / "make_stubs.py").STUBS


@pytest.mark.parametrize("path", STUBS)
def test_stubs_are_up_to_date(path: str) -> None:
    assert STUBS[path]() == (ROOT / path).read_text(), "run: python docs/make_stubs.py"


def test_the_primitive_of_contributing_is_right() -> None:
    import tapegrad as tg
    from tapegrad.autograd.ops import cos, scale, where_p
    from tapegrad.autograd.primitive import REGISTRY, Primitive

    snippet = re.findall(r" {3}```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)[0]
    names = {"Primitive": Primitive, "cos": cos, "scale": scale, "where_p": where_p}
    try:
        exec(compile(inspect.cleandoc(snippet), "CONTRIBUTING.md", "exec"), names)
    finally:
        REGISTRY.pop("sinc", None)
    sinc = names["sinc"]
    x = tg.tensor([-2.0, 0.5, 3.0], dtype="float64")
    assert tg.max(tg.abs(sinc(x) - tg.sin(x) / x)).item() == 0
    tg.check_grads(sinc, (x,), order=2)


def test_speeds_come_with_their_command_and_their_tables() -> None:
    fast = README.partition("## How fast")[2]
    assert "`make bench`" in fast and len(re.findall(r"\| 0\.\d\d \(", fast)) >= 4
    for ratio in re.findall(r"\| (0\.\d\d) \(", fast):
        tables = "".join(p.read_text() for p in (ROOT / "benchmarks" / "results").glob("*.md"))
        assert f"**{ratio}" in tables or any(
            f"{float(r):.2f}" == ratio for r in re.findall(r"\*\*([\d.]+)\*\*", tables)
        )


@pytest.mark.parametrize(("script", "function", "page"), [
    ("make_primitives.py", "page", "primitives.md"),
    ("make_conventions.py", "page", "conventions.md"),
    ("make_coming_from.py", "page", "coming_from.md"),
    ("make_picture.py", "picture", "tape.svg"),
    ("make_compiled_step.py", "page", "compiled_step.md"),
    ("make_lists.py", "page", "lists.md"),
    ("make_keras.py", "page", "keras.md"),
    ("make_estimators.py", "page", "estimators.md"),
])  # fmt: skip
def test_made_pages_are_up_to_date(script: str, function: str, page: str) -> None:
    made = getattr(module(ROOT / "docs" / script), function)()
    assert made == (ROOT / "docs" / page).read_text(), f"run: python docs/{script}"


DESCRIBED = public()


@pytest.mark.parametrize("name", DESCRIBED)
def test_every_parameter_is_described_and_no_other(name: str) -> None:
    """The docstring has the form that CONTRIBUTING.md describes, with each parameter of the signature."""
    assert faults(DESCRIBED[name]) == []


def test_a_docstring_is_compared_with_the_signature() -> None:
    def f(x: float, axis: int = 0, *rest: float) -> None:
        """The sum.

        Args:
            x: The array,
                of any shape.
            axes: An axis.
        """

    assert faults(f) == ["axis is not described", "rest is not described", "axes is described and not taken"]
    f.__doc__ = "The sum.\n\nArgs:\n    x, axis: The arrays.\n    *rest: More.\n\nRaises:\n    ValueError"
    assert faults(f) == ["expected `name: text`, got 'ValueError'"]
    f.__doc__ = (
        "The sum.\n\nArgs:\n    x, axis: The arrays.\n    *rest: More.\n\nRaises:\n    ValueError: None."
    )
    assert faults(f) == []
    f.__doc__ = None
    assert faults(f) == ["it has no docstring"]
