"""Module: what it finds inside, its state, modes, places, and how it reads."""

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    """One of everything: a layer, parameters, a buffer, containers, a shared layer, and things to leave alone."""

    def __init__(self) -> None:
        self.first = nn.Dense(4, "tanh", in_features=3)
        self.scale = nn.Parameter(tg.tensor(2.0))
        self.blocks = [nn.Dense(4, in_features=4), (nn.Dropout(0.5),), {"last": nn.Dense(2, in_features=4)}]
        self.again = self.first
        self.mean = nn.Buffer(tg.zeros(4))
        self.constant = tg.ones(7)
        self.note = ["text", 3, None, {"a": 1}]
        self.tied = nn.Dense(3, use_bias=False, in_features=4)
        self.tied.kernel = self.blocks[2]["last"].kernel  # type: ignore[index]

    def forward(self, x: Any) -> Any:
        h = self.scale * self.first(x) - self.mean
        return self.blocks[2]["last"](self.blocks[1][0](self.blocks[0](h)))  # type: ignore[index, operator]


PATHS = [
    "first.kernel", "first.bias", "scale", "blocks.0.kernel", "blocks.0.bias", "blocks.2.last.kernel",
    "blocks.2.last.bias",
]  # fmt: skip


# ---- what is inside ----
def test_parameters_in_definition_order_shared_ones_once() -> None:
    net = Net()
    assert [path for path, _ in net.named_parameters()] == PATHS
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [path for path, _ in net.named_buffers()] == ["mean"]
    assert [path for path, _ in net.named_modules()] == [
        "",
        "first",
        "blocks.0",
        "blocks.1.0",
        "blocks.2.last",
        "tied",
    ]


def test_no_super_init_is_needed_and_cycles_end() -> None:
    net = Net()
    net.parent = net  # type: ignore[attr-defined]
    loop: list[Any] = [net]
    loop.append(loop)
    net.loop = loop  # type: ignore[attr-defined]
    assert len(net.parameters()) == len(PATHS)


def test_two_tensors_with_one_path_are_refused() -> None:
    net = Net()
    net.a = {"b.c": nn.Parameter(tg.ones(1)), "b": {"c": nn.Parameter(tg.ones(1))}}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"two tensors of this Net have the path 'a.b.c'"):
        net.parameters()


def test_misspelt_attributes_raise() -> None:
    net = Net()
    with pytest.raises(AttributeError, match=r"Dense has no attribute 'kernle': did you mean 'kernel'\?"):
        net.first.kernle  # noqa: B018
    with pytest.raises(AttributeError, match=r"Net has no attribute 'xyzzy'$"):
        net.xyzzy  # noqa: B018
    assert not hasattr(net, "__array__") and getattr(net, "absent", 5) == 5


def test_forward_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        nn.Module()(1)


def test_unbuilt_layers_say_how_to_build() -> None:
    model = nn.Sequential(nn.Dense(3), nn.Dense(2))
    for ask in (
        model.parameters,
        model.state_dict,
        lambda: model.to("float64"),
        lambda: tg.optim.SGD(model.parameters(), lr=1.0),
    ):
        with pytest.raises(
            RuntimeError,
            match=r"Dense\(units=3\) at 'layers.0' has not made .*Sequential.build",
        ):
            ask()
    assert model.build((None, 5)) == (2,)
    assert [p.shape for p in model.parameters()] == [(5, 3), (3,), (3, 2), (2,)]
    with pytest.raises(ValueError, match=r"shape: expected .* of positive integers, got \(5, -1\)"):
        model.build((5, -1))


def test_build_of_a_module_of_ones_own() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Dense(3)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Any) -> Any:
            modes.append(self.training)
            return self.drop(self.inner(x)).sum(axis=1)

    modes: list[bool] = []
    module = Wrapped()
    module.drop.eval()
    assert module.build((4, 5)) == (3,)
    assert module.inner.kernel.shape == (5, 3) and modes == [False]
    assert module.training and not module.drop.training  # the modes are as they were


# ---- its state ----
def test_state_dict_holds_copies_of_parameters_and_buffers() -> None:
    net = Net()
    state = net.state_dict()
    assert list(state) == [*PATHS[:5], PATHS[5], PATHS[6], "mean"]
    assert all(type(t) is tg.Tensor and not t.requires_grad for t in state.values())
    before = state["first.kernel"].numpy()
    net.first.kernel.assign(net.first.kernel + 1.0)
    np.testing.assert_array_equal(state["first.kernel"].numpy(), before)
    state["scale"].assign(7.0)
    assert net.scale.item() == 2.0


def test_load_state_dict_writes_in_place(tmp_path: Any) -> None:
    net, other = Net(), Net()
    net.mean.assign(tg.ones(4))
    parameters, arrays = other.parameters(), [p.data for p in other.parameters()]
    tg.save(tmp_path / "net", net.state_dict())
    other.load_state_dict(tg.load(tmp_path / "net"))
    assert all(a is b.data for a, b in zip(arrays, parameters, strict=True))
    assert all(p is q for p, q in zip(parameters, other.parameters(), strict=True))
    for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    other.load_state_dict({path: t.numpy() for path, t in net.state_dict().items()})  # arrays do, too


def test_load_state_dict_lists_all_faults_and_loads_nothing() -> None:
    net = Net()
    before = net.state_dict()
    state = {**before, "first.bais": tg.ones(4), "scale": tg.ones(1), "mean": tg.ones(4, dtype="float64")}
    del state["first.bias"]
    state["blocks.0.bias"] = tg.ones(4)
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict: this state is not of this Net, and nothing was loaded:\n"
        "  missing: first.bias\n"
        "  unexpected: first.bais: did you mean 'first.bias'?\n"
        "  shape of scale: expected (), got (1,)\n"
        "  dtype of mean: expected float32, got float64"
    )
    for path, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[path].numpy())


def test_loading_is_seen_by_an_optimizer_and_by_a_recorded_graph() -> None:
    net = Net().eval()
    optimizer = tg.optim.SGD(net, lr=0.0)
    state = {path: t * 0.0 for path, t in net.state_dict().items()}
    loss = net(tg.ones((2, 3))).sum()
    net.load_state_dict(state)
    with pytest.raises(RuntimeError, match="was written to"):
        loss.backward()
    net(tg.ones((2, 3))).sum().backward()
    optimizer.step()
    assert all(not p.numpy().any() for p in net.parameters())


# ---- copies ----
def test_deepcopy_is_independent_and_keeps_sharing() -> None:
    net = Net().eval()
    net.parent = net  # type: ignore[attr-defined]
    twin = copy.deepcopy(net)
    x = tg.ones((2, 3))
    np.testing.assert_array_equal(net(x).numpy(), twin(x).numpy())
    assert not {id(p) for p in net.parameters()} & {id(p) for p in twin.parameters()}
    assert twin.tied.kernel is twin.blocks[2]["last"].kernel and twin.again is twin.first  # type: ignore[index]
    assert twin.parent is twin  # type: ignore[attr-defined]
    assert not twin.training and isinstance(twin.mean, nn.Buffer) and isinstance(twin.scale, nn.Parameter)
    twin.scale.assign(0.0)
    assert net.scale.item() == 2.0


def test_modules_are_not_pickled() -> None:
    for refused in (pickle.dumps, copy.copy):
        with pytest.raises(
            TypeError, match=r"tg\.save\(path, module\.state_dict\(\)\), and copy with copy\.deepcopy"
        ):
            refused(Net())


def test_modules_go_with_their_last_reference() -> None:
    gc.disable()
    try:
        net = Net()
        net(tg.ones((2, 3))).sum().backward()
        seen = weakref.ref(net)
        del net
        assert seen() is None
    finally:
        gc.enable()


# ---- modes and places ----
def test_train_and_eval_reach_everything_inside() -> None:
    net = Net()
    assert net.eval() is net and not any(m.training for _, m in net.named_modules())
    assert net.train() is net and all(m.training for _, m in net.named_modules())


def test_freezing() -> None:
    net = Net()
    net.first.requires_grad_(False)
    net(tg.ones((2, 3))).sum().backward()
    assert net.first.kernel.grad is None and net.scale.grad is not None
    assert len(net.parameters()) == len(PATHS)
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_a_dtype() -> None:
    net = Net()
    net.count = nn.Buffer(tg.tensor([3]))  # type: ignore[attr-defined]
    before = net.parameters()
    net.eval()(tg.ones((2, 3))).sum().backward()
    loss = net(tg.ones((2, 3))).sum()
    assert net.to("float64") is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(
        p.dtype == "float64" and p.grad.dtype == "float64" for p in net.parameters() if p.grad is not None
    )
    assert net.mean.dtype == "float64" and net.count.dtype == "int64" and net.first.dtype == "float64"
    with pytest.raises(RuntimeError, match="was written to"):
        loss.backward()
    net.to(tg.float16)
    assert net(tg.ones((2, 3), dtype="float16")).dtype == "float16"
    with pytest.raises(TypeError, match="cannot become 'int32'"):
        net.to("int32")


def test_to_a_device(elsewhere: str) -> None:
    net = Net().eval()
    x = tg.ones((2, 3))
    want = net(x).numpy()
    arrays = [p.data for p in net.parameters()]
    loss = net(x).sum()
    net.to("cpu")
    loss.backward()
    # Here already: nothing happens.
    assert all(p.data is a for p, a in zip(net.parameters(), arrays, strict=True))
    net.to(elsewhere)
    assert all(t.device == elsewhere for t in [*net.parameters(), net.mean])
    np.testing.assert_allclose(net(x.to(elsewhere)).numpy(), want, rtol=1e-5, atol=1e-6)
    with pytest.raises(tg.BackendError, match=r"move one with .to\("):
        net(x)
    net.load_state_dict(Net().state_dict())  # a state from another device is moved
    assert net.scale.device == elsewhere
    with pytest.raises(tg.BackendError, match="unknown backend 'gpu'"):
        net.to("gpu")


def test_buffer_takes_what_tensor_takes() -> None:
    assert nn.Buffer([1.0, 2.0]).dtype == "float32" and not nn.Buffer([1.0]).requires_grad


# ---- to be read ----
def test_repr() -> None:
    assert repr(nn.Sequential(nn.Dense(4, tg.relu, in_features=3), nn.Sequential(nn.Dropout(0.5)))) == (
        "Sequential(\n"
        "  layers.0: Dense(units=4, activation='relu', in_features=3)\n"
        "  layers.1: Sequential(\n"
        "    layers.0: Dropout(rate=0.5)\n"
        "  )\n"
        ")"
    )
    assert repr(Net()).splitlines()[:2] == [
        "Net(",
        "  first: Dense(units=4, activation='tanh', in_features=3)",
    ]
    assert repr(nn.Dense(1, dtype="float64")) == "Dense(units=1, dtype='float64')"


def test_summary() -> None:
    model = nn.Sequential(nn.Flatten(input_shape=(5, 6)), nn.Dense(64, "relu"), nn.Dropout(0.1), nn.Dense(1))
    model[3].requires_grad_(False)
    assert model.summary() == (
        "layer     kind     output shape  parameters\n"
        "--------  -------  ------------  ----------\n"
        "layers.0  Flatten  (batch, 30)            0\n"
        "layers.1  Dense    (batch, 64)        1,984\n"
        "layers.2  Dropout  (batch, 64)            0\n"
        "layers.3  Dense    (batch, 1)            65\n"
        "--------  -------  ------------  ----------\n"
        "total 2,049 parameters, 1,984 of them trained"
    )
    assert "forward" not in vars(model) and model.training
    unbuilt = nn.Sequential(nn.Dense(3)).summary()
    assert "?" in unbuilt and "not built" in unbuilt
    net = Net().summary((3,))
    assert "blocks.2.last  Dense    (batch, 2)            10" in net and "total 47 parameters" in net
    assert net.splitlines()[2].split() == ["-", "Net", "(batch,", "2)", "1"]  # its own parameter, scale


class KeepsNothing(nn.Module):
    def __init__(self, size: int, scale: float = 1.0, *rest: Any, **more: Any) -> None:
        self.weight = nn.Parameter(tg.ones(size))
        self.scale = scale


class KeepsArrays(nn.Module):
    def __init__(self, table: Any, start: Any = None) -> None:
        self.table, self.start = table, nn.Parameter(start)


class Builds(nn.Module):
    def __init__(self, units: int = 2) -> None:
        self.units = units

    def build(self, shape: Any) -> Any:
        self.weight = nn.Parameter(tg.ones((shape[-1], self.units)))
        return (*shape[:-1], self.units)

    def forward(self, x: Any) -> Any:
        return x @ self.weight


REPRS = (
    (lambda: KeepsNothing(2), "KeepsNothing()"),
    (lambda: KeepsNothing(2, 0.5), "KeepsNothing(scale=0.5)"),
    (lambda: KeepsArrays(np.ones(2), tg.ones(3)), "KeepsArrays(table=array([1., 1.]))"),
    (lambda: Builds(3), "Builds(units=3)"),
    (lambda: nn.Sequential(KeepsNothing(2), nn.ReLU()),
     "Sequential(\n  layers.0: KeepsNothing()\n  layers.1: ReLU()\n)"),
    (lambda: type("Bare", (nn.Module,), {})(), "Bare()"),
)  # fmt: skip


@pytest.mark.parametrize(("make", "want"), REPRS, ids=[want for _, want in REPRS])
def test_every_module_has_a_repr(make: Any, want: str) -> None:
    assert repr(make()) == want


def test_config_says_what_is_not_kept() -> None:
    with pytest.raises(
        AttributeError, match=r"config: the constructor of KeepsNothing takes 'size'.*self.size = size"
    ):
        KeepsNothing(2).config()


def test_a_build_is_called_before_the_first_forward() -> None:
    layer = Builds()
    with pytest.raises(RuntimeError, match=r"Builds.* has not made its weights yet"):
        layer.parameters()
    with pytest.raises(RuntimeError, match="has not made its weights yet"):
        tg.optim.SGD(nn.Sequential(nn.Dense(3), layer).parameters(), lr=0.1)
    assert layer(tg.ones((5, 4))).shape == (5, 2) and layer.weight.shape == (4, 2)
    kept = layer.weight
    layer(tg.ones((5, 4)))
    assert layer.weight is kept and len(layer.parameters()) == 1


def test_a_build_may_be_called_by_hand_inside_others_and_by_its_base() -> None:
    model = nn.Sequential(nn.Dense(3, in_features=4), Builds(7))
    assert model.build((4,)) == (7,) and model.layers[1].weight.shape == (3, 7)

    class AsInKeras(Builds):
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.built = True

    assert AsInKeras()(tg.ones((2, 3))).shape == (2, 2)

    class Fails(Builds):
        def build(self, shape: Any) -> None:
            raise KeyError("no")

    layer = Fails()
    for _ in range(2):
        with pytest.raises(KeyError):
            layer(tg.ones((2, 3)))
    assert not layer.built


def test_a_build_trains_compiled_and_plain_alike() -> None:
    def trained(compiled: bool) -> Any:
        layer = Builds()
        layer(tg.ones((1, 4)))
        optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (layer(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = tg.jit(step, strict=True) if compiled else step
        return [run(tg.ones((2, 4))).item() for _ in range(4)]

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-6)
