"""Formulas typeset as MathML, made from the Python expressions of docs and gradient rules."""

import ast
import re
from collections.abc import Callable
from copy import deepcopy
from html import escape

GREEK = {"pi": "π", "inf": "∞", "nan": "NaN", "beta": "β", "alpha": "α", "gamma": "γ"}
OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "−", ast.Mult: "·", ast.MatMult: "@", ast.Mod: "mod", ast.BitAnd: "&", ast.BitOr: "|",
    ast.BitXor: "⊕", ast.Eq: "=", ast.NotEq: "≠", ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥",
    ast.And: "and", ast.Or: "or", ast.Not: "not", ast.USub: "−", ast.UAdd: "+", ast.Invert: "~",
}  # fmt: skip
# How tightly an expression binds; parentheses stand around what binds less than its place.
LOOSE, SUM, PRODUCT, SIGN, POWER, ATOM = range(6)
# What rules call to multiply and to divide.
TIMES = {"scale", "multiply_from_zero", "scale_both", "multiply_from_zeros"}
OVER = {"over", "divide_from_zero"}
# Functions that rules share, and what they are in mathematics, where broadcasting goes without saying.
HELPERS = {
    name: ast.parse(f"lambda {formula}", mode="eval").body
    for name, formula in {
        "spread_cotangent": "g, x, axis: g",
        "as_column": "g: g",
        "averaged": "shape, axis: n",
        "to_left": "g, y, a, b: g @ b.T",
        "to_right": "g, y, a, b: a.T @ g",
        "one_minus_square": "x: 1 - x**2",
        "over_twice": "g, x: g / x**2",
        "turn": "a, b: b / (a**2 + b**2)",
    }.items()
}
MEANING_OF_N = ", for a mean of n elements"
ENDS = re.compile(r": |; |, |\. | over | along | without | for a | in the shape |\.$|$")


COTANGENT = "cotangent of y"  # which no name in a source is

LONGEST = 60  # elements of MathML: a longer rule is easier to read in its source


class NotAFormulaError(Exception):
    """An expression of Python that mathematics has no sign for."""


def formula_of(doc: str) -> tuple[str, str]:
    """(the formula that a primitive's doc begins with, as MathML; the words after it). "" where there are none."""
    stops = [found.start() for found in ENDS.finditer(doc)]
    for stop in sorted(set(stops), reverse=True):
        try:
            tree = ast.parse(doc[:stop].strip(), mode="eval").body
        except (SyntaxError, ValueError):
            continue
        named = any(isinstance(part, ast.Name) for part in ast.walk(tree))
        if named and isinstance(tree, (ast.BinOp, ast.UnaryOp, ast.Call, ast.Compare, ast.Subscript)):
            try:
                return math(typeset(tree)[0]), doc[stop:].lstrip(",;:. ")
            except NotAFormulaError:
                continue
    return "", doc


def rule_formula(tree: ast.AST) -> str:
    """The cotangent that a lambda of a gradient rule gives, as MathML; "" where it is more than a formula."""
    if not isinstance(tree, ast.Lambda):
        return ""
    try:
        text = typeset(tree.body)[0]
    except NotAFormulaError:
        return ""
    return math(text) if text.count("<m") < LONGEST else ""


def math(inside: str) -> str:
    return f"<math>{inside}</math>"


def typeset(node: ast.AST) -> tuple[str, int]:
    """(MathML, how tightly it binds)"""
    if type(node) not in FORMS:
        raise NotAFormulaError(type(node).__name__)
    return FORMS[type(node)](node)


def inside(node: ast.AST, place: int) -> str:
    """MathML in a place that binds so tightly."""
    text, binds = typeset(node)
    return f"<mo stretchy=false>(</mo>{text}<mo stretchy=false>)</mo>" if binds < place else text


def one(text: str) -> str:
    """MathML as one element."""
    return text if re.fullmatch(r"<(m[in])>[^<]*</\1>", text) else f"<mrow>{text}</mrow>"


def name(node: ast.Name) -> tuple[str, int]:
    if node.id == COTANGENT:
        return barred("y"), ATOM
    word = node.id.removesuffix("_p").lstrip("_")
    letter, number = re.fullmatch(r"(.*?)(\d*)", word).groups()  # type: ignore[union-attr]
    text = f"<mi>{escape(GREEK.get(letter, letter))}</mi>"
    return (f"<msub>{text}<mn>{number}</mn></msub>" if number and letter else text), ATOM


def barred(argument: str) -> str:
    """What stands for the cotangent of an argument: its name under a bar, which over a word is a line of the style."""
    if letter := re.fullmatch(r"([^\W\d_])(\d*)", argument):
        text = f"<mover><mi>{letter[1]}</mi><mo>¯</mo></mover>"
        return f"<msub>{text}<mn>{letter[2]}</mn></msub>" if letter[2] else text
    return f'<mi class="over">{escape(argument)}</mi>'


def constant(node: ast.Constant) -> tuple[str, int]:
    value = node.value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        value = int(value)
    return f"<mn>{escape(str(value))}</mn>", ATOM


def fraction(top: ast.AST, bottom: ast.AST) -> tuple[str, int]:
    return f"<mfrac>{one(inside(top, LOOSE))}{one(inside(bottom, LOOSE))}</mfrac>", ATOM


class Filled(ast.NodeTransformer):
    """An expression with others in place of names."""

    def __init__(self, given: dict[str, ast.expr]) -> None:
        self.given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.given.get(node.id, node)


def helped(node: ast.Call) -> ast.expr | None:
    """What a call of one of HELPERS is in mathematics; None for other calls."""
    helper = HELPERS.get(node.func.id.lstrip("_")) if isinstance(node.func, ast.Name) else None
    if not isinstance(helper, ast.Lambda) or len(helper.args.args) != len(node.args):
        return None
    names = [a.arg for a in helper.args.args]
    filled: ast.expr = Filled(dict(zip(names, node.args, strict=True))).visit(deepcopy(helper.body))
    return filled


def product(a: ast.AST, b: ast.AST) -> tuple[str, int]:
    if isinstance(b, ast.BinOp) and isinstance(b.op, ast.Div) and ast.unparse(b.left) in ("1", "1.0"):
        return fraction(a, b.right)
    return f"{inside(a, PRODUCT)}<mo>·</mo>{inside(b, SIGN)}", PRODUCT


def binary(node: ast.BinOp) -> tuple[str, int]:
    if isinstance(node.op, ast.Div):
        return fraction(node.left, node.right)
    if isinstance(node.op, ast.Pow):
        return f"<msup>{one(inside(node.left, ATOM))}{one(inside(node.right, LOOSE))}</msup>", POWER
    if isinstance(node.op, ast.Mult):
        return product(node.left, node.right)
    if isinstance(node.op, ast.FloorDiv):
        return f"<mo>⌊</mo>{fraction(node.left, node.right)[0]}<mo>⌋</mo>", ATOM
    binds = PRODUCT if isinstance(node.op, (ast.MatMult, ast.Mod)) else SUM
    right = inside(node.right, binds + 1 if not isinstance(node.right, ast.UnaryOp) else ATOM)
    return f"{inside(node.left, binds)}<mo>{escape(OPERATORS[type(node.op)])}</mo>{right}", binds


def unary(node: ast.UnaryOp) -> tuple[str, int]:
    return f"<mo>{OPERATORS[type(node.op)]}</mo>{inside(node.operand, PRODUCT)}", PRODUCT


def comparison(node: ast.Compare) -> tuple[str, int]:
    parts = [inside(node.left, SUM)]
    for op, right in zip(node.ops, node.comparators, strict=True):
        sign = OPERATORS.get(type(op), ast.unparse(node))
        parts.append(f"<mo>{escape(sign)}</mo>{inside(right, SUM)}")
    return "".join(parts), LOOSE


def either(node: ast.BoolOp) -> tuple[str, int]:
    sign = f"<mspace width='.3em'/><mo>{OPERATORS[type(node.op)]}</mo><mspace width='.3em'/>"
    return sign.join(inside(value, SUM) for value in node.values), LOOSE


def call(node: ast.Call) -> tuple[str, int]:
    if (meaning := helped(node)) is not None:
        return typeset(meaning)
    given = [*node.args, *(k.value for k in node.keywords if k.arg not in ("axis", "keepdims", "dtype"))]
    if isinstance(node.func, ast.Attribute):
        of = inside(node.func.value, ATOM)
        word = f"{of}<mo>.</mo><mi>{escape(node.func.attr)}</mi>"
        if isinstance(node.func.value, ast.Name) and node.func.value.id in ("xp", "math"):
            word = f"<mi>{escape(node.func.attr)}</mi>"
    else:
        word = typeset(node.func)[0]
    called = node.func.id.removesuffix("_p") if isinstance(node.func, ast.Name) else ""
    if called in TIMES and len(given) == 2:
        return product(*given)
    if called in OVER and len(given) == 2:
        return fraction(*given)
    if called == "sqrt" and len(given) == 1:
        return f"<msqrt>{typeset(given[0])[0]}</msqrt>", ATOM
    shown = "<mo>,</mo>".join(inside(a, LOOSE) for a in given)
    return f"{word}<mo stretchy=false>(</mo>{shown}<mo stretchy=false>)</mo>", ATOM


def subscript(node: ast.Subscript) -> tuple[str, int]:
    return f"<msub>{one(inside(node.value, ATOM))}{one(typeset(node.slice)[0])}</msub>", ATOM


def attribute(node: ast.Attribute) -> tuple[str, int]:
    of = inside(node.value, ATOM)
    if node.attr in ("T", "mT"):
        return f"<msup>{one(of)}<mi>T</mi></msup>", POWER
    return f"{of}<mo>.</mo><mi>{escape(node.attr)}</mi>", ATOM


FORMS: dict[type, Callable[..., tuple[str, int]]] = {
    ast.Name: name, ast.Constant: constant, ast.BinOp: binary, ast.UnaryOp: unary, ast.Compare: comparison,
    ast.BoolOp: either, ast.Call: call, ast.Subscript: subscript, ast.Attribute: attribute,
}  # fmt: skip
