"""A sample of what `python tests/mutated_rules.py` does with every rule: wrong rules are seen by the rows."""

import pytest

from mutated_rules import main, survivors
from primitives.derivatives import gradients
from tapegrad.autograd.primitive import REGISTRY

SAMPLE = ("tanh", "log", "divide", "sum", "matmul", "logsumexp", "where")


@pytest.mark.parametrize("name", SAMPLE)
def test_no_mutant_survives(name: str):
    found, count, unheard = survivors([name])
    assert not found and not unheard and count > 1


def test_a_rule_that_no_row_sees_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """With checks that look at nothing, mutants survive; and the rules are again what they were."""
    rules = {name: p.vjp for name, p in REGISTRY.items()}
    blind = lambda case: gradients(case, list(case.arrays)) and None
    monkeypatch.setattr("mutated_rules.check_first", blind)
    monkeypatch.setattr("mutated_rules.check_second", blind)
    assert main(["tanh"]) > 0
    assert "tanh: input 0: the other sign" in capsys.readouterr().out
    assert rules == {name: p.vjp for name, p in REGISTRY.items()}
