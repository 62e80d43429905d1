"""L-BFGS: the recurrence step by step, PyTorch's numbers, SciPy's minimum, compiled closures, saved and resumed."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

START = {"a": np.array([-1.2, 1.0]), "b": np.array([[0.5], [2.0]])}


def rosenbrock(x: Any, y: Any) -> Any:
    return 100 * (y - x**2) ** 2 + (1 - x) ** 2


def loss_of(params: dict[str, Any]) -> Any:
    a, b = params["a"], params["b"]
    return rosenbrock(a[0], a[1]) + rosenbrock(b[0, 0], b[1, 0])


class Training:
    def __init__(self, emitter: str | None = None, **options: Any) -> None:
        self.params = {n: tg.tensor(v, requires_grad=True) for n, v in START.items()}
        self.opt = optim.LBFGS(self.params, **options)
        self.calls = 0
        self.f = self.loss if emitter is None else tg.jit(self.loss, emitter=emitter, strict=True)

    def loss(self) -> Any:
        self.opt.zero_grad()
        value = loss_of(self.params)
        value.backward()
        return value.detach()

    def closure(self) -> Any:
        self.calls += 1
        return self.f()

    def run(self, steps: int) -> list[bytes]:
        for _ in range(steps):
            self.opt.step(self.closure)
        return [t.numpy().tobytes() for t in (*self.params.values(), *self.opt.state_dict().values())]


def test_follows_the_recurrence() -> None:
    """The direction as the product of the whole inverse Hessian, built up pair by pair."""

    def at(x: np.ndarray) -> np.ndarray:
        g = []
        for a, b in ((x[0], x[1]), (x[2], x[3])):
            g += [-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)]
        return np.array(g)

    x = np.concatenate([v.ravel() for v in START.values()])
    training, pairs, g = Training(lr=0.1, max_iter=1, history_size=3), [], at(x)
    for n in range(100):
        inverse = (
            np.eye(4)
            if not pairs
            else np.eye(4) * (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
        )
        for s, y in pairs:
            rho = 1 / (y @ s)
            left = np.eye(4) - rho * np.outer(s, y)
            inverse = left @ inverse @ left.T + rho * np.outer(s, s)
        s = -inverse @ g * 0.1 * (1.0 if n else min(1.0, 1 / np.abs(g).sum()))
        x, before = x + s, g
        g = at(x)
        if s @ (g - before) > 1e-10:
            pairs = [*pairs, (s, g - before)][-3:]
        training.run(1)
        found = np.concatenate([p.numpy().ravel() for p in training.params.values()])
        np.testing.assert_allclose(found, x, rtol=1e-6, err_msg=f"step {n}")


OPTIONS: tuple[dict[str, Any], ...] = (
    {"lr": 0.1, "max_iter": 7}, {"lr": 0.5, "max_iter": 4, "history_size": 2}, {"lr": 0.1, "max_iter": 1},
    {"lr": 0.1, "max_iter": 2}, {"lr": 0.1, "max_iter": 3}, {"lr": 0.1, "max_iter": 5, "max_eval": 3},
    {"lr": 0.1, "max_iter": 5, "max_eval": 1},
)  # fmt: skip


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("options", OPTIONS[3:])
def test_ends_at_a_point_that_the_closure_has_seen(options: dict[str, Any], line_search: str | None) -> None:
    training, seen = Training(line_search=line_search, **options), []

    def closure() -> Any:
        seen.append([p.tolist() for p in training.params.values()])
        return training.closure()

    training.opt.step(closure)
    assert [p.tolist() for p in training.params.values()] in seen


@pytest.mark.parametrize("options", OPTIONS)
def test_follows_pytorch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = {n: torch.tensor(v, requires_grad=True) for n, v in START.items()}
    opt, training = torch.optim.LBFGS(list(theirs.values()), **options), Training(**options)

    def closure() -> Any:
        opt.zero_grad()
        loss = loss_of(theirs)
        loss.backward()
        return loss

    for _ in range(6):
        assert float(opt.step(closure).detach()) == pytest.approx(
            training.opt.step(training.closure).item(), rel=1e-6
        )
        for n, p in training.params.items():
            np.testing.assert_allclose(p.numpy(), theirs[n].detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
def test_finds_the_minimum_as_scipy_does(emitter: str | None) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    training = Training(
        emitter, line_search="strong_wolfe", max_iter=100, max_eval=400, tolerance_change=1e-14
    )
    training.run(1)
    assert loss_of(training.params).item() < 1e-12 and training.calls < 200


def test_resumes_to_equal_bytes(tmp_path: Any) -> None:
    for options in (
        {"lr": 0.1, "max_iter": 3, "history_size": 4},
        {"line_search": "strong_wolfe", "max_iter": 2},
    ):
        expected, first, second = Training(**options).run(8), Training(**options), Training(**options)
        first.run(4)
        tg.save(tmp_path / "state", first.opt.state_dict())
        for n, p in second.params.items():
            tg.Tensor.assign(p.detach(), first.params[n].detach())
        second.opt.load_state_dict(tg.load(tmp_path / "state"))
        assert second.run(4) == expected


def test_float32_and_frozen() -> None:
    model = tg.nn.Sequential(tg.nn.Dense(4, "tanh", in_features=2), tg.nn.Dense(1, in_features=4))
    model.layers[0].bias.requires_grad = False
    x, bias = tg.randn(16, 2), model.layers[0].bias.numpy()
    y = tg.sum(x, axis=1, keepdims=True)
    opt = optim.LBFGS(model, line_search="strong_wolfe")

    def closure() -> Any:
        opt.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        return loss

    first = opt.step(closure).item()
    for _ in range(5):
        last = opt.step(closure).item()
    assert last < 0.01 * first and (model.layers[0].bias.numpy() == bias).all()
    assert all(p.dtype == tg.float32 for p in model.parameters())


def test_what_is_refused() -> None:
    training = Training()
    before = training.run(0)
    for bad in ({"lr": 0.0}, {"max_iter": 0}, {"line_search": "wolfe"}):
        with pytest.raises(ValueError, match="LBFGS: "):
            Training(**bad)
    with pytest.raises(ValueError, match="without groups"):
        optim.LBFGS([{"params": list(training.params.values()), "lr": 0.1}])
    with pytest.raises(TypeError, match="closure: expected a function"):
        training.opt.step(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="returns the loss, one number"):
        training.opt.step(lambda: None)
    with pytest.raises(RuntimeError, match="no parameter has a gradient"):
        training.opt.step(lambda: 1.0)
    with pytest.raises(tg.TraceError, match=r"tg\.jit goes around the closure"):
        tg.jit(lambda: training.opt.step(training.loss), strict=True)()
    with pytest.raises(ValueError, match="expected vectors of 4"):
        training.opt.load_state_dict({n: t.numpy()[..., :1] if t.ndim else t for n, t in
                                      training.opt.state_dict().items()})  # fmt: skip

    def infinite() -> float:
        training.loss()
        return float("inf")

    with pytest.raises(FloatingPointError, match="the loss is inf"):
        training.opt.step(infinite)
    assert training.run(0) == before
