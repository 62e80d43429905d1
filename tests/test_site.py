"""The sources of the documentation site: every public name, every page, nothing from elsewhere."""

import ast
import re
from pathlib import Path

import pytest

import assemble
import coming
import docstring_markup
import gallery
import offline
import reference
from docstrings import public
from tapegrad.autograd import foreign

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "site"
TUTORIALS = sorted(SITE.glob("tutorials/*.md"))


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return assemble.sources()


@pytest.fixture(scope="module")
def entries() -> list[str]:
    """The full names that the reference describes, methods included."""
    found = []
    for text in reference.pages().values():
        for name, members in re.findall(
            r"^\.\. (?:auto|py:)\w+:: ([\w.]+).*(?:\n   :members: (.+))?", text, re.M
        ):
            found += [name, *(f"{name}.{member}" for member in filter(None, members.split(", ")))]
    return found


def test_every_public_name_is_in_the_reference_once(entries: list[str]) -> None:
    assert sorted(set(reference.names()) - set(entries)) == []
    assert sorted({name for name in entries if entries.count(name) > 1}) == []


def test_what_the_docstrings_are_held_to_is_in_the_reference(entries: list[str]) -> None:
    """That list is made in another way. A method that a base brings may stand at another class of ours."""
    full = {name.removeprefix("tapegrad.") for name in entries}
    missing = []
    for name in public():
        short = name.removeprefix("tg.")
        if short not in full and not any(
            f".{e}".endswith("." + ".".join(short.split(".")[-2:])) for e in full
        ):
            missing.append(name)
    assert missing == []


def test_every_page_is_in_a_table_of_contents(sources: dict[str, str]) -> None:
    listed = {"index"}
    for path, text in sources.items():
        folder = Path(path).parent
        trees = re.findall(r"```\{toctree\}\n(.*?)```|^\.\. toctree::\n((?:   .*\n|\n)+)", text, re.S | re.M)
        for line in (line.strip() for tree in trees for part in tree for line in part.splitlines()):
            if line and not line.startswith(":"):
                listed.add((folder / line).as_posix())
    assert {path.rsplit(".", 1)[0] for path in sources} == listed - {"gallery/index"}


def test_links_of_the_tutorials_lead_to_pages(sources: dict[str, str]) -> None:
    extra = {path.relative_to(SITE / "extra").as_posix() for path in SITE.rglob("extra/**/*.html")}
    for path, text in sources.items():
        for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text) if path.endswith(".md") else ():
            full = (Path("/") / Path(path).parent / target).resolve().as_posix().lstrip("/")
            assert full in sources or full in extra or full == "tape.svg", f"{path} links to {target}"


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_is_a_notebook_whose_cells_are_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n")
    cells = re.findall(r"```\{code-cell\} python\n(.*?)```", text, re.S)
    assert cells and text.count("```{code-cell}") == len(cells)
    for cell in cells:
        ast.parse(cell)


def test_every_foreign_name_is_on_a_page_for_those_who_come_from_there() -> None:
    text = "".join(coming.pages().values())
    absent = {name for room in coming.ROOMS for names, _, _ in foreign.rows(room) for name in names}
    absent = {name for name in absent if f"`{name}`" not in text}
    assert {name.partition(".")[0] for name in absent} <= {"scipy", "sklearn"}


def test_every_example_is_in_the_gallery_as_it_stands() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(gallery.EXAMPLES)
    for name in gallery.EXAMPLES:
        shown, code = gallery.source(name), (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        ours = ast.parse(code).body[1:]
        assert [ast.dump(line) for line in ast.parse(shown).body[1:][: len(ours)]] == [
            ast.dump(line) for line in ours
        ]
        assert not gallery.EXAMPLES[name].runs or "tg.tape(" in shown


LOADED = {
    '<script src="https://cdn.example/x.js"></script>': 1,
    '<link rel="stylesheet" href="//cdn.example/x.css">': 1,
    '<link rel="canonical" href="https://example.org/">': 0,
    '<img src="https://example.org/x.png"><img src="x.png">': 1,
    "<style>@import 'https://fonts.example/f.css'; a { background: url(//x.example/y) }</style>": 2,
    '<p style="background: url(https://x.example/y)">': 1,
    '<iframe srcdoc="&lt;script src=&quot;https://x.example/y&quot;&gt;&lt;/script&gt;"></iframe>': 1,
    '<a href="https://example.org/">a link</a>': 0,
}


@pytest.mark.parametrize(("page", "count"), LOADED.items(), ids=LOADED)
def test_what_a_page_would_load_from_elsewhere_is_found(page: str, count: int) -> None:
    assert len(offline.loads(page)) == count


def test_nothing_of_the_site_is_loaded_from_elsewhere(sources: dict[str, str]) -> None:
    assert offline.requests_of(SITE) == []
    assert {path: found for path, text in sources.items() if (found := offline.loads(text))} == {}
    for path in SITE.rglob("*.js"):
        assert not re.search(r"""["'`](https?:)?//\w""", path.read_text(encoding="utf-8")), path.name


MARKUP = {
    "code and stars": ("`a * b` is *args, x_ and t__", "``a * b`` is \\*args, x\\_ and t\\_\\_"),
    "code over two lines": ("as `total +=\nloss` says", "as ``total += loss`` says"),
    "source": ("As in\n\n    a = 1\n\n    b = 2\n\nabove", "As in\n\n::\n\n    a = 1\n\n    b = 2\n\nabove"),
    "two columns": ("name     what\n         it is", "``name``\n    what\n    it is"),
    "arguments": ("The sum.\n\nArgs:\n    *x: An `x`, or |x|.", "The sum.\n\nArgs:\n    *x: An ``x``, or \\|x\\|."),
    "a list": ("Either\n- one\n- two", "Either\n\n- one\n- two"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MARKUP.values(), ids=MARKUP)
def test_docstrings_become_restructured_text(text: str, expected: str) -> None:
    made = "\n".join(docstring_markup.markup(text.splitlines()))
    assert re.sub(r"\n{3,}", "\n\n", made).strip() == expected


def test_links_out_of_the_site_become_text() -> None:
    text = "[a](../compiler/README.md) [b](jit.md) [c](../nn/dense.py) [d](https://example.org/)"
    assert assemble.linked(text, "docs/architecture.md") == (
        "[a](compiler.md) [b](jit.md) c [d](https://example.org/)"
    )
