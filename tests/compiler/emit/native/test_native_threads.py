"""Native programs on several threads: the bits of one thread, after a fork, from eight threads at once, interrupted."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
from tapegrad.compiler.emit.native import calls, cuts, machine, pool

hypothesis = pytest.importorskip("hypothesis")
from random_programs import RandomProgram, programs  # noqa: E402

from random_outcomes import outcomes  # noqa: E402

pytestmark = pytest.mark.skipif(pool.system() is None, reason="this system has no POSIX threads")
RNG = np.random.default_rng(0)
COUNTS = ("1", "2", "8")


@pytest.fixture
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    share_everything(monkeypatch)


def share_everything(patch: pytest.MonkeyPatch) -> None:
    """Cut nests and products of any size."""
    for name, value in {"NEST": 1, "PRODUCT": 1, "ROW": 16, "COLUMNS": 1}.items():
        patch.setattr(cuts, name, value)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parts each stage of all programs has that are built."""
    found: list[int] = []
    made = calls.Calls.__init__

    def init(self: Any, code: Any, given: Any, *rest: Any) -> None:
        found.extend(len(stage) for stage in given)
        made(self, code, given, *rest)

    monkeypatch.setattr(calls.Calls, "__init__", init)
    return found


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def tensor(*shape: int, dtype: str = "float32") -> Any:
    return tg.tensor(array(*shape, dtype=dtype))


X, WIDE, TALL = tensor(70, 90), tensor(20, 300), tensor(333, 7)
D = tensor(70, 90, dtype="float64")
CUBE, ROW = tensor(5, 33, 70), tensor(90)
PROGRAMS: dict[str, Callable[[], Any]] = {
    "elements": lambda: tg.exp(X) * 2 + X / 3,
    "elements of rows": lambda: tg.tanh(X) + ROW,
    "a sum of each row": lambda: (X * X).sum(axis=1),
    "a sum of each column": lambda: ((X * X).sum(axis=0), tg.relu(X)),
    "a sum of all": lambda: ((X * X).sum(), X.mean(), X.max()),
    "sums of a middle axis": lambda: (CUBE * 2).sum(axis=1),
    "sums of outer axes": lambda: (CUBE * CUBE).mean(axis=(0, 1)),
    "largest and keepdims": lambda: CUBE - CUBE.max(axis=2, keepdims=True),
    "softmax": lambda: (tg.softmax(WIDE), tg.log_softmax(TALL, axis=0)),
    "truth values": lambda: ((X > 0.5).any(axis=1), (TALL > -9).all(axis=0)),
    "float64": lambda: (tg.sin(D).sum(axis=1), tg.log(D * D)),
    "joined and cut": lambda: tg.concat([X[10:] * 2, X[:10] + 1]).T,
    "broadcast": lambda: X[:, None, :3] * X[None, :, 3:6],
    "one row": lambda: tg.sqrt(tg.abs(X[3])) + X[:, :1].sum(),
    "products": lambda: (X @ X.T, X.T @ X, WIDE @ WIDE.T, TALL.T @ TALL, TALL @ TALL.T),
    "product of a matrix and a vector": lambda: (X @ ROW, ROW @ X.T, TALL @ TALL[0]),
    "product of batches": lambda: CUBE @ tg.permute_dims(CUBE, (0, 2, 1)),
    "product of a batch and one matrix": lambda: CUBE @ CUBE[0].T,
    "products in float64": lambda: (D @ D.T, D.T @ D, D @ D[0]),
    "product of transposed operands": lambda: (X.T @ X.T[:, :70].T[:70], WIDE.T @ WIDE),
}


def bits_of(results: Any) -> list[bytes]:
    results = results if isinstance(results, tuple) else (results,)
    return [r.numpy().tobytes() for r in results]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_on_any_number_of_threads(
    name: str, everything_is_shared: None, stages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bits, most = {}, {}
    for count in COUNTS:
        monkeypatch.setenv("TAPEGRAD_THREADS", count)
        stages.clear()
        f = tg.jit(lambda: PROGRAMS[name](), emitter="native")
        with tg.no_grad():
            got = [bits_of(f()) for _ in range(5)]
        assert f.stats()["programs"][0].startswith("native") and f.stats()["compiled"] >= 2
        assert got[-1] == got[-2] == got[-3]
        bits[count], most[count] = got[-1], max(stages)
    assert bits["1"] == bits["2"] == bits["8"]
    assert most["1"] == 1 and (most["8"] > 1 or name == "a sum of all")


MEET = """
define i32 @meet(ptr %table, ptr %scratch) {
entry:
  %counter = load ptr, ptr %table
  %before = atomicrmw add ptr %counter, i64 1 seq_cst
  br label %wait
wait:
  %turn = phi i64 [0, %entry], [%next, %wait]
  %now = load atomic i64, ptr %counter seq_cst, align 8
  %alone = icmp slt i64 %now, 2
  %next = add i64 %turn, 1
  %patient = icmp slt i64 %next, 20000000000
  %again = and i1 %alone, %patient
  br i1 %again, label %wait, label %end
end:
  %late = zext i1 %alone to i32
  ret i32 %late
}
"""


def test_two_parts_run_at_once() -> None:
    """Each waits until the other has begun."""
    counter = np.zeros(1, np.int64)
    code = machine.Code(machine.module_text([MEET], []))
    part = ("meet", [calls.Part(counter)])
    meeting = calls.Calls(code, [[part, part]], machine.scratch_of(0), 2)
    for _ in range(100):
        counter[0] = 0
        assert meeting.run() == 0
        assert counter[0] == 2


class Training:
    """An MLP whose steps are large enough for two threads."""

    def __init__(self, sizes: tuple[int, ...] = (300, 256, 10), rows: int = 96) -> None:
        tg.manual_seed(0)
        layers = [tg.nn.Dense(b, "relu", in_features=a) for a, b in pairwise(sizes)]
        self.model = tg.nn.Sequential(*layers, tg.nn.Dense(5, in_features=sizes[-1]))
        self.optimizer = tg.optim.Adam(self.model.parameters(), lr=0.01)
        rng = np.random.default_rng(1)
        self.x = tg.tensor(rng.normal(size=(rows, sizes[0])).astype("float32"))
        self.y = tg.tensor(rng.integers(0, 5, size=rows))
        self.step = tg.jit(self.plain, emitter="native")

    def plain(self) -> Any:
        loss = tg.nn.functional.cross_entropy(self.model(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self) -> bytes:
        held = self.optimizer.state_dict()
        arrays = [*self.model.parameters(), *(v for k, v in held.items() if k not in ("steps", "lr"))]
        return b"".join(t.detach().numpy().tobytes() for t in arrays)


def test_a_training_has_the_same_bits_on_any_number_of_threads(
    stages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    states, most = [], []
    for count in COUNTS:
        monkeypatch.setenv("TAPEGRAD_THREADS", count)
        stages.clear()
        t = Training()
        for _ in range(8):
            t.step()
        assert t.step.stats()["programs"][0].startswith("native")
        states.append(t.state())
        most.append(max(stages))
    assert states[0] == states[1] == states[2]
    assert most[0] == 1 and most[1] > 1 and most[2] > 1


def test_small_steps_stay_on_one_thread(stages: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEGRAD_THREADS", "8")
    t = Training((30, 64, 32), 32)
    for _ in range(4):
        t.step()
    assert t.step.stats()["programs"][0].startswith("native") and max(stages) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.JitWarning")
@hypothesis.settings(max_examples=8)
@hypothesis.given(program=programs(12))
def test_random_programs_have_the_same_bits(program: RandomProgram) -> None:
    found = []
    for count in ("1", "8"):
        with pytest.MonkeyPatch.context() as patch:
            share_everything(patch)
            patch.setenv("TAPEGRAD_THREADS", count)
            found.append(outcomes(program, lambda f: tg.jit(f, emitter="native"))[0])
    assert repr(found[0]) == repr(found[1])


# ---- several steps at once ----
def test_eight_threads_of_the_users(everything_is_shared: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of their own, of which one at a time has the pool, and one that all use."""
    monkeypatch.setenv("TAPEGRAD_THREADS", "4")
    want = Training()
    for _ in range(12):
        want.step()
    trainings = [Training() for _ in range(8)]
    w = tensor(64, 64)
    shared = tg.jit(lambda x: tg.tanh(x @ w) @ w, emitter="native")
    wrong: list[Any] = []

    def work(t: Training, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(12):
                t.step()
                x = rng.normal(size=(40, 64)).astype("float32")
                with tg.no_grad():
                    got = shared(tg.tensor(x)).numpy()
                if not np.allclose(got, np.tanh(x @ w.numpy()) @ w.numpy(), atol=1e-3):
                    wrong.append(seed)
        except BaseException as error:
            wrong.append(error)

    users = [threading.Thread(target=work, args=(t, n)) for n, t in enumerate(trainings)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong
    assert all(t.state() == want.state() for t in trainings)


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")  # of calls that are taken back
@pytest.mark.usefixtures("everything_is_shared")
def test_what_went_wrong_in_a_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One element divides by zero, in the last part."""
    monkeypatch.setenv("TAPEGRAD_THREADS", "3")
    f = tg.jit(lambda x, y: x / y, emitter="native")
    x, y = np.ones((2, 400, 300), "float32")
    with tg.no_grad():
        for _ in range(4):
            f(tg.tensor(x), tg.tensor(y))
        y[-1, -1] = 0
        for _ in range(20):
            with pytest.warns(RuntimeWarning, match="divide by zero"):
                f(tg.tensor(x), tg.tensor(y))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/task")
def test_workers_leave_signals_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEGRAD_THREADS", "2")
    t = Training()
    for _ in range(4):
        t.step()
    blocked = [
        int(line.split()[1], 16)
        for task in Path("/proc/self/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("SigBlk")
    ]
    assert any(mask & 1 << (signal.SIGINT - 1) for mask in blocked)


FORKED = """
import os, sys, threading
import test_native_threads as here
from tapegrad.compiler.emit.native import pool
t, other = here.Training(), here.Training()
for _ in range(4):
    t.step(), other.step()
want = here.Training()
for _ in range(9):
    want.step()
go_on = True
def background():
    while go_on:
        other.step()
thread = threading.Thread(target=background)
thread.start()
children = []
for _ in range(12):
    child = os.fork()
    if not child:
        for _ in range(5):
            t.step()
        workers = pool._pool.workers, len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 3
        os._exit(0 if t.state() == want.state() and workers == (2, 3) else 7)
    children.append(child)
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 12
go_on = False
thread.join()
for _ in range(5):
    t.step()
assert t.state() == want.state()
print("whole")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_fork_while_a_step_runs() -> None:
    """A child has none of the workers, and makes its own."""
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        env={
            **os.environ,
            "TAPEGRAD_THREADS": "3",
            "PYTHONPATH": os.pathsep.join([*sys.path, str(here.parent)]),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout == "whole\n", done.stderr


# ---- interrupts ----
def presses(moments: Iterator[float], over: threading.Event, process: int) -> None:
    for seconds in moments:
        if over.wait(seconds):
            return
        os.kill(process, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill does not press Ctrl-C on Windows")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_200_random_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each raises KeyboardInterrupt, and leaves the state after a whole number of steps."""
    monkeypatch.setenv("TAPEGRAD_THREADS", "2")
    want, t = Training(), Training()
    for training in (want, t):
        for _ in range(4):
            training.step()
    steps, came = 0, 0
    moments = random.Random(0)
    while came < 200:
        over = threading.Event()
        after = moments.uniform(0, 0.01)
        presser = threading.Thread(target=presses, args=(iter([after]), over, os.getpid()))
        try:
            presser.start()
            start = time.monotonic()
            while time.monotonic() - start < 20:
                t.step()
            pytest.fail("Ctrl-C did not come")
        except KeyboardInterrupt:
            came += 1
        presser.join()
        most = 0
        while want.state() != t.state():
            want.step()
            most += 1
            assert most < 3000, "the state is that of no whole number of steps"
        steps += most
    assert steps > 200


# ---- how many ----
def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TAPEGRAD_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if hasattr(os, "sched_getaffinity"):
        assert pool.threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert pool.threads() == 3
    monkeypatch.setenv("TAPEGRAD_THREADS", "5")
    assert pool.threads() == 5
    monkeypatch.setenv("TAPEGRAD_THREADS", "many")
    assert pool.threads() == 3
    monkeypatch.setattr(pool, "system", lambda: None)
    assert pool.threads() == 1


@pytest.mark.parametrize(
    "length, parts, multiple, want",
    [
        (10, 3, 1, [(0, 4), (4, 4), (8, 2)]),
        (100, 4, 16, [(0, 32), (32, 32), (64, 32), (96, 4)]),
        (5, 8, 1, [(n, 1) for n in range(5)]),
        (7, 2, 16, [(0, 7)]),
    ],
)
def test_pieces(length: int, parts: int, multiple: int, want: Any) -> None:
    assert cuts.pieces(length, parts, multiple) == want
