"""What all optimizers share: parameters and groups, gradients that are missing, values that move, memory."""

import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from optimizer_rows import adam, leaf, step_with

import tapegrad as tg
from tapegrad import optim
from tapegrad.autograd.recorder import Recorder


# ---- what it is given ----
def test_takes_a_module_tensors_pairs_a_dict_and_groups():
    model = tg.nn.Dense(2, in_features=3)
    kernel, bias = model.parameters()
    named = dict(model.named_parameters())
    for params, names in [
        (model, list(named)),
        (model.parameters(), ["0", "1"]),
        ((p for p in [kernel, bias]), ["0", "1"]),
        (model.named_parameters(), list(named)),
        (named, list(named)),
        ([{"params": [kernel]}, {"params": {"b": bias}, "lr": 0.5}], ["0.0", "1.b"]),
        ([{"params": model}], [f"0.{name}" for name in named]),
    ]:
        opt = optim.SGD(params)
        assert [name for group in opt.groups for name in group.names] == names
        assert all(a is b for a, b in zip([p for g in opt.groups for p in g.params], [kernel, bias]))


def test_groups_have_their_own_options():
    a, b, c = leaf(1.0), leaf(1.0), leaf(1.0)
    groups = [{"params": [a]}, {"params": [b], "lr": 0.5}, {"params": [c], "momentum": 0.9, "maximize": True}]
    opt = optim.SGD(groups, lr=0.1)
    for _ in range(2):
        step_with(opt, (a, [1.0]), (b, [1.0]), (c, [1.0]))
    assert [a.item(), b.item(), c.item()] == pytest.approx([0.8, 0.0, 1.29])
    options = {f"{name}.{i}" for name in optim.SGD.option_kinds() for i in range(3)}
    assert set(opt.state_dict()) == {"steps", *options, "2.0.velocity"}
    opt.groups[1].lr = 0.0
    assert [group.lr for group in opt.groups] == [0.1, 0.0, 0.1]
    with pytest.raises(ValueError, match=r"different learning rates, \[0.0, 0.1\]"):
        _ = opt.lr
    opt.lr = 0.3
    assert opt.lr == 0.3
    assert opt.groups[2].momentum == 0.9


def test_learning_rate_can_change_at_any_time():
    p = leaf(1.0)
    opt = optim.GradientDescent([p], lr=1)
    assert opt.lr == 1.0
    for lr in (0.5, np.float32(0.25), tg.tensor(0.125), 0):
        opt.lr = lr
        step_with(opt, (p, [1.0]))
    assert p.item() == 1 - 0.5 - 0.25 - 0.125
    opt.lr *= 3
    assert opt.lr == 0


def test_parameters_can_come_later():
    opt = optim.Adam(lr=0.5)
    assert (opt.lr, opt.steps, opt.groups) == (0.5, 0, ())
    opt.zero_grad()
    p = leaf(1.0)
    opt.lr = 0.25
    assert opt.bind([p]) is opt
    step_with(opt, (p, [2.0]))
    assert p.item() == pytest.approx(0.75)


def test_mixed_dtypes_and_shapes():
    params = [leaf(1.0, 2.0, dtype=d) for d in ("float32", "float16", "float64", "float32")]
    params += [tg.zeros((0, 3)).requires_grad_(), tg.tensor(2.0, requires_grad=True)]
    params += [tg.tensor(np.ones((3, 2)).T, requires_grad=True)]
    opt = optim.Adam(params, lr=0.5)
    before = [(p.dtype, p.shape) for p in params]
    step_with(opt, *((p, np.ones(p.shape)) for p in params))
    assert [(p.dtype, p.shape) for p in params] == before
    for p, start in zip(params, ([1, 2], [1, 2], [1, 2], [1, 2], np.zeros((0, 3)), 2, np.ones((2, 3)))):
        np.testing.assert_allclose(p.numpy(), np.asarray(start) - 0.5, rtol=1e-3)


def test_names_and_instances():
    assert isinstance(optim.get("adam"), optim.Adam)
    assert isinstance(optim.get("RMSprop", lr=0.5), optim.RMSprop)
    opt = optim.SGD()
    assert optim.get(opt) is opt
    assert optim.get("sgd", lr=0.5, momentum=0.5).lr == 0.5
    values = [getattr(optim, name) for name in optim.__all__]
    kinds = [v for v in values if isinstance(v, type) and issubclass(v, optim.Optimizer)]
    assert {kind.__name__.lower(): kind for kind in kinds if kind is not optim.Optimizer} == optim.BY_NAME
    for given in (optim.LBFGS([leaf(1.0)]), optim.LBFGS):
        with pytest.raises(TypeError, match="LBFGS calls a closure several times"):
            optim.get(given)


def test_says_what_it_is():
    opt = optim.SGD(lr=0.5, momentum=0.9, clipnorm=1.0)
    assert repr(opt) == "SGD(lr=0.5, momentum=0.9, nesterov=False, dampening=0.0, clipnorm=1.0)"
    assert "momentum=0.9" in repr(opt.bind([leaf(1.0)]).groups)


# ---- gradients that are missing ----
@pytest.mark.parametrize("given", [{0}, {1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}])
@pytest.mark.parametrize("record", [False, True])
def test_parameter_without_a_gradient_is_left_alone(given, record):
    """Value and state; the count of steps goes on for all, as in Keras."""
    params = [leaf(1.0, 2.0), leaf(3.0), leaf(4.0, 5.0, 6.0)]
    opt = optim.Adam(params, lr=0.1)
    step_with(opt, *((p, np.ones(p.shape)) for p in params))
    values, state, changed = [p.numpy() for p in params], opt.state_dict(), [p._version for p in params]
    flags = {"recorder": Recorder()} if record else {}
    with tg.autograd.flags.changed_flags(**flags):
        step_with(opt, *((params[i], np.full(params[i].shape, 2.0)) for i in given))
    for i, p in enumerate(params):
        m, v = state[f"{i}.m"].numpy(), state[f"{i}.v"].numpy()
        expected, memory = values[i], {"m": m, "v": v}
        if i in given:
            expected = adam(values[i], 2.0, memory, 2, lr=0.1)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12)
        np.testing.assert_allclose(opt.state_dict()[f"{i}.m"].numpy(), memory["m"], rtol=1e-12)
        np.testing.assert_allclose(opt.state_dict()[f"{i}.v"].numpy(), memory["v"], rtol=1e-12)
        assert (p._version > changed[i]) == (i in given)
    assert opt.steps == 2


def test_a_loss_that_reaches_only_some_parameters():
    used, unused = leaf(1.0), leaf(1.0)
    opt = optim.SGD([used, unused], lr=0.1, momentum=0.9)
    (used * 2).sum().backward()
    opt.step()
    assert [used.item(), unused.item()] == [0.8, 1.0]


def test_frozen_parameters_of_a_module_wait():
    model = tg.nn.Dense(1, in_features=2)
    kernel, bias = model.parameters()
    kernel.requires_grad_(False)
    before = kernel.numpy()
    opt = optim.SGD(model, lr=0.5)
    for thawed in (False, True):
        kernel.requires_grad_(thawed)
        opt.zero_grad()
        model(tg.tensor([[1.0, 1.0]])).sum().backward()
        opt.step()
        assert (kernel.numpy() != before).all() == thawed
    assert bias.item() == -1.0


# ---- values that move ----
def test_parameters_stay_the_objects_they_are_and_the_buffer_is_one():
    a, b = leaf(1.0, 2.0), leaf(3.0)
    opt = optim.SGD([a, b], lr=1.0)
    assert np.shares_memory(a.data, opt.flats[0].p.data)
    assert len(opt.flats) == 1
    step_with(opt, (a, [1.0, 1.0]), (b, [1.0]))
    assert opt.flats[0].p.numpy().tolist() == [0.0, 1.0, 2.0]


def test_replaced_data_is_taken_up():
    a, b = leaf(1.0, 2.0), leaf(3.0)
    opt = optim.SGD([a, b], lr=1.0, momentum=0.5)
    step_with(opt, (a, [1.0, 1.0]), (b, [1.0]))
    mine = np.array([10.0, 20.0])
    a.data = mine
    b.assign([30.0])
    step_with(opt, (a, [1.0, 1.0]), (b, [1.0]))
    assert (a.tolist(), b.tolist()) == ([8.5, 18.5], [28.5])  # the velocity went on
    assert mine.tolist() == [10.0, 20.0], "an array of the user's was written to"
    assert np.shares_memory(a.data, opt.flats[0].p.data)


def test_loading_into_a_module_is_taken_up():
    model = tg.nn.Dense(1, in_features=2)
    opt = optim.SGD(model, lr=1.0)
    model.load_state_dict({name: tg.ones_like(t) for name, t in model.state_dict().items()})
    for p in model.parameters():
        p.grad = tg.ones_like(p)
    opt.step()
    assert all((p.numpy() == 0).all() for p in model.parameters())


def test_two_optimizers_of_one_parameter():
    p, reference = leaf(1.0, 2.0), np.array([1.0, 2.0])
    first, second = optim.SGD([p], lr=0.1), optim.SGD([p], lr=0.01, momentum=0.5)
    memory = 0
    for _ in range(3):
        step_with(first, (p, [1.0, -1.0]))
        reference = reference - 0.1 * np.array([1.0, -1.0])
        step_with(second, (p, [1.0, -1.0]))
        memory = 0.5 * memory - 0.01 * np.array([1.0, -1.0])
        reference = reference + memory
    np.testing.assert_allclose(p.numpy(), reference)


def test_values_state_and_step_follow_to_another_device(elsewhere):
    p, twin, other = leaf(1.0, 2.0), leaf(1.0, 2.0), leaf(3.0)
    opt, reference = optim.Adam([p, other], lr=0.1), optim.Adam([twin], lr=0.1)
    for round_ in range(3):
        place = ["cpu", elsewhere, "cpu"][round_]
        p.data = p.detach().to(place).data
        for _ in range(2):
            step_with(opt, (p, [1.0, -3.0]), (other, [1.0]))
            step_with(reference, (twin, [1.0, -3.0]))
        assert p.device == place
        assert all(t.device == place for name, t in opt.state_dict().items() if name.startswith("0."))
        np.testing.assert_allclose(p.numpy(), twin.numpy(), rtol=1e-12)
    assert (opt.steps, opt.lr) == (6, 0.1)


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_module_moved_and_trained_on(elsewhere):
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Dense(4, activation="tanh", in_features=3), tg.nn.Dense(1))
    model.build((3,))
    opt = optim.Adam(model, lr=0.01)
    x = tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))
    losses = []
    for place in ("cpu", elsewhere):
        model.to(place)
        for _ in range(20):
            opt.zero_grad()
            loss = ((model(x.to(place)) - 1.0) ** 2).mean()
            loss.backward()
            opt.step()
            losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert all(p.device == elsewhere for p in model.parameters())


def test_state_follows_to_another_dtype():
    p = leaf(1.0, 2.0)
    opt = optim.Adam([p], lr=0.1)
    step_with(opt, (p, [1.0, -1.0]))
    p.data = p.data.astype("float32")
    step_with(opt, (p, [1.0, -1.0]))
    assert p.dtype == opt.state_dict()["0.m"].dtype == tg.float32
    np.testing.assert_allclose(p.numpy(), [0.8, 2.2], rtol=1e-5)


def test_a_graph_with_the_old_values_is_refused():
    p = leaf(2.0)
    opt = optim.SGD([p], lr=0.1)
    stale = (p * p).sum()
    (p * p).sum().backward()
    opt.step()
    with pytest.raises(RuntimeError, match="written to after it was recorded"):
        stale.backward()
    (p * p).sum().backward()


def test_flags_are_restored_after_an_error():
    p = leaf(1.0)
    opt = optim.SGD([p], lr=0.1)
    before = tg.autograd.flags.current.get()
    with pytest.raises(RuntimeError):
        opt.step()
    assert tg.autograd.flags.current.get() is before
    assert opt.steps == 0


def test_anomaly_detection_names_the_parameter():
    good, bad = leaf(1.0), leaf(1e308)
    opt = optim.SGD({"good": good, "bad": bad}, lr=10.0)
    good.grad, bad.grad = leaf(1.0).detach(), leaf(-1e308).detach()
    message = "the step of SGD.* left a NaN or Inf in the parameter 'bad'"
    with np.errstate(over="ignore"), tg.detect_anomaly(), pytest.raises(FloatingPointError, match=message):
        opt.step()


# ---- large and long ----
@pytest.mark.parametrize("record", [False, True])
def test_more_than_a_block(record):
    """200,000 elements in three parameters whose borders are not those of the blocks."""
    rng = np.random.default_rng(0)
    shapes = [(70_001,), (300, 333), (30_100,)]
    params = [tg.tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
    opt = optim.Adam(params, lr=0.1)
    values, memory = [p.numpy() for p in params], [{}, {}, {}]
    flags = {"recorder": Recorder()} if record else {}
    for t in (1, 2, 3):
        grads = [rng.normal(size=s) for s in shapes]
        skipped = {3: 1}.get(t)
        with tg.autograd.flags.changed_flags(**flags):
            step_with(opt, *((p, g) for i, (p, g) in enumerate(zip(params, grads)) if i != skipped))
        for i in range(3):
            if i != skipped:
                values[i] = adam(values[i], grads[i], memory[i], t, lr=0.1)
    for p, expected in zip(params, values):
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.1}, {"clipnorm": 0.1}, {"weight_decay": 0.1}])
@pytest.mark.filterwarnings("default::RuntimeWarning")  # where they are errors, all new values are kept
def test_a_step_allocates_no_more_than_some_blocks(options):
    p = tg.zeros((2_000_000,)).requires_grad_()
    opt = optim.Adam([p], **options)
    p.grad = tg.ones((2_000_000,))
    opt.step()
    tracemalloc.start()
    try:
        opt.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000, f"{peak} bytes for intermediate results; the parameter has 8,000,000"


@pytest.mark.parametrize("kind", optim.BY_NAME.values(), ids=list(optim.BY_NAME))
def test_memory_stays_constant(kind):
    """1,000 steps of training without the garbage collector."""
    w, b = leaf(1.0, 2.0, 3.0), leaf(0.5)
    opt = kind([w, b], lr=0.001)

    def train(steps):
        for _ in range(steps):
            opt.zero_grad()
            ((w * w).sum() + b.sum()).backward()
            opt.step()

    train(20)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        train(50)
        before, _ = tracemalloc.get_traced_memory()
        train(1000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 2_000, f"{after - before} bytes more after 1,000 steps"


def test_nothing_is_left_of_it():
    """No cycles: an optimizer's buffers go with its last reference."""
    gc.disable()
    try:
        opt = optim.Adam([leaf(1.0)])
        gone = weakref.ref(opt.flats[0])
        del opt
        assert gone() is None
    finally:
        gc.enable()


def test_two_threads_train_at_once():
    results = {}

    def train(name):
        p = leaf(1.0, -2.0)
        opt = optim.Adam([p], lr=0.01)
        for _ in range(200):
            opt.zero_grad()
            (p * p).sum().backward()
            opt.step()
        results[name] = p.tolist()

    threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    train("alone")
    assert results[0] == results[1] == results["alone"]
