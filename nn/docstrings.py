"""Docstrings of functions and classes that are made from others, in Google style."""

import re


def split(doc: str) -> tuple[str, dict[str, str]]:
    """The text before `Args:`, and what is said of each argument by its name."""
    text, _, arguments = doc.partition("Args:\n")
    arguments = re.split(r"\n\s*\n", arguments)[0]  # the sections after it are of the function
    entries: dict[str, str] = {}
    for entry in re.split(r"\n\s*(?=\w+: )", "\n" + arguments)[1:]:
        name, _, said = entry.partition(": ")
        entries[name] = " ".join(said.split())
    return text.strip(), entries


def joined(text: str, entries: dict[str, str]) -> str:
    """A docstring of a text and its arguments."""
    if not entries:
        return text
    return f"{text}\n\nArgs:\n" + "\n".join(f"    {name}: {said}" for name, said in entries.items())
