"""Puts the sources of the site together: the pages of this folder, those of docs/, and the ones that are made."""

import posixpath
import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Where a page of the repository stands on the site. Those of docs/ are all taken; these are the others.
OTHERS = {
    "compiler/README.md": "pages/compiler.md",
    "CONTRIBUTING.md": "pages/contributing.md",
    "CHANGELOG.md": "pages/changelog.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:]+)\)")


def pages() -> dict[str, str]:
    """Path in the repository -> path on the site, of every page that is included as it is."""
    return {
        f"docs/{path.name}": f"pages/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
    } | OTHERS


def linked(text: str, path: str) -> str:
    """A page with its links as the site has them: to pages of the site, and else the text of the link alone."""
    places = pages()
    here = posixpath.dirname(places[path])

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        target, _, anchor = target.partition("#")
        full = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
        if mark or full not in places:
            return match[0] if mark or not target else words
        return f"[{words}]({posixpath.relpath(places[full], here)}{'#' + anchor if anchor else ''})"

    return LINK.sub(link, text)


def put(path: Path, text: str) -> None:
    """Write a file if its text is new: what has not changed is not built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def sources() -> dict[str, str]:
    """Path on the site -> text, of every page that is not executed by sphinx-gallery."""
    import coming
    import reference

    found = {path: linked((ROOT / name).read_text(encoding="utf-8"), name) for name, path in pages().items()}
    for path in sorted(HERE.rglob("*.md")):
        found[path.relative_to(HERE).as_posix()] = path.read_text(encoding="utf-8")
    return found | coming.pages() | reference.pages()


def assemble(target: Path) -> None:
    """Write the sources of the site, and remove what is no longer one of them."""
    import gallery

    texts = sources()
    for path, text in texts.items():
        put(target / path, text)
    for path in [*target.rglob("*.md"), *target.glob("reference/*.rst")]:
        if path.relative_to(target).as_posix() not in texts:
            path.unlink()
    shutil.copyfile(ROOT / "docs" / "tape.svg", target / "tape.svg")
    gallery.write(target.parent / "examples")
