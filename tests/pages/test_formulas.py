"""The formulas of primitives and their rules, as the pages typeset and show them."""

import re
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.autograd.pages.formulas import formula_of
from tapegrad.autograd.pages.rules import rule_of
from tapegrad.autograd.primitive import REGISTRY, Primitive

FORMULAS = {
    "x1 + x2": "x1+x2",
    "g * slope, but 0 wherever g is 0": "g·slope",
    "1 / (1 + e**-x)": "11+e−x",
    "-log_softmax(x)[label] over the last axis: labels are class numbers": "−log_softmax(x)label",
    "x1 @ x2: the matrix product": "x1@x2",
    "(x - 1) * 2": "(x−1)·2",
    "a - (b - c)": "a−(b−c)",
    "the sum over axes": "",
    "-1, 0 or 1, as x is negative, zero or positive": "",
    "x for x > 0, else slope * x": "",
}


@pytest.mark.parametrize("doc", FORMULAS)
def test_formula_of_a_doc(doc: str) -> None:
    assert re.sub("<[^>]+>", "", formula_of(doc)[0]) == FORMULAS[doc]


def test_every_rule_of_the_registry_is_shown_as_it_is_written() -> None:
    for name, primitive in REGISTRY.items():
        rule = rule_of(primitive)
        rules = primitive.vjp if isinstance(primitive.vjp, tuple) else (primitive.vjp,)
        if any(rules):
            assert rule.source and rule.where.startswith("autograd/"), name
        for source in rule.source:
            compile(
                f"_ = {source}" if source.startswith("lambda") and "\n" not in source else "_", name, "exec"
            )


RULES = {
    "add": ["x¯1=y¯", "x¯2=y¯"], "multiply": ["x¯1=y¯·x2", "x¯2=y¯·x1"], "exp": ["x¯=y¯·y"],
    "multiply_from_zero": ["a¯=y¯·s", "s¯=y¯·a"], "divide_from_zero": ["a¯=y¯x", "x¯=−y¯·yx"],
    "convolution_input": [],  # one of its two rules is no formula
    "max_pool_put": ["g¯=max_pool_take(y¯,x,y1,p)"], "max_pool_take": ["h¯=max_pool_put(y¯,x,y1,p)"],
    "window_spread": ["g¯=window_sum(y¯,p)"],
    "hypot": ["x¯1=y¯·share(x1,y)", "x¯2=y¯·share(x2,y)"],
    # What rules share is shown as what it is.
    "sum": ["x¯=y¯"], "mean": ["x¯=y¯n, for a mean of n elements"], "asin": ["x¯=y¯1−x2"],
    "linear": ["x¯=y¯@kernelT", "kernel=xT@y¯", "bias=y¯"], "atan": ["x¯=y¯hypot(x,1)2"],
    "cross_entropy_with_logits": ["x¯=−y¯·less_share(x,t)", "t¯=−y¯·log_softmax(x)"],
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_the_letters_of_the_doc(name: str) -> None:
    shown = [re.sub("<[^>]+>", "", text) for _, text in rule_of(REGISTRY[name]).formulas]
    assert shown == RULES[name]


def test_a_word_is_under_a_line() -> None:
    shown = [text for _, text in rule_of(REGISTRY["linear"]).formulas]
    assert '<mi class="over">kernel</mi><mo>=</mo>' in shown[1] and "<mover><mi>x</mi>" in shown[0]


def test_a_doc_is_shown_without_its_arguments() -> None:
    rule = rule_of(REGISTRY["tanh"])
    assert "Args:" in (REGISTRY["tanh"].__doc__ or "")
    assert rule.words == "" and re.sub("<[^>]+>", "", rule.formula) == "tanh(x)"


def test_the_rule_of_a_users_primitive_is_shown() -> None:
    twice = Primitive("twice_as_much", lambda xp, x: x + x, vjp=(lambda g, y, x: g * 2.0,), register=False)
    rule = rule_of(twice)
    assert rule.source == ["lambda g, y, x: g * 2.0"] and rule.where.startswith("test_formulas.py:")
    assert re.sub("<[^>]+>", "", rule.formulas[0][1]) == "x¯=y¯·2"


def test_a_part_of_the_formulas_is_not_shown_as_if_it_were_all() -> None:
    assert rule_of(REGISTRY["power"]).formulas == [] and len(rule_of(REGISTRY["power"]).source) == 2
    assert len(rule_of(REGISTRY["multiply"]).formulas) == 2


def test_a_rule_made_of_others_shows_them() -> None:
    assert rule_of(REGISTRY["dense_tanh"]).source[1:] == ["lambda g, y, x: scale(g, 1.0 - y * y)"]

    @tg.custom_gradient
    def twice(x: tg.Tensor) -> Any:
        def pullback(g: tg.Tensor) -> tg.Tensor:
            return g * 2.0

        return x * 2.0, pullback

    node = twice(tg.ones(2, requires_grad=True)).node
    assert node is not None and "return g * 2.0" in rule_of(node.primitive).source[1]
