"""The gallery: the programs of examples/, each with a heading, and its tape at its end."""

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Example(NamedTuple):
    """How a program of examples/ is shown.

    title    the heading
    tail     what is run after the program and ends in its tape
    argv     its arguments while the site is built: a long program runs a short while
    recorded whether the output of its full run stands in recorded/NAME.txt and is shown
    runs     whether it runs while the site is built
    """

    title: str
    tail: str
    argv: tuple[str, ...] = ()
    recorded: bool = False
    runs: bool = True


LOSS = """with tg.keep_lines():
    loss = {loss}
tg.tape(loss, {names})"""
EXAMPLES = {
    "training_loop": Example(
        "A training loop",
        LOSS.format(loss="F.binary_cross_entropy_with_logits(model(x_test[:8]), t_test[:8])", names="model"),
    ),
    "functional": Example(
        "Parameters in a dict",
        "for p in params.values():\n    p.requires_grad_()\n"
        + LOSS.format(loss="loss(params, x_test[:8], t_test[:8])", names="params").replace("loss = ", "value = ")
        .replace("tape(loss", "tape(value"),
    ),
    "article": Example(
        "As in Keras",
        LOSS.format(
            loss="tg.nn.functional.binary_cross_entropy(\n        "
            "model(tg.tensor(X_test.to_numpy()[:8], dtype=tg.float32)), "
            "tg.tensor(y_test.to_numpy()[:8, None], dtype=tg.float32)\n    )",
            names="model",
        ),
    ),
    "cnn_digits": Example(
        "Convolutions on digits",
        LOSS.format(loss="F.cross_entropy(model(x_test[:4]), t_test[:4])", names="model"),
        recorded=True, runs=False,
    ),
    "cnn_mnist": Example(
        "Convolutions on MNIST",
        LOSS.format(loss="F.cross_entropy(model(tg.tensor(x_test[:4])), tg.tensor(y_test[:4]))", names="model"),
        recorded=True, runs=False,
    ),
    "gpt_python": Example(
        "A GPT that writes Python",
        LOSS.format(
            loss="F.cross_entropy(\n        model(tg.tensor(rows[:1, :8])).reshape(8, len(LETTERS)), "
            "tg.tensor(rows[:1, 1:9].ravel())\n    )",
            names="model",
        ),
        argv=("2", "10"), recorded=True,
    ),
    "lstm_sunspots": Example(
        "An LSTM on sunspots", LOSS.format(loss="F.mse_loss(model(x_train[:4]), y_train[:4])", names="model"),
        recorded=True, runs=False,
    ),
    "vae_digits": Example(
        "A variational autoencoder of digits",
        LOSS.format(loss="loss_of(x_test[:4])", names="{'encoder': encoder, 'decoder': decoder}"),
        argv=("2",), recorded=True,
    ),
    "physics_heat": Example(
        "The heat equation, learnt from itself",
        LOSS.format(loss="(residual(drawn(4), drawn(4)) ** 2).mean()", names="model"), argv=("20",), recorded=True,
    ),
}  # fmt: skip


def source(name: str) -> str:
    """An example as sphinx-gallery takes it: its heading, its text, its code, its recorded output and its tape."""
    example = EXAMPLES[name]
    code = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(code)
    text = ast.get_docstring(tree)
    assert text and isinstance(tree.body[0], ast.Expr)
    body = "".join(code.splitlines(keepends=True)[tree.body[0].end_lineno :]).strip("\n")
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    text = re.sub(r"\n\n((?: {4}.*\n?)+)", r"\n\n::\n\n\1\n", text)
    parts = [f'"""\n{example.title}\n{"=" * len(example.title)}\n\n{text}\n"""\n\n{body}\n']
    if example.recorded:
        parts.append(comment("What a full run prints", recorded(name)))
    if example.tail and example.runs:
        parts.append(comment("The tape of one more loss", "") + example.tail + "\n")
    return "\n".join(parts)


def recorded(name: str) -> str:
    """The output of a full run, as a literal block."""
    text = (HERE / "recorded" / f"{name}.txt").read_text(encoding="utf-8").rstrip()
    return "::\n\n" + "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def comment(title: str, text: str) -> str:
    """A text block of sphinx-gallery."""
    lines = [title, "-" * len(title), "", *text.splitlines()]
    return "# %%\n" + "".join(f"# {line}".rstrip() + "\n" for line in lines)


def write(folder: Path) -> None:
    """Write the gallery's sources, which sphinx-gallery reads."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{'' if EXAMPLES[name].runs else 'shown_'}{name}.py": source(name) for name in EXAMPLES}
    texts["GALLERY_HEADER.rst"] = (
        "Gallery\n=======\n\nThe programs of the folder ``examples``. Where one ran for its page, it ends in the tape "
        "of its loss.\n"
    )
    for path in folder.iterdir():
        if path.is_file() and path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def arguments(conf: Any, script: dict[str, Any]) -> list[str]:
    return list(EXAMPLES[Path(script["src_file"]).stem.removeprefix("shown_")].argv)


def heading_order(name: str) -> int:
    """The order of the examples on the page: that of the table."""
    return list(EXAMPLES).index(Path(name).stem.removeprefix("shown_"))


BUILD = ROOT / "docs" / "_build"
CONF: dict[str, Any] = {
    "examples_dirs": str(BUILD / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(?!shown_)[^/]*\.py$",
    "ignore_pattern": r"__init__\.py",
    "reset_argv": "gallery.arguments",
    "within_subsection_order": "gallery.heading_order",
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 10**6,
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "copyfile_regex": "",
    "image_scrapers": (),
    "reset_modules": (),
    "write_computation_times": False,
}
