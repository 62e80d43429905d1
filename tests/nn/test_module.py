"""What a Module finds inside, its modes and places."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from module_samples import PATHS, Net
from tapegrad import nn


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
