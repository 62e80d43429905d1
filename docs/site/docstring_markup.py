"""Makes reStructuredText of our docstrings, which are plain text with code in single backticks."""

import re
from typing import Any

CODE = re.compile(r"(`+[^`]+`+)")
# What reStructuredText would take for emphasis, a substitution or a link.
SPECIAL = re.compile(r"[*|\\]|(?<=\w)_+(?!\w)")
COLUMNS = re.compile(r"^(\S.*?\S|\S)(?: {3,})(\S.*)$")
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|References):$")
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*): ")


def escaped(line: str) -> str:
    """A line of which nothing but the backticks is markup."""
    parts = CODE.split(line)
    for i in range(0, len(parts), 2):
        parts[i] = SPECIAL.sub(lambda match: "".join("\\" + c for c in match[0]), parts[i])
    return "".join(part if i % 2 == 0 else f"``{part.strip('`')}``" for i, part in enumerate(parts))


def is_source(lines: list[str]) -> bool:
    return bool(lines) and all(line.startswith("    ") or not line for line in lines)


def joined(lines: list[str]) -> list[str]:
    """The lines, where code in backticks that goes on in the next one stands on one line."""
    made: list[str] = []
    for line in lines:
        if made and line.strip() and made[-1].count("`") % 2:
            made[-1] += " " + line.strip()
        else:
            made.append(line)
    return made


def paragraph(lines: list[str]) -> list[str]:
    """A paragraph: a list of definitions where it has two columns, source where it is set in, and else as it is."""
    if is_source(lines):
        return ["::", "", *lines, ""]
    if not lines[0].startswith(" ") and (columns := _columns(lines)):
        return columns
    head = list(lines)
    marks = [i for i, line in enumerate(head) if re.match(r"\s*[-*] ", line)]
    made: list[str] = []
    for i, line in enumerate(head):
        bullet = re.match(r"(\s*)[-*] (.*)", line)
        if bullet:
            if i == marks[0] and i:
                made.append("")
            made.append(f"{bullet[1]}- {escaped(bullet[2])}")
        else:
            made.append(escaped(line))
    return [*made, ""]


def _columns(lines: list[str]) -> list[str]:
    """`name   what it is`, one a line, as a list of definitions; empty if the paragraph is something else."""
    rows: list[tuple[str, list[str]]] = []
    for line in lines:
        if match := COLUMNS.match(line):
            rows.append((match[1], [match[2]]))
        elif rows and line.startswith("   "):
            rows[-1][1].append(line.strip())
        else:
            return []
    made = []
    for name, text in rows:
        made += [f"``{name}``", *(f"    {escaped(line)}" for line in text)]
    return [*made, ""]


def markup(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText with the sections that napoleon reads."""
    made: list[str] = []
    section, block = "", []

    def end() -> None:
        if block:
            made.extend(paragraph(block))
            block.clear()

    for line in joined(lines):
        if match := SECTION.match(line):
            end()
            section = match[1]
            made.append(line)
        elif section and line and not line.startswith(" "):
            section = ""
            block.append(line)
        elif section == "Example":
            made.append(line)
        elif section:
            made.append(entry(line))
        elif line.strip():
            if not line.startswith(" ") and is_source(block):
                end()
            block.append(line)
        elif is_source(block):
            block.append("")
        else:
            end()
    end()
    return made


def entry(line: str) -> str:
    """A line of a section: `name: text`, or one that goes on with the text above it."""
    text = line[4:] if line.startswith("    ") else line
    if match := ENTRY.match(text):
        return "    " + match[0] + escaped(text[match.end() :])
    indent = len(line) - len(line.lstrip())
    return " " * indent + escaped(line.lstrip())


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = markup(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
