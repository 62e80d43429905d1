"""What the README and docs say is what happens."""

import ast
import builtins
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from docstrings import faults, public

ROOT = Path(__file__).resolve().parent.parent
README, INSTALL, READING, TOUR = (
    (ROOT / page).read_text() for page in ("README.md", "docs/install.md", "docs/reading.md", "docs/tour.md")
)


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("page", [README, TOUR], ids=["README", "tour"])
def test_every_snippet_runs_in_order(
    page: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if one file held them all, one empty line apart: so the program of a step names its lines."""
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(snippets) >= 3
    path = tmp_path / "train.py"
    path.write_text("\n".join(snippets))
    names: dict[str, object] = {}
    above = 0
    for snippet in snippets:
        exec(compile("\n" * above + snippet, path, "exec"), names)
        above += snippet.count("\n") + 1
    printed = re.sub(r" +\n", "\n", capsys.readouterr().out)
    assert float(re.findall(r"loss after 500 steps: ([\d.]+)", printed)[0]) < 0.01
    *programs, tape = re.findall(r"```text\n(.*?)```", page, re.S)
    assert tape.strip() in printed
    for program in programs:
        assert textwrap.indent(program, "    ") in printed and len(program.splitlines()) > 15
    assert len(programs) == (page is TOUR)
    if page is README:
        html = (tmp_path / "tape.html").read_text()
        assert "train.py:" in html and "mse_loss(model(x), y)" in html


def test_the_promise_of_jit_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "jit.md").read_text()
    exec(compile(re.findall(r"```python\n(.*?)```", text, re.S)[0], "jit.md", "exec"), {})
    assert capsys.readouterr().out == re.findall(r"```text\n(.*?)```", text, re.S)[0]


BLOCKS = re.compile(r"```(?:python|{code-cell} python)\n(.*?)```", re.S)
WITH_PROGRAMS = [
    path
    for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "site").rglob("*.md"))
    # The first of these shows what the emitters write, and the second has a test above.
    if BLOCKS.search(path.read_text()) and path.name not in ("compiled_step.md", "tour.md")
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
    for page, most in ((TOUR, 15), (README, 20)):
        loop = re.findall(r"```python\n(.*?)```", page, re.S)[0]
        assert len([line for line in loop.splitlines() if line.strip()]) <= most


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "docs/install.md", "docs/reading.md", "docs/tour.md", "CONTRIBUTING.md"),
        *("docs/architecture.md", "compiler/README.md"),
    ],
)
def test_paths_and_links_exist(page: str) -> None:
    """Links are relative to the page; paths in the text, to the repository or, in the compiler's page, to its room."""
    text, at = (ROOT / page).read_text(), (ROOT / page).parent
    for name in re.findall(r"\]\(([\w./]+)\)", text):
        assert (at / name).exists(), f"{page} links to {name}"
    found = re.findall(r"`((?:[a-z_]+/)+[a-z_.]*)`", text)
    assert len(found) >= 10 or page in ("README.md", "docs/install.md", "docs/tour.md")
    made = ("runs/", "docs/_build/")  # by the commands
    for name in found:
        assert name.startswith(made) or (ROOT / name).exists() or (at / name).exists(), f"{page}: {name}"


def test_the_files_to_read_first_have_what_the_page_names() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| ([^|]+) \| ([^|]+) \|$", READING, re.M)
    assert len(rows) == 5
    for path, read, skip in rows:
        text = (ROOT / path).read_text()
        names = re.findall(r"`(\w+)`", read + skip)
        assert names
        for name in names:
            assert re.search(rf"\b{name}\b", text), f"{path} has no {name}"


def test_the_map_of_autograd_names_every_file() -> None:
    """Each once; those of two folders stand in the docstrings of these."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = text.partition("## `autograd/` by subject")[2].partition("\nThree walks")[0]
    named = re.findall(r"`(?:autograd/)?(\w+\.py|\w+/)`", re.sub(r"`(derivatives|__init__)\.py`", "", rows))
    files = [path for path in (ROOT / "autograd").iterdir() if not path.name.startswith("__")]
    there = [path.name + "/" * path.is_dir() for path in files]
    assert sorted(named) == sorted(name for name in there if name.endswith((".py", "/")))
    for folder in ("transforms", "tapes", "tapes/what_if"):
        described = (ROOT / "autograd" / folder / "__init__.py").read_text()
        for path in (ROOT / "autograd" / folder).glob("[!_]*.py"):
            assert re.search(rf"\b{path.stem}\b", described), path


def test_the_changelog_is_sorted_by_kind() -> None:
    """In the order of Keep a Changelog, each kind once for a version, and each line of it a line of a list."""
    for version in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        kinds = re.findall(r"^### (.+)$", version, re.M)
        order = [
            kind
            for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
            if kind in kinds
        ]
        assert kinds == order
        text = version.partition("\n### ")[2].partition("\n")[2]
        assert not re.findall(r"^(?!- |  \S|#{3,4} |$).*$", text, re.M)


STUBS = module(ROOT / "docs" / "make_stubs.py").STUBS


@pytest.mark.parametrize("path", STUBS)
def test_stubs_are_up_to_date(path: str) -> None:
    assert STUBS[path]() == (ROOT / path).read_text(), "run: python docs/make_stubs.py"


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PRIMITIVE = inspect.cleandoc(re.findall(r" {3}```python\n(.*?)```", CONTRIBUTING, re.S)[0])
NAME = PRIMITIVE.partition(" = ")[0]


def test_the_primitive_of_contributing_is_right() -> None:
    """At 0 and at equal arguments, too, to second order, without a warning, and compiled."""
    import tapegrad as tg
    from tapegrad.autograd.ops import scale
    from tapegrad.autograd.primitive import REGISTRY, Primitive

    names = {"Primitive": Primitive, "scale": scale}
    try:
        exec(compile(PRIMITIVE, "CONTRIBUTING.md", "exec"), names)
        made: Any = names[NAME]
        a = tg.tensor([-2.0, 0.0, 0.5, 3.0, 0.0], dtype="float64")
        b = tg.tensor([1.0, 0.0, 0.5, -1.0, 2.0], dtype="float64")
        assert tg.max(tg.abs(made(a, b) - (a - b) ** 2)).item() == 0
        tg.check_grads(made, (a, b), order=2)
        tg.check_grads(made, (a, b[:1]), order=2)
        step = tg.jit(tg.grad(lambda a: made(a, b).sum()), emitter="numpy")
        for _ in range(3):
            assert np.array_equal(step(a).numpy(), 2 * (a - b).numpy())
        assert step.stats()["compiled"] == 1
    finally:
        REGISTRY.pop(NAME, None)


def test_the_recipe_for_a_primitive_gives_a_function_and_a_method(tmp_path: Path) -> None:
    """Its first two steps, followed in a copy."""
    face = tmp_path / "src" / "tapegrad"
    shutil.copytree(ROOT / "autograd", tmp_path / "autograd", ignore=shutil.ignore_patterns("__pycache__"))
    face.mkdir(parents=True)
    for path in (ROOT / "src" / "tapegrad").iterdir():
        if path.is_symlink():
            (face / path.name).symlink_to(
                tmp_path / "autograd" if path.name == "autograd" else path.resolve()
            )
        elif path.is_file():
            shutil.copy(path, face)
    recipe = CONTRIBUTING.partition("## Add a primitive")[2].partition("\n3. ")[0]
    with (tmp_path / "autograd" / "ops" / "elementwise.py").open("a") as file:
        file.write(f"\n\n{PRIMITIVE}\n")
    for path, before in (
        ("autograd/ops/__init__.py", "PUBLIC = (\n"),
        ("src/tapegrad/__init__.py", "from tapegrad.autograd.ops import (\n"),
    ):
        if f"`{path}`" in recipe:
            text = (tmp_path / path).read_text()
            name = f'"{NAME}"' if "PUBLIC" in before else NAME
            assert text.count(before) == 1
            (tmp_path / path).write_text(text.replace(before, f"{before}    {name},\n"))
    program = (
        f"import tapegrad as tg; t = tg.tensor([3.0]); assert '{NAME}' in dir(tg) and '{NAME}' in tg.__all__; "
        f"print(tg.{NAME}(t, 1.0).item(), t.{NAME}(1.0).item())"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    run = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert run.stdout == "4.0 4.0\n", run.stderr


def test_the_extras_of_the_page_are_those_of_pyproject() -> None:
    from tapegrad.backends.install import EXTRAS

    rows = re.findall(
        r"^\| (`[^|]+`) \|[^|]+\|[^|]+\|$", INSTALL.partition("| extra |")[2].partition("\n\n")[0], re.M
    )
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == EXTRAS.keys()


ENGINE = ("autograd/tensor.py", "autograd/primitive.py", "autograd/backward.py")


def imported(paths: tuple[str, ...]) -> set[str]:
    """These files of autograd and all of it that they import at their top, and what that imports, but for the ops."""
    found: set[str] = set()
    waiting = list(paths)
    while waiting:
        if (path := waiting.pop()) in found:
            continue
        found.add(path)
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tapegrad.autograd"):
                room = (node.module or "").removeprefix("tapegrad.").replace(".", "/")
                names = (f"{room}.py", *(f"{room}/{alias.name}.py" for alias in node.names))
                waiting += [name for name in names if (ROOT / name).exists() and "/ops/" not in name]
    return found


# What the page says of how much there is to read, in lines of Python.
SIZES = {
    r"has ([\d,]+) lines, and": ENGINE,
    r"import \d+ files and ([\d,]+) lines": tuple(imported(ENGINE)),
    r"in `autograd/ops/` are ([\d,]+) more": ("autograd/ops/*.py",),
    r"The compiler has ([\d,]+) lines": ("compiler/**/*.py",),
}


@pytest.mark.parametrize("said", SIZES)
def test_there_is_as_much_to_read_as_the_page_says(said: str) -> None:
    """Within a quarter: the number is to help a reader, not to be kept up to date."""
    paths = [path for glob in SIZES[said] for path in ROOT.glob(glob)]
    lines = sum(len(path.read_text().splitlines()) for path in paths)
    (number,) = re.findall(said, READING.replace("\n", " "))
    assert 0.75 < lines / int(number.replace(",", "")) < 1.25, lines
    (files,) = re.findall(r"import (\d+) files", READING.replace("\n", " "))
    assert "import" not in said or abs(len(paths) - int(files)) < 4


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
