"""What a Module saves, loads and copies."""

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from module_samples import PATHS, Net
from tapegrad import nn


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
