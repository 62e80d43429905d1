"""When a function is recorded."""

from typing import Protocol

from tapegrad.compiler.aliases import Args


class Policy(Protocol):
    """Decides for each call that no case fits; `models.compiled_step.AfterCalls` is one that waits."""

    def due(self, args: Args) -> bool:
        """Whether a call with these arguments by position is to be recorded. If not, it runs as Python, uncounted
        among the recordings, and the next one of its kind asks again."""


class Always:
    """At the first call of each kind."""

    def due(self, args: Args) -> bool:
        return True
