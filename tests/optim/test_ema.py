"""EMA and Plateau: against their recurrence and PyTorch, eager and compiled, saved and resumed."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

X = tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))


class Training:
    def __init__(self, how: str | None, warmup: bool = False) -> None:
        tg.manual_seed(3)
        self.layer = tg.nn.Dense(1, in_features=3)
        self.opt, self.ema = optim.SGD(self.layer, lr=0.1), optim.EMA(self.layer, 0.75, warmup)
        self.step = self.train if how is None else tg.jit(self.train, emitter=how, strict=True)
        self.seen = [self.values()]

    def train(self) -> None:
        loss = ((self.layer(X) - 1.0) ** 2).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.ema.update()

    def values(self) -> list[np.ndarray]:
        return [p.numpy() for p in self.layer.parameters()]

    def run(self, steps: int) -> list[bytes]:
        for _ in range(steps):
            self.step()
            self.seen.append(self.values())
        return [t.numpy().tobytes() for t in self.ema.state_dict().values()]


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("how", [None, "numpy", "native"])
def test_follows_the_recurrence(how: str | None, warmup: bool) -> None:
    if how == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    training = Training(how, warmup)
    training.run(30)
    for i, average in enumerate(training.ema.averages.values()):
        expected = np.float64(training.seen[0][i])
        for n, values in enumerate(training.seen[1:], 1):
            decay = min(0.75, (1 + n) / (10 + n)) if warmup else 0.75
            expected = decay * expected + (1 - decay) * values[i]
        np.testing.assert_allclose(average.numpy(), expected, rtol=1e-5)
    if how is not None:
        assert training.step.stats()["recordings"] == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", [None, "numpy", "native"])
def test_small_steps_of_float16_are_not_rounded_away(how: str | None) -> None:
    p = tg.nn.Parameter(tg.tensor([1.0], dtype="float16"))
    ema = optim.EMA([p], 0.999)
    p.assign([2.0])
    update = ema.update if how is None else tg.jit(lambda: ema.update(), emitter=how)
    for _ in range(2000):
        update()
    right = 2.0 - 0.999**2000
    assert abs(ema.averages["0"].item() - right) < 1e-4
    kept = ema.state_dict()
    ema.load_state_dict(kept)
    with ema.applied():
        assert p.dtype == tg.float16 and abs(p.item() - right) < 1e-3
    assert p.item() == 2.0


@pytest.mark.parametrize("how", [None, "numpy"])
def test_applied_and_put_back(how: str | None) -> None:
    training, still = Training(how), Training(how)
    for t in (training, still):
        t.run(5)
    own = training.values()
    with pytest.raises(KeyError), training.ema.applied():
        for p, average in zip(training.layer.parameters(), training.ema.averages.values()):
            assert p.tolist() == average.tolist()
        raise KeyError
    assert all((a == b).all() for a, b in zip(own, training.values()))
    assert training.run(5) == still.run(5)
    training.ema.copy_to_parameters()
    assert training.values()[0].tolist() == next(iter(training.ema.averages.values())).tolist()


@pytest.mark.parametrize("how", [None, "numpy"])
def test_a_step_inside_applied_is_not_lost_silently(how: str | None) -> None:
    training = Training(how)
    training.run(5)
    own = training.values()
    message = "were changed inside, and have the values from before again"
    with pytest.raises(RuntimeError, match=message), training.ema.applied():
        training.run(1)
    assert all((a == b).all() for a, b in zip(own, training.values()))


@pytest.mark.parametrize("how", [None, "numpy"])
def test_resumes_to_equal_bytes(how: str | None) -> None:
    expected = Training(how, True).run(10)
    first, second = Training(how, True), Training(how, True)
    first.run(5)
    for part in ("layer", "opt", "ema"):
        getattr(second, part).load_state_dict(getattr(first, part).state_dict())
    assert second.run(5) == expected
    with pytest.raises(ValueError, match="missing: updates"):
        second.ema.load_state_dict({})
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        optim.EMA(second.layer, 1.0)


def losses() -> list[float]:
    rng = np.random.default_rng(5)
    return [float(v) for v in np.maximum(1.0, 5.0 - np.arange(60) / 5) + 0.05 * rng.normal(size=60)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 2, "factor": 0.5},
        {"patience": 0, "cooldown": 3, "minimum": 1e-3},
        {"mode": "max", "patience": 3, "threshold": 0.1},
    ],
)
def test_plateau_follows_pytorch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, **{{"minimum": "min_lr"}.get(name, name): value for name, value in options.items()}, eps=0.0
    )
    opt = optim.SGD([tg.tensor([1.0], requires_grad=True)], lr=1.0)
    plateau = optim.Plateau(opt, **options)
    for loss in losses():
        schedule.step(loss)
        plateau.update(loss)
        assert opt.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


def test_plateau_by_hand_and_resumed() -> None:
    def made() -> tuple[Any, Any]:
        opt = optim.SGD(
            [{"params": [tg.tensor([1.0], requires_grad=True)]} for _ in range(2)], lr=1.0, momentum=0.5
        )
        return opt, optim.Plateau(opt, "momentum", 0.5, patience=1, groups=[1])

    opt, plateau = made()
    assert [plateau.update(v) for v in (3.0, 3.0, 3.0, 2.0, 2.0, 2.0)] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]
    assert [group.momentum for group in opt.groups] == [0.5, 0.125]
    _, other = made()
    plateau.update(2.0)
    other.load_state_dict(plateau.state_dict())
    assert other.state_dict()["best"].item() == 2.0 and other.update(2.0)
    for bad in ({"factor": 2.0}, {"mode": "least"}, {"option": "rho"}):
        with pytest.raises(ValueError, match="Plateau"):
            optim.Plateau(opt, **bad)
    with pytest.raises(ValueError, match=r"Plateau\.load_state_dict"):
        plateau.load_state_dict({})
