"""One file of HTML from plain data and the files of this room: no library, and no request to anywhere."""

import json
import re
from collections.abc import Callable
from functools import cache
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from tapegrad.autograd.pages.record import record_of
from tapegrad.autograd.replacing import replacing

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape

SPACES = re.compile(r" *([=*<>?:,;{}()&|!\[\]]|[-+](?! *[-+])) *")
# Of names of files that are not UTF-8: a page is, and has none.
SURROGATES = re.compile("[\ud800-\udfff]")
FILES = Path(__file__).parent / "files"
TEXTS = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)""")
# What the page may load: nothing but what stands in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def tape_page(tape: "Tape", title: str, step: Callable[..., object] | None) -> str:
    """The page of a tape, with the lines of a compiled step if one is given."""
    name = title or title_of(tape)
    record = record_of(tape, name)
    data = record.data()
    if step is not None:
        data["program"] = lines_of(step, tape, {row.name: i for i, row in enumerate(record.rows)})
    return assembled("tape", name, data)


def title_of(tape: "Tape") -> str:
    return f"{tape.name(tape.output)} = {tape.output.node.primitive.name}"  # type: ignore[union-attr]


def lines_of(step: Callable[..., object], tape: "Tape", rows: dict[str, int]) -> dict[str, object]:
    """What a compiled step says of its lines, with numbers of rows in place of the names of calls."""
    if not hasattr(step, "lines_of_tape"):
        raise TypeError(f"html: step: expected a function under tg.jit, got {type(step).__name__}")
    program = step.lines_of_tape(tape)
    program["lines"] = [
        [line, *([rows[name], back] for name, back in calls)] for line, *calls in program["lines"]
    ]
    return program


def assembled(kind: str, title: str, data: dict[str, object]) -> str:
    """A page of a kind, "tape" or "program": its files, and the data as JSON."""
    code, live = "program" in data or kind == "program", "live" in data
    style = part("page.css") + (part("code.css") if code else "") + (part("live.css") if live else "")
    emitted = (["lines.js"] if code else []) + (["emitted.js"] if code and kind == "tape" else [])
    scripts = ["common.js", *emitted, f"{kind}.js"]
    scripts += ["live.js"] if live else []
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no </script> in it
    return SURROGATES.sub(
        "\N{REPLACEMENT CHARACTER}",
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">'
        f"<style>{style}</style></head><body>{part(f'{kind}.html')}"
        f'<script type="application/json" id="data">{text}</script>'
        f"<script>{chr(10).join(map(part, scripts))}</script></body></html>\n",
    )


@cache
def part(name: str) -> str:
    """A file without what only its readers need: indentation, comments of whole lines, and spaces of JavaScript."""
    lines = (FILES / name).read_text(encoding="utf-8").split("\n")
    kept = [line for raw in lines if (line := raw.strip()) and not line.startswith("//")]
    if name.endswith(".js"):
        kept = [tight(line) for line in kept]
    return "\n".join(kept)


def tight(line: str) -> str:
    """A line of JavaScript without spaces, but for those in its texts. One with a template in a template, or with a
    regular expression, stays as it is."""
    code, texts = TEXTS.split(line)[::2], TEXTS.findall(line)
    if line.count("`") > 2 or set("".join(code)) & set("`/"):
        return line
    return "".join(SPACES.sub(r"\1", part) + text for part, text in zip(code, [*texts, ""], strict=True))


def written(page: str, path: str | PathLike[str] | None) -> str:
    """Write a page to a file, whole or not at all; returns the page."""
    if path is not None:
        if not isinstance(path, (str, PathLike)):
            raise TypeError(f"html: path: expected a text or a Path, got {path!r}")
        with replacing(Path(path), "html") as temporary:
            Path(temporary).write_text(page, encoding="utf-8")
    return page


def in_a_frame(page: str) -> str:
    """A page inside of another one, as a notebook shows it."""
    return (
        f'<iframe title="tape" sandbox="allow-scripts" srcdoc="{escape(page)}" '
        'style="width:100%;height:600px;border:1px solid #8884;border-radius:6px"></iframe>'
    )
