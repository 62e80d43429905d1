"""What the tests of models share; the tables of losses and optimizers are trained with here, too."""

import sys
from pathlib import Path

import pytest

from tapegrad.models import compiled_step

for room in ("nn", "optim", "models"):  # which are also names of rooms: the tables are found without them
    sys.path.insert(0, str(Path(__file__).parent.parent / room))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second batch of a kind is recorded: a test need not run fifty. Every third call of a program is checked."""
    monkeypatch.setattr(compiled_step, "PATIENCE", 1)
    monkeypatch.setenv("TAPEGRAD_JIT_CHECK", "3")
