"""The special methods that code asks for without naming them, as `a * b` asks for `__mul__` and `__rmul__`."""

from collections.abc import Iterable
from dis import Instruction

BINARY = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}  # fmt: skip
COMPARISONS = {
    "<": ("lt", "gt"), "<=": ("le", "ge"), ">": ("gt", "lt"), ">=": ("ge", "le"), "==": ("eq",), "!=": ("ne",),
}  # fmt: skip
ITERATION = ("iter", "getitem")
OTHERS: dict[str, tuple[str, ...]] = {
    "UNARY_NEGATIVE": ("neg",), "UNARY_INVERT": ("invert",), "UNARY_POSITIVE": ("pos",), "CALL_INTRINSIC_1": ("pos",),
    "BINARY_SUBSCR": ("getitem",), "BINARY_SLICE": ("getitem",), "STORE_SUBSCR": ("setitem",),
    "STORE_SLICE": ("setitem",), "DELETE_SUBSCR": ("delitem",), "CONTAINS_OP": ("contains", *ITERATION),
    "GET_ITER": ITERATION, "UNPACK_SEQUENCE": ITERATION, "UNPACK_EX": ITERATION, "LIST_EXTEND": ITERATION,
    "LOAD_ATTR": ("getattribute",), "LOAD_METHOD": ("getattribute",), "STORE_ATTR": ("setattr",),
    "DELETE_ATTR": ("delattr",),
}  # fmt: skip


def of_two(word: str, in_place: bool = False) -> tuple[str, ...]:
    """That of the left operand, that of the right one, and before both the one in place."""
    return (f"i{word}", word, f"r{word}") if in_place else (word, f"r{word}")


# Functions of Python and of its modules `operator`, `math` and `itertools`; those of NumPy ask what they are given.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    **{word: of_two(word) for word in (*BINARY.values(), "divmod")},
    **{f"i{word}": of_two(word, in_place=True) for word in BINARY.values()},
    **{methods[0]: methods for methods in COMPARISONS.values()},
    **{w: (w,) for w in ("abs", "round", "len", "reversed", "neg", "pos", "invert", "contains", "getitem", "setitem")},
    "sum": of_two("add"), "accumulate": of_two("add"), "prod": of_two("mul"), "sumprod": of_two("mul"),
    "and_": of_two("and"), "or_": of_two("or"), "callable": ("call",), "getattr": ("getattr",), "hasattr": ("getattr",),
    **{name: ("array_ufunc", "array_function") for name in ("np", "numpy")},
}  # fmt: skip


def asked_by(ran: Iterable[Instruction]) -> frozenset[str]:
    """Those that instructions ask for."""
    words: set[str] = set()
    for i in ran:
        if i.opname == "BINARY_OP":
            operator = i.argrepr.removesuffix("=")
            in_place = operator != i.argrepr
            # From Python 3.14 on there is "[]".
            words.update(of_two(BINARY[operator], in_place) if operator in BINARY else ("getitem",))
        elif i.opname == "COMPARE_OP":
            words.update(COMPARISONS[i.argval])
        else:
            words.update(OTHERS.get(i.opname, ()))
    return special(words)


def asked_by_functions(names: Iterable[str]) -> frozenset[str]:
    """Those that functions of these names may ask for, such as `abs` and `operator.mul`."""
    return special(word for name in names for word in FUNCTIONS.get(name, ()))


def special(words: Iterable[str]) -> frozenset[str]:
    return frozenset(f"__{word}__" for word in words)
