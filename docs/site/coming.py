"""The tables of "from PyTorch", "from Keras" and "from JAX", from the names in autograd/foreign/."""

import re
from pathlib import Path

from tapegrad.autograd import foreign

MARK = re.compile(r"^%% names of (.+)$", re.M)
ROOMS = {
    "tg": "Functions", "tensor": "Attributes of a tensor", "nn": "Layers and losses",
    "functional": "Functions of layers", "losses": "Losses", "init": "Initializers",
    "module": "Attributes of a module", "random": "Random numbers",
    "tree": "Nested structures",
}  # fmt: skip


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def tables(prefixes: tuple[str, ...]) -> str:
    """A table for each room with the names that start with one of the prefixes, or are one: `np` for "np."."""
    parts = []
    for room, title in ROOMS.items():
        lines = []
        for theirs, ours, remark in foreign.rows(room):
            if named := [name for name in theirs if f"{name}.".startswith(prefixes)]:
                spelling = f"`{cell(ours)}`" if ours else "none"
                lines.append(f"| {', '.join(f'`{name}`' for name in named)} | {spelling} | {cell(remark)} |")
        if lines:
            parts.append("\n".join([f"### {title}", "", "| theirs | here | |", "|---|---|---|", *lines, ""]))
    return "\n".join(parts)


def filled(text: str) -> str:
    """A page with its tables in place of the line `%% names of torch. F.`."""
    return MARK.sub(lambda match: tables(tuple(match[1].split())), text)


def pages() -> dict[str, str]:
    """The tutorials that have such a line, by their path on the site."""
    here = Path(__file__).resolve().parent
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(here.glob("tutorials/*.md"))}
    return {p.relative_to(here).as_posix(): filled(text) for p, text in texts.items() if MARK.search(text)}
