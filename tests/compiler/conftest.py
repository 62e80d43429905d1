"""The tables of other folders' tests are run here, too. And how many random programs are tried:

pytest tests/compiler/test_fuzz.py --hypothesis-profile=many
"""

import sys
from pathlib import Path

import pytest

from compiler_gpu import gpu  # noqa: F401
from tapegrad.models import compiled_step

for room in ("nn", "optim"):  # which are also names of rooms: the tables are found without them
    sys.path.insert(0, str(Path(__file__).parent.parent / room))
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def fit_is_compiled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models, too, after 20 batches."""
    monkeypatch.setattr(compiled_step, "PATIENCE", compiled_step.LEAST)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TAPEGRAD_JIT_CHECK: for tests that count what a call does, and for those that compare other emitters with
    eager themselves. What nearly cancels differs by more there than the check allows, which goes by the result alone.
    """
    monkeypatch.delenv("TAPEGRAD_JIT_CHECK", raising=False)


try:
    from hypothesis import HealthCheck, settings
except ImportError:  # where the tests that need a GPU run
    pass
else:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    few = settings(
        max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=slow
    )
    settings.register_profile("few", few)
    settings.register_profile("many", few, max_examples=5000, derandomize=False, print_blob=True)
    settings.load_profile("few")
