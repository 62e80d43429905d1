"""Write docs/lists.md: every public function, layer, loss, optimizer, metric and callback with the first line of its
documentation. Run: python docs/make_lists.py"""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import tapegrad as tg
from tapegrad import models, nn, optim
from tapegrad.autograd.primitive import Primitive
from tapegrad.data import metrics
from tapegrad.nn import weight_rules

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# What there is

Made from the code by `python docs/make_lists.py`; a test keeps it up to date. `help(tg.nn.Dense)` shows the whole of an
entry. The gradient rules stand in [primitives.md](primitives.md), names of other libraries in
[coming_from.md](coming_from.md), slopes at kinks, poles and NaN in [conventions.md](conventions.md).
"""


def first_line(value: Any) -> str:
    """The first sentence or line of a docstring, fit for a table."""
    text = inspect.getdoc(value) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.replace("|", "\\|")


def table(title: str, entries: dict[str, Any]) -> str:
    """A section: one row for each name; names of one object share a row."""
    names: dict[int, list[str]] = {}
    for name, value in entries.items():
        names.setdefault(id(value), []).append(f"`{name}`")
    rows = [
        f"| {', '.join(names.pop(id(value)))} | {first_line(value)} |"
        for value in entries.values()
        if id(value) in names
    ]
    return f"\n## {title}\n\n| name | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"


def public(module: Any, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(module, name) for name in sorted(module.__all__)}


@cache
def rooted(metric: Any) -> Any:
    """What stands for the square root of a metric."""
    return type("Root", (), {"__doc__": f"The square root of: {first_line(metric)}"})


def functions() -> dict[str, Any]:
    """What `import tapegrad as tg` names and is called."""
    found = {f"tg.{name}": getattr(tg, name) for name in dir(tg)}
    return {
        k: v
        for k, v in found.items()
        if isinstance(v, Primitive) or inspect.isroutine(v) or inspect.isclass(v)
    }


def page() -> str:
    layers = {k: v for k, v in public(nn, "nn.").items() if inspect.isclass(v) and issubclass(v, nn.Module)}
    losses = {k: v for k, v in public(nn.losses, "nn.losses.").items() if k != "nn.losses.get"}
    callbacks = {
        k: v
        for k, v in public(models, "models.").items()
        if inspect.isclass(v) and issubclass(v, models.Callback)
    }
    estimators = {k: v for k, v in public(models, "models.").items() if k not in callbacks}
    sections = {
        "Functions": functions(),
        "Random tensors": public(tg.random, "tg.random."),
        "Nested structures": public(tg.tree, "tg.tree."),
        "Layers": layers,
        "Activations": public(nn.activations, "nn.activations."),
        "Losses": losses,
        "Regularizers and constraints": {f"nn.{k}": getattr(nn, k) for k in weight_rules.RULES},
        "Initializers": public(nn.init, "nn.init."),
        "Optimizers and clipping": public(optim, "optim."),
        "Schedules": public(optim.schedules, "optim.schedules."),
        "Models": estimators,
        "Callbacks": callbacks,
        "Data": public(tg.data, "tg.data."),
        "Metrics as objects": {
            f"tapegrad.data.metrics.{k}": getattr(metrics, k)
            for k in sorted(metrics.__all__)
            if inspect.isclass(getattr(metrics, k))
        },
        "Metrics, by name": metrics.MEANS | metrics.WHOLES | {k: rooted(f) for k, f in metrics.ROOTS.items()},
    }
    return HEAD + "".join(table(title, entries) for title, entries in sections.items())


if __name__ == "__main__":
    (ROOT / "docs" / "lists.md").write_text(page())
