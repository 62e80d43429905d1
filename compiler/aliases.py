"""Types of the calls of a compiled function by name, for annotations."""

from typing import TypeAlias

Args: TypeAlias = tuple[object, ...]  # its arguments by position
Kwargs: TypeAlias = dict[str, object]  # and by keyword
