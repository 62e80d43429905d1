"""The emitted source is for people: names, lines, rules and shapes; tracebacks and debuggers show it; and saved to a
file it runs where tapegrad is not."""

import ast
import io
import linecache
import pdb
import re
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting
from compiler_steps import T, X, batches, make, step_of
from tapegrad.compiler.errors import JitWarning
from tapegrad.compiler.record.labels import Labels

jit = partial(tg.jit, emitter="numpy")


def trained_step(wrap: Any = jit, steps: int = 2, **how: Any) -> Any:
    step = wrap(step_of(*make(**how)))
    for x, t in batches(steps):
        step(x, t)
    return step


# ---- to be read ----
@pytest.mark.parametrize("emitter", EMITTERS)
def test_source_names_what_the_user_knows(emitter: str) -> None:
    wrap = emitting(emitter)
    text = trained_step(wrap).source()
    for path in (
        "layers_0_kernel",
        "layers_0_bias",
        "layers_1_kernel",
        "layers_2_bias",
        "parameters",
        "learning_rate",
        "m",
        "v",
    ):
        assert re.search(rf"\b{path}\b", text), path
    assert re.search(r"def step\((given_)?x, (given_)?t\):", text)
    assert "step_of, as recorded" not in text and '"""step, as recorded' in text
    for rule in ("linear", "dense_tanh", "dense_relu", "binary_cross_entropy_with_logits"):
        assert f"gradient of {rule}]" in text, rule
    assert "[Adam]" in text
    for line in ("loss = F.binary_cross_entropy_with_logits(model(x), t)", "loss.backward()", "opt.step()"):
        assert re.search(rf"# compiler_steps\.py:\d+: {re.escape(line)}", text), line
    assert "float32[16, 8]" in text


@pytest.mark.parametrize("emitter", EMITTERS)
def test_its_head_is_laid_out_to_be_read(emitter: str) -> None:
    """The imports and the arguments of `build`; two empty lines at most stand between functions."""
    text = trained_step(emitting(emitter)).source()
    head = text.partition("    # buffers")[0]
    assert "    layers_0_kernel," in head, "one line does not hold the arguments"
    assert max(map(len, head.splitlines())) <= 110
    assert "\n\n\n\n" not in text


@pytest.mark.parametrize("emitter", EMITTERS)
def test_every_name_in_it_is_used(emitter: str) -> None:
    wrap = emitting(emitter)
    tree = ast.parse(trained_step(wrap).source())
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made, used = ({n.id for n in names if isinstance(n.ctx, kind)} for kind in (ast.Store, ast.Load))
    imported = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert len(made) > 20 and made | imported <= used, (made | imported) - used


def test_every_line_says_where_it_is_from_and_what_it_makes() -> None:
    lines = trained_step().source().partition("def step(")[2].splitlines()[1:]
    lines = [line.strip() for line in lines if line.startswith("        ") and "return" not in line]
    assert lines[0].startswith("# compiler_steps.py:")
    assert all(re.search(r"  # \w+\[[\d, ]*\]$", line) for line in lines if not line.startswith("#"))
    for line in lines:
        if (place := re.match(r"# (\w+\.py):(\d+): (.*?)   \[.+\]$", line)) is not None:
            named = Path(__file__).parent.parent / place[1]
            assert linecache.getline(str(named), int(place[2])).strip() == place[3]
        elif line.startswith("#"):
            assert re.fullmatch(r"# (\[.+\]|\d\S+: about the largest float32 .+)", line), line
    assert sum(line.startswith("#") for line in lines) >= 10


def test_names_of_functional_parameters_and_of_several_models() -> None:
    first, second = make()[0], make()[0]
    both = jit(lambda x: first(x) + second(x))
    step = jit(lambda params, x: tg.tanh(x @ params["w"]) + params["b"][0])
    with tg.no_grad():
        both(tg.tensor(X))
        step({"w": tg.tensor(X.T), "b": [tg.tensor(1.0)]}, tg.tensor(X))
    assert "first_layers_0_kernel" in both.source() and "second_layers_2_bias" in both.source()
    assert "def step(params_w, params_b_0, x):" in step.source()


def test_what_each_pass_did() -> None:
    step = trained_step()
    passes, _, lines = step.explain().partition("\n\n")
    table = passes.splitlines()
    texts = {name: str(program) for name, program in step.shown().runner.history}
    changed = [
        name for name, before in zip(texts, ["", *texts.values()], strict=False) if texts[name] != before
    ]
    assert [line[:26].strip() for line in table[1:-1]] == changed and 2 < len(changed) < len(texts)
    before, after = (int(table[i].split()[1]) for i in (1, -2))
    assert 0 < after < before
    assert table[-1].startswith("fused, in ") and 0 < int(table[-1].split()[-2]) < after
    assert "matmul" in step.program("recorded") and step.program() == step.program("scalars")
    head, *rows = lines.splitlines()
    assert "times" not in head  # no row stands for several
    counted = [line.split(maxsplit=2) for line in rows]
    assert sum(int(count) for count, _, _ in counted) == after
    assert any(where.endswith("opt.step()") for _, _, where in counted)


# ---- in tracebacks and debuggers ----
def test_tracebacks_show_the_programs_line() -> None:
    f = jit(lambda x, i: x[i])
    for _ in range(2):
        f(tg.tensor([1.0, 2.0]), tg.tensor([0]))
    with pytest.raises(IndexError) as caught:
        f(tg.tensor([1.0, 2.0]), tg.tensor([7]))
    assert "take_at = x[i]" in "".join(traceback.format_exception(caught.value))


def test_a_tracer_sees_its_lines() -> None:
    step, seen = trained_step(), []

    def tracer(frame: Any, event: str, value: Any) -> Any:
        if not frame.f_code.co_filename.startswith("<tg.jit step ") or frame.f_code.co_name != "step":
            return None
        if event == "line":
            seen.append(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())
        return tracer

    usual = sys.gettrace()
    sys.settrace(tracer)
    try:
        step(*batches(1)[0])
    finally:
        sys.settrace(usual)
    wanted = [line.strip() for line in step.source().partition("def step(")[2].splitlines()[1:]]
    assert seen == [line for line in wanted[: wanted.index("")] if not line.startswith("#")]


def test_a_debugger_stops_in_it() -> None:
    step, said = trained_step(), io.StringIO()
    code = step.shown().runner.step.__code__
    line = next(
        n
        for n, text in enumerate(step.source().splitlines(), 1)
        if "tanh(" in text and n > code.co_firstlineno
    )
    commands = io.StringIO("continue\np x.shape\nnext\nwhere\ncontinue\n")
    debugger = pdb.Pdb(stdin=commands, stdout=said, nosigint=True, readrc=False)
    usual = sys.gettrace()
    try:
        assert debugger.set_break(code.co_filename, line) is None
        loss = debugger.runcall(step, *batches(1)[0])
    finally:
        debugger.clear_all_breaks()
        sys.settrace(usual)
    assert loss.shape == () and "(16, 6)" in said.getvalue()
    assert f"-> {step.source().splitlines()[line - 1].strip()}" in said.getvalue()


# ---- away from tapegrad ----
@pytest.fixture(scope="module")
def numpy_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NumPy in it, and nothing else that is installed here."""
    site = tmp_path_factory.mktemp("site")
    for found in Path(np.__file__).parent.parent.glob("numpy*"):
        (site / found.name).symlink_to(found)
    return site


RUN = """
import sys
sys.path[:0] = [{site!r}, {folder!r}]
import numpy as np
try:
    import tapegrad
except ImportError:
    pass
else:
    raise SystemExit("tapegrad is here")
from step import open_step
given, found = np.load({folder!r} + "/given.npz"), {{}}
step = open_step()
for call in range(int(given["calls"])):
    results = step(*(given[f"{{call}}_{{i}}"] for i in range(int(given["arguments"]))))
    found |= {{f"{{call}}_{{i}}": r for i, r in enumerate(results)}}
np.savez({folder!r} + "/found.npz", **found, **{{"after_" + n: a for n, a in step.arrays.items()}})
"""


def away(step: Any, calls: list[list[Any]], folder: Path, site: Path) -> dict[str, np.ndarray]:
    """What the saved file makes of further calls: results by call and number, and the arrays it holds after them."""
    step.save(str(folder / "step.py"))
    given = {f"{call}_{i}": x.numpy() for call, xs in enumerate(calls) for i, x in enumerate(xs)}
    np.savez(folder / "given.npz", calls=len(calls), arguments=len(calls[0]), **given)
    program = RUN.format(site=str(site), folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd="/", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr + (folder / "step.py").read_text()
    with np.load(folder / "found.npz", allow_pickle=False) as found:
        return dict(found)


def pytorch_style(wrap: Any) -> tuple[Any, list[list[Any]], Any]:
    """(step, arguments of each call, what it changes by name)"""
    model, opt = make(global_clipnorm=0.5)
    changed = {path.replace(".", "_"): p for path, p in model.named_parameters()}
    return wrap(step_of(model, opt)), [list(b) for b in batches(6)], lambda: changed


def functional(wrap: Any) -> tuple[Any, list[list[Any]], Any]:
    def loss(params: Any, x: Any, t: Any) -> Any:
        return ((tg.tanh(x @ params["w"]) @ params["v"] - t) ** 2).mean()

    def step(w: Any, v: Any, x: Any, t: Any) -> Any:
        value, g = tg.value_and_grad(loss)({"w": w, "v": v}, x, t)
        return value, w - 0.1 * g["w"], v - 0.1 * g["v"]

    rng = np.random.default_rng(0)
    weights = [tg.tensor(rng.normal(size=s).astype("float32")) for s in ((6, 4), (4, 1))]
    calls = [[weights[0] * (i + 1.0), weights[1], tg.tensor(X), tg.tensor(T)] for i in range(6)]
    return wrap(step), calls, dict


def inference(wrap: Any) -> tuple[Any, list[list[Any]], Any]:
    model, _ = make()
    predict = wrap(tg.no_grad()(lambda x: (tg.softmax(model(x), axis=0), tg.argmax(model(x), axis=0))))
    return predict, [[tg.tensor(X * (i + 1.0))] for i in range(6)], dict


def memory_in_common(wrap: Any) -> tuple[Any, list[list[Any]], Any]:
    whole, file = tg.tensor(np.arange(12.0).reshape(3, 4)), tg.tensor(1.0, dtype="float64")
    part, turned = tg.tensor([0.0]), tg.tensor([0.0])
    whole.data = whole.data.T.copy().T
    part.data, turned.data = whole.data[1:, ::2], whole.data.T

    def step(x: Any) -> Any:
        part.assign(part * x + file)
        before = turned.sum(axis=0)
        whole.assign(whole + 1.0)
        return before, part.T @ part

    changed = {"whole": whole, "part": part, "turned": turned}
    return wrap(step), [[tg.tensor(2.0, dtype="float64")] for _ in range(6)], lambda: changed


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize(
    "kind", [pytorch_style, functional, inference, memory_in_common], ids=lambda k: k.__name__
)
def test_the_saved_file_runs_without_tapegrad(
    kind: Any, emitter: str, tmp_path: Path, numpy_alone: Path
) -> None:
    """To the same bits: results, and what it changes, over several calls. By whichever emitter the step runs, the file
    is what the one for NumPy writes."""
    wrap = emitting(emitter)
    step, calls, _ = kind(wrap)
    for xs in calls[:3]:
        step(*xs)
    assert step.stats()["programs"] == [emitter]
    found = away(step, calls[3:], tmp_path, numpy_alone)
    step, calls, changed = kind(jit)
    for xs in calls[:3]:
        step(*xs)
    want = {}
    for call, xs in enumerate(calls[3:]):
        results = step(*xs)
        results = results if isinstance(results, tuple) else (results,)
        want |= {f"{call}_{i}": r.numpy() for i, r in enumerate(results)}
    want |= {f"after_{name}": p.numpy() for name, p in changed().items()}
    for name, array in want.items():
        if emitter == "numpy":
            assert found[name].tobytes() == array.tobytes(), name
        else:  # the first three calls were rounded otherwise
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)


def test_the_saved_file_is_short_and_its_arrays_are_no_pickle(tmp_path: Path) -> None:
    step = trained_step()
    step.save(str(tmp_path / "step.py"))
    text = (tmp_path / "step.py").read_text()
    assert text.startswith(step.source()) and "import tapegrad" not in text and "from tapegrad" not in text
    with np.load(tmp_path / "step.npz", allow_pickle=False) as saved:
        options = {"learning_rate", "beta_1", "beta_2", "eps"}
        assert {"parameters", "m", "v", "steps", *options} == set(saved.files)  # each weight once


def test_random_numbers_away_from_tapegrad(tmp_path: Path, numpy_alone: Path) -> None:
    """Other ones, from the same distribution."""
    f = jit(lambda x: tg.nn.functional.dropout(x, 0.25))
    x = tg.ones((100, 100))
    f(x)
    found = away(f, [[x], [x]], tmp_path, numpy_alone)
    for call in ("0_0", "1_0"):
        assert abs((found[call] == 0).mean() - 0.25) < 0.02 and set(np.unique(found[call])) == {
            0,
            np.float32(1 / 0.75),
        }
    assert (found["0_0"] != found["1_0"]).any()


def test_another_case_than_recorded_away_from_tapegrad(tmp_path: Path, numpy_alone: Path) -> None:
    """A check that fails is an error there, since nothing else could run."""
    f = jit(lambda x, labels: tg.nn.functional.cross_entropy(x, labels))
    x, labels = tg.tensor(np.ones((2, 3))), tg.tensor([0, 2])
    f(x, labels)
    with pytest.raises(AssertionError, match=r"LookupError: guard: .*another case than recorded"):
        away(f, [[x, tg.tensor([0, 5])]], tmp_path, numpy_alone)


def test_what_is_not_compiled_is_not_saved(tmp_path: Path) -> None:
    w = tg.tensor([1.0], requires_grad=True)
    f = jit(lambda x: x * w)
    with pytest.warns(JitWarning, match="can be differentiated"):
        f(tg.tensor([2.0]))
    with pytest.raises(ValueError, match=r"save: there is no program, .* can be differentiated"):
        f.save(str(tmp_path / "step.py"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["multiply_from_zero", "divide_from_zero", "index_add", "draw"])
def test_no_array_is_called_like_a_function_of_the_source(name: str) -> None:
    assert Labels().unique(name) != name
