"""Every row of the table: against the formula and Keras, in every dtype, to the minimum, and on from a saved state."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optimizer_rows import ON_ROWS, ROWS, by_formula, give, gradients, parameters, starts, trained

import tapegrad as tg
from tapegrad import optim
from tapegrad.autograd.recorder import Recorder

every_row = pytest.mark.parametrize("row", **ON_ROWS)


# ---- the table itself ----
def test_every_optimizer_and_every_option_has_a_row():
    covered = {(row.make, option) for row in ROWS for option in row.options}
    for kind in optim.BY_NAME.values():
        assert any(row.make is kind for row in ROWS), f"{kind.__name__} has no row"
        missing = {
            option
            for option in kind.options.keys() - {"dampening"}  # which only test_forms.py's rows have
            if not any((k, option) in covered for k in (kind, *kind.__bases__))
        }
        assert not missing, f"{kind.__name__}: no row sets {missing}"
    assert set(optim.Optimizer.shared) - {"form"} <= {option for _, option in covered}


def test_names_are_unique():
    assert len({row.name for row in ROWS}) == len(ROWS)


# ---- the numbers ----
@every_row
def test_follows_the_formula(row):
    ours, _ = trained(row, 100)
    for name, expected in by_formula(row, 100).items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-11, atol=1e-13)


SPELT_IN_KERAS = {"lr": "learning_rate", "eps": "epsilon"}
NOT_IN_KERAS = {"maximize", "form", "dampening", "momentum_decay", "matrices"}
IN_KERAS = [row for row in ROWS if row.keras]


@pytest.mark.parametrize("row", IN_KERAS, ids=[row.name for row in IN_KERAS])
@pytest.mark.tensorflow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 2e-5)])
def test_follows_keras_step_by_step(row, dtype, tolerance, monkeypatch):
    """100 steps from equal weights with equal gradients.

    Keras keeps the learning rate in its floatx, float32 unless told, and takes momentum and betas, which are Python
    floats, to the weights' dtype by way of a float32. So floatx is set to the weights' dtype, and every number given
    to both is one that float32 holds exactly; otherwise the two would be 1e-8 apart from the first step. Nadam's
    0.96 goes through a float32 at one of its two places in Keras: here it is exact at both.
    """
    keras, tensorflow = pytest.importorskip("keras"), pytest.importorskip("tensorflow")
    cast = keras.src.ops.cast
    monkeypatch.setattr(
        keras.src.ops,
        "cast",
        lambda x, dtype: tensorflow.constant(x, dtype) if type(x) is float and x == 0.96 else cast(x, dtype),
    )
    options = {k: v for k, v in row.make(**row.options).defaults.items() if v is not None}
    options = {k: v for k, v in options.items() if k not in NOT_IN_KERAS}
    options = {k: v if isinstance(v, (bool, int)) else float(np.float32(v)) for k, v in options.items()}
    of_adam = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2"} if row.keras == "Muon" else {}
    not_there = {"amsgrad"} if row.keras == "Muon" else set()
    params = parameters(starts(dtype))
    ours = row.make(params, **options, maximize="maximize" in row.options)
    floatx = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        theirs = getattr(keras.optimizers, row.keras)(
            **{{**SPELT_IN_KERAS, **of_adam}.get(k, k): v for k, v in options.items() if k not in not_there}
        )
        variables = [keras.Variable(value, dtype=dtype) for value in starts(dtype).values()]
        theirs.build(variables)
        apply = tensorflow.function(lambda grads: theirs.apply(grads, variables))
        for t, grads in enumerate(gradients(100, dtype), 1):
            give(params, grads)
            ours.step()
            sign = -1 if "maximize" in row.options else 1
            apply([tensorflow.constant(sign * g) for g in grads.values()])
            for (name, p), variable in zip(params.items(), variables):
                expected = keras.ops.convert_to_numpy(variable.value)
                worst = np.max(np.abs(p.numpy() - expected) / (np.abs(expected) + 0.01))
                assert worst <= tolerance, f"step {t}, {name}: relative difference {worst:.1e}"
    finally:
        keras.config.set_floatx(floatx)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("kind", "name"),
    dict.fromkeys((row.make, row.keras) for row in IN_KERAS),
    ids=lambda x: getattr(x, "__name__", x),
)
def test_defaults_are_keras(kind, name):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers, name)().get_config()
    if name == "Muon":  # where Adam's options are called so
        theirs |= {"beta_1": theirs["adam_beta_1"], "beta_2": theirs["adam_beta_2"], "amsgrad": False}
    for name, value in kind().defaults.items():
        if name not in NOT_IN_KERAS:
            assert value == pytest.approx(theirs[SPELT_IN_KERAS.get(name, name)]), name


@every_row
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_keeps_the_dtype(row, dtype):
    """float64 next to float32 would show in the result's dtype; what float32 loses, in its distance from float64."""
    options = {"eps": 1e-3} if "eps" in row.make.options and dtype == "float16" else {}
    ours, opt = trained(row, 20, dtype, **options)
    exact, _ = trained(row, 20, **options)
    tolerance = {"float16": 2e-2, "float32": 1e-5, "float64": 0}[dtype]
    for name, value in ours.items():
        assert value.dtype == dtype
        np.testing.assert_allclose(value, exact[name], rtol=tolerance, atol=tolerance)
    assert {t.dtype for name, t in opt.state_dict().items() if "." in name} <= {np.dtype(dtype)}


@every_row
def test_first_step_goes_downhill(row):
    """The update against the gradient's sign, whatever the gradient's size."""
    for size in (1e-3, 1.0, 1e3):
        p = tg.tensor([1.0, -1.0], dtype="float64", requires_grad=True)
        opt = row.optimizer([p], weight_decay=None)
        p.grad = tg.tensor([size, -size], dtype="float64")
        opt.step()
        assert (np.sign(p.numpy() - [1, -1]) == ([1, -1] if row.options.get("maximize") else [-1, 1])).all()


def test_centered_rmsprop_survives_rounding():
    """Of an unchanging gradient the variance is 0, and what rounding makes of it falls below -eps for some: Keras's
    weights are NaN then."""
    g = np.random.default_rng(0).normal(size=1000).astype("float32")
    p = tg.zeros((1000,)).requires_grad_()
    opt = optim.RMSprop([p], rho=0.5, centered=True)
    for _ in range(60):
        p.grad = tg.tensor(g)
        opt.step()
    assert (np.sign(p.numpy()) == -np.sign(g)).all()


# ---- to the minimum ----
def minimize(row, f, start, lr, steps):
    x = tg.tensor(start, dtype="float64", requires_grad=True)
    opt = row.optimizer([x], lr=lr)
    for _ in range(steps):
        value = f(x)
        opt.zero_grad()
        (-value if row.options.get("maximize") else value).backward()
        opt.step()
    return f(x).item()


@every_row
def test_finds_the_minimum_of_a_parabola(row):
    centre = tg.tensor([1.0, -2.0, 3.0], dtype="float64")
    value = minimize(row, lambda x: ((x - centre) ** 2).sum(), [0.0, 0.0, 0.0], row.parabola, 400)
    # From 14.
    assert value < (0.3 if row.make().defaults["weight_decay"] or "weight_decay" in row.options else 1e-3)


@every_row
def test_finds_the_minimum_of_rosenbrocks_valley(row):
    def f(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    assert minimize(row, f, [0.6, 0.2], row.rosenbrock, 500) < 0.1  # from 2.7


# ---- saved and resumed ----
@every_row
def test_resumes_to_equal_bits(row, tmp_path):
    """10 steps at once, and 5, saved, 5 more in a new optimizer: the same bits in parameters and state."""
    for dtype in ("float32", "float64"):
        whole, opt = trained(row, 10, dtype)
        half, first = trained(row, 5, dtype)
        saved = {name: t.numpy() for name, t in first.state_dict().items()}
        params = parameters(half)
        second = row.optimizer(params)
        second.load_state_dict(saved)
        for grads in gradients(10, dtype)[5:]:
            give(params, grads)
            second.step()
        assert second.steps == opt.steps == 10
        for name, p in params.items():
            assert p.numpy().tobytes() == whole[name].tobytes()
        a, b = opt.state_dict(), second.state_dict()
        assert list(a) == list(b)
        assert all(a[name].numpy().tobytes() == b[name].numpy().tobytes() for name in a)


CONTINUE = """
import sys
sys.path.insert(0, sys.argv[2])
from optimizer_rows import ROWS, give, gradients
import tapegrad as tg
for row in ROWS:
    params = {n: t.requires_grad_() for n, t in tg.load(f"{sys.argv[1]}/{row.name}.params").items()}
    params = {n: params[n] for n in ("kernel", "bias", "scale")}
    opt = row.optimizer(params)
    opt.load_state_dict(tg.load(f"{sys.argv[1]}/{row.name}.state"))
    for grads in gradients(10, "float32")[5:]:
        give(params, grads)
        opt.step()
    tg.save(f"{sys.argv[1]}/{row.name}.done", params | opt.state_dict())
"""


def test_resumes_to_equal_bits_in_a_new_process(tmp_path):
    for row in ROWS:
        params, opt = trained(row, 5, "float32")
        tg.save(tmp_path / f"{row.name}.params", params)
        tg.save(tmp_path / f"{row.name}.state", opt.state_dict())
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, str(tmp_path), here], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for row in ROWS:
        params, opt = trained(row, 10, "float32")
        expected = params | {name: t.numpy() for name, t in opt.state_dict().items()}
        found = tg.load(tmp_path / f"{row.name}.done")
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name].numpy().tobytes() == value.tobytes(), (row.name, name)


# ---- on other backends ----
def compare_with_numpy(row, device, dtype, tolerance):
    expected, reference = trained(row, 20, dtype)
    found, opt = trained(row, 20, dtype, device)
    assert all(flat.device.startswith(device) for flat in opt.flats)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance)
    other = opt.state_dict()
    for name, t in reference.state_dict().items():
        np.testing.assert_allclose(other[name].numpy(), t.numpy(), rtol=tolerance, atol=tolerance)


@every_row
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_runs_on_the_strict_backend(row, dtype):
    import strict_backend

    strict_backend.register()
    compare_with_numpy(row, "strict:1", dtype, 1e-12)


@every_row
@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-2), ("float32", 1e-5), ("float64", 1e-12)])
def test_runs_on_the_gpu(row, dtype, tolerance, gpu):
    compare_with_numpy(row, "cuda:0", dtype, tolerance)


@every_row
def test_a_recorder_hears_the_update(row):
    """While something records, the update goes through primitives on Tensors, with the same bits as a result."""
    expected, _ = trained(row, 3)
    heard = []
    listener = Recorder()
    listener.primitive = lambda primitive, *_: heard.append(primitive.name)
    with tg.autograd.flags.changed_flags(recorder=listener):
        params = parameters(starts())
        opt = row.optimizer(params)
        for grads in gradients(3):
            give(params, grads)
            opt.step()
    for name, p in params.items():
        np.testing.assert_array_equal(p.numpy(), expected[name])
    assert "subtract" in heard or "add" in heard


# ---- what is written about them ----
@pytest.mark.parametrize("kind", optim.BY_NAME.values(), ids=list(optim.BY_NAME))
def test_says_what_it_does_in_a_small_file(kind):
    assert " = " in kind.__doc__, "the formula"
    assert "torch" in kind.__doc__ or "PyTorch" in kind.__doc__, "and how PyTorch's form differs"
    written = inspect.getsource(inspect.getmodule(kind)).splitlines()
    assert len(written) - len(kind.__doc__.splitlines()) <= 60
