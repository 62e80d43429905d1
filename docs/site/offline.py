"""Looks in a built site for what a browser would fetch from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

# Elements that load something by themselves, and the attribute that says what. A link loads nothing.
LOADS = {
    "script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"), "embed": ("src",),
    "video": ("src", "poster"), "audio": ("src",), "object": ("data",), "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}  # fmt: skip
ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.I)
FETCHED = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])\s*((?:https?:)?//[^"')]+)""", re.I)


class Loads(HTMLParser):
    """The addresses elsewhere that a page loads, its styles and the documents inside its frames included."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        names = LOADS.get(tag, ())
        if tag == "link" and FETCHED & set(given.get("rel", "").lower().split()):
            names = ("href",)
        self.found += [given[name] for name in names if ELSEWHERE.match(given.get(name, ""))]
        self.found += STYLE.findall(given.get("style", ""))
        if "srcdoc" in given:
            self.found += loads(given["srcdoc"])

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.found += STYLE.findall(data)


def loads(text: str) -> list[str]:
    page = Loads()
    page.feed(text)
    return page.found


def requests_of(site: Path) -> list[str]:
    """A line for each page or style that would ask for something off the site."""
    wrong = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        found = loads(text) if path.suffix == ".html" else STYLE.findall(text)
        wrong += [f"{path.relative_to(site)} asks for {address}" for address in found]
    return wrong
