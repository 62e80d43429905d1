"""What has a seed draws from streams of its own, in any thread; all else from those of the process."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import models, nn
from tapegrad.autograd import random
from tapegrad.compiler.errors import JitWarning
from tapegrad.data.splitting import train_test_indices
from tapegrad.models import MLPClassifier, MLPRegressor, Sequential

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
SEEDS = (0, 1, 2, 3)

pytestmark = pytest.mark.usefixtures("soon")


def of_sequential(seed: int, **how: Any) -> list[bytes]:
    # Built in fit, by its seed.
    model = Sequential(nn.Dense(8, "relu"), nn.Dropout(0.4), nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", **how)
    history = model.fit(X, Y, epochs=6, batch_size=16, validation_split=0.2, verbose=0, seed=seed).history
    return [str(history).encode(), *(p.numpy().tobytes() for p in model.parameters())]


def of_estimator(kind: Any, **options: Any) -> Callable[[int], list[bytes]]:
    def fit(seed: int) -> list[bytes]:
        return [kind((8,), epochs=6, random_state=seed, **options).fit(X, Y).predict(X).tobytes()]

    return fit


def checkpointed(seed: int) -> list[bytes]:
    """The mask that the backward pass draws again."""
    with random.own_streams(seed):
        x = tg.tensor(np.ones(300), requires_grad=True)
        dropout = nn.Dropout(0.5)
        y = tg.checkpoint(lambda t: dropout(t) * 1.0)(x)
        y.sum().backward()
        assert (y.numpy() == x.grad.numpy()).all()
        return [y.numpy().tobytes()]


def compiled_draws(seed: int) -> list[bytes]:
    step = tg.jit(lambda x: tg.uniform((50,)) + x)
    with random.own_streams(seed):
        return [step(tg.zeros((50,))).numpy().tobytes() for _ in range(5)]


def eager_draws(seed: int) -> list[bytes]:
    with random.own_streams(seed):
        return [tg.uniform((50,)).numpy().tobytes() for _ in range(5)]


SEEDED: dict[str, Callable[[int], list[bytes]]] = {
    "Sequential.fit": of_sequential,
    "Sequential.fit, eager": lambda seed: of_sequential(seed, run_eagerly=True),
    "MLPClassifier": of_estimator(MLPClassifier),
    "MLPClassifier, early stopping": of_estimator(MLPClassifier, early_stopping=True),
    "MLPRegressor": of_estimator(MLPRegressor),
    "initial weights": lambda seed: [nn.Dense(4, in_features=7).kernel.numpy().tobytes()],
    "checkpoint": checkpointed,
    "draws": eager_draws,
    "draws, compiled": compiled_draws,
    "a split": lambda seed: [part.tobytes() for part in train_test_indices(50, 0.2, seed)],
}  # fmt: skip
WITHOUT_SEED = {"initial weights"}


def seeded(name: str) -> Callable[[int], list[bytes]]:
    if name not in WITHOUT_SEED:
        return SEEDED[name]

    def run(seed: int) -> list[bytes]:
        with random.own_streams(seed):
            return SEEDED[name](seed)

    return run


@pytest.mark.parametrize("name", SEEDED)
def test_side_by_side_they_give_the_bytes_of_single_ones(name: str) -> None:
    """And the caller's stream stands where it stood."""
    run, start = seeded(name), Barrier(len(SEEDS))

    def together(seed: int) -> list[bytes]:
        start.wait()
        return run(seed)

    tg.manual_seed(123)
    before = random.get_state()
    alone = [run(seed) for seed in SEEDS]
    assert random.get_state() == before
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        assert list(pool.map(together, SEEDS)) == alone
    assert random.get_state() == before
    assert len({tuple(result) for result in alone}) == len(SEEDS)
    tg.manual_seed(9)
    assert run(SEEDS[-1]) == alone[-1]


class Net(tg.nn.Module):
    def __init__(self, outputs: int = 1) -> None:
        self.layer = tg.nn.Dense(outputs, in_features=4)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


WITH_CHANCE: dict[str, dict[str, Any]] = {
    "SVC": {},
    "NeuralClassifier": {"module": Net, "module__outputs": 2, "max_epochs": 2},
    "NeuralRegressor": {"module": Net, "max_epochs": 2},
}


def test_every_estimator_with_a_random_state_is_in_the_table() -> None:
    kinds = {
        n for n in models.ESTIMATORS if "random_state" in inspect.signature(getattr(models, n)).parameters
    }
    # These take the parameter, as scikit-learn's do, and draw nothing.
    without_chance = {"ElasticNet", "Lasso", "LinearSVC", "LinearSVR", "LogisticRegression", "Ridge"}
    assert kinds - without_chance == {"MLPClassifier", "MLPRegressor", *WITH_CHANCE}


@pytest.mark.parametrize("name", WITH_CHANCE)
def test_a_random_state_gives_the_same_predictions_and_leaves_the_stream(name: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 4)).astype("float32"), np.arange(40) % 2

    def fitted(seed: int) -> Any:
        model = getattr(models, name)(random_state=seed, **WITH_CHANCE[name]).fit(x, y)
        return (model.decision_function if name == "SVC" else model.predict)(x).tobytes()

    tg.manual_seed(5)
    first, drawn = fitted(1), tg.rand(3).tolist()
    tg.manual_seed(5)
    assert tg.rand(3).tolist() == drawn
    assert fitted(1) == first
    if name != "NeuralClassifier":  # whose classes may agree by chance
        assert fitted(2) != first


def test_the_same_seed_gives_the_same_numbers_eager_and_compiled() -> None:
    assert eager_draws(4) == compiled_draws(4)
    assert of_sequential(4, emitter="numpy") == of_sequential(4, run_eagerly=True)


# ---- the streams of the process ----
def test_new_threads_draw_from_the_process_and_no_draw_comes_twice() -> None:
    tg.manual_seed(0)
    found: list[bytes] = []

    def draw() -> None:
        found.extend(tg.uniform((4,)).numpy().tobytes() for _ in range(200))

    with random.own_streams(5):  # which new threads have no part in
        threads = [Thread(target=draw) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert random.draws() == 0
    assert random.draws() == 800
    tg.manual_seed(0)
    assert set(found) == {tg.uniform((4,)).numpy().tobytes() for _ in range(800)}


def test_a_preparation_takes_no_draw_back_from_others() -> None:
    """It runs the function, which draws, and takes its own draws back."""

    def f(x: tg.Tensor) -> tg.Tensor:
        before = random.streams()
        thread = Thread(target=tg.uniform, args=((2,),))
        thread.start()
        thread.join()
        assert random.streams() is before
        return x + tg.uniform((2,))

    tg.manual_seed(0)
    with pytest.warns(JitWarning, match="it calls threading.Thread"):
        tg.jit(f).prepare(tg.zeros((2,)))
    assert random.draws() >= 1  # of the thread


def test_a_checkpoint_draws_again_what_it_drew() -> None:
    """Though by now the seed is another one, it is another thread's turn, or a step back was taken."""
    drop = nn.Dropout(0.5)
    inner = tg.checkpoint(lambda t: drop(t) + 0.0)
    outer = tg.checkpoint(lambda t: drop(inner(t)) * 1.0)
    for between in (lambda: tg.manual_seed(1), lambda: tg.uniform((3,)), lambda: random.rewind(0)):
        tg.manual_seed(0)
        x = tg.tensor(np.ones(300), requires_grad=True)
        y = outer(x)
        between()
        stands = random.get_state()
        y.sum().backward()
        assert random.get_state() == stands
        assert (y.numpy() == x.grad.numpy()).all()


@pytest.mark.parametrize("seed", [-1, True, 1.5, "0", 2**63])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    for call in (tg.manual_seed, random.own_streams):
        with pytest.raises(ValueError, match="expected an integer from 0"):
            call(seed)


TOUCHED = """
import random
import numpy as np
random.seed(0)
np.random.seed(0)
states = lambda: (random.getstate(), np.random.get_state()[1].tobytes())
before = states()
from tapegrad import models
for name in models.__all__:
    getattr(models, name)
    assert states() == before, name
"""


def test_the_first_use_of_a_model_draws_nothing() -> None:
    """Nor does what it imports: a library that draws as it is imported is made to forget that."""
    subprocess.run([sys.executable, "-c", TOUCHED], check=True, capture_output=True, text=True)
