"""Write docs/primitives.md: every primitive of the registry, what it computes, and its gradient rule as it stands in
the source. Run: python docs/make_primitives.py"""

import ast
import re
from pathlib import Path

import tapegrad.autograd
from tapegrad.autograd.primitive import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# The primitives and their gradient rules

Made from the registry by `python docs/make_primitives.py`; a test keeps it up to date.

`g` is the cotangent of the result, `y` the result, and a rule gives the cotangent of one argument. A rule says nothing
of broadcasting and dtypes: the backward loop sums a cotangent over the axes along which its argument was stretched, and
casts it to the argument's dtype. `scale(g, s)` is `g * s` and `over(g, x)` is `g / x`, but both are 0 wherever `g` is 0
(`docs/conventions.md` has the conventions at kinks, poles and NaN).
"""


def rules() -> dict[str, tuple[str, str]]:
    """Primitive name -> (file, its rules as source)."""
    found = {}
    for path in sorted((ROOT / "autograd").rglob("*.py")):
        source = path.read_text()
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Primitive" and call.args:
                name = call.args[0]
                if isinstance(name, ast.Constant):
                    vjp = next((k.value for k in call.keywords if k.arg == "vjp"), None)
                    found[name.value] = (path.relative_to(ROOT).as_posix(), written(source, vjp))
    return found


def written(source: str, vjp: ast.expr | None) -> str:
    parts = vjp.elts if isinstance(vjp, ast.Tuple) else [] if vjp is None else [vjp]
    shown = []
    for part in parts:
        if isinstance(part, ast.Lambda):
            arguments = [a.arg for a in part.args.args[2:]]
            text = ast.get_source_segment(source, part.body) or ""
            shown.append(f"({', '.join(arguments)}) {text}" if len(arguments) > 1 else text)
        else:
            shown.append(ast.get_source_segment(source, part) or "")
    return "<br>".join("`" + re.sub(r"\s+", " ", text).replace("|", "\\|") + "`" for text in shown)


def page() -> str:
    where = rules()
    rows: dict[str, list[str]] = {}
    for name, primitive in REGISTRY.items():
        path, rule = where[name]
        text = (primitive.__doc__ or "").partition("\n\n")[0].replace("|", "\\|")
        rows.setdefault(path, []).append(f"| `{name}` | {text} | {rule or '(none: piecewise constant)'} |")
    parts = [HEAD]
    for path, lines in rows.items():
        parts.append(
            f"\n## {path}\n\n| primitive | computes | gradient rule of each argument |\n|---|---|---|\n"
            + "\n".join(lines)
            + "\n"
        )
    return "".join(parts)


if __name__ == "__main__":
    assert tapegrad.autograd
    (ROOT / "docs" / "primitives.md").write_text(page())
