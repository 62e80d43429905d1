"""Tables of the activations, initializers and losses that users can give by name."""

import re
from collections.abc import Collection

from tapegrad.backends.aliases import Function

NAMES: dict[Function, str] = {}  # the way back, for repr and saved configurations


class Named:
    """A table of callables by name; `get` takes a name or a callable, and an unknown name lists the known ones."""

    def __init__(self, kind: str, entries: dict[str, Function]) -> None:
        self.kind = kind
        self.entries = entries
        for name, entry in entries.items():
            NAMES.setdefault(entry, name)

    def get(self, given: object, argument: str = "") -> Function:
        """What a name stands for, and a callable as it is. argument: what messages call it, "Dense: activation"."""
        if isinstance(given, str):
            if given in self.entries:
                return self.entries[given]
            where = f"{argument}: " if argument else ""
            raise ValueError(
                f"{where}unknown {self.kind} {given!r}{hint(given, self.entries)}; known: {self.known()}"
            )
        if callable(given):
            return given
        raise TypeError(
            f"{argument or self.kind}: expected a callable or one of these names, got {given!r}: {self.known()}"
        )

    def known(self) -> str:
        return ", ".join(sorted(self.entries))


# What scikit-learn and PyTorch call an activation.
ELSEWHERE = {"logistic": "sigmoid", "identity": "linear", "none": "linear", "expit": "sigmoid"}


def hint(given: str, known: Collection[str]) -> str:
    """ ": did you mean 'relu'?", or nothing."""
    from difflib import get_close_matches

    if (name := ELSEWHERE.get(given.lower(), "")) in known:
        return f": did you mean {name!r}?"
    close = get_close_matches(given, list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def snake_case(name: str) -> str:
    """DenseBlock -> dense_block."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return words.lower()
