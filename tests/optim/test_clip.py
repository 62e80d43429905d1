"""Clipping functions: values, float16, devices, what they refuse. The options of optimizers are rows of the table."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim


def with_gradients(*grads, dtype="float64", device=None):
    params = []
    for g in grads:
        params.append(tg.zeros(np.shape(g), dtype=dtype, device=device).requires_grad_())
        params[-1].grad = tg.tensor(g, dtype=dtype, device=device)
    return params


def test_by_value():
    params = with_gradients([3.0, -0.5, 0.2], 7.0)
    assert optim.clip_by_value(params, 0.5) is None
    assert [p.grad.tolist() for p in params] == [[0.5, -0.5, 0.2], 0.5]


def test_by_norm_each_for_itself():
    params = with_gradients([3.0, 4.0], [0.3, 0.4], [0.0])
    assert optim.clip_by_norm(params, 1.0) is None
    np.testing.assert_allclose(params[0].grad.numpy(), [0.6, 0.8], rtol=1e-15)
    assert [p.grad.tolist() for p in params[1:]] == [[0.3, 0.4], [0.0]]


def test_by_global_norm():
    params = with_gradients([[3.0], [0.0]], 4.0)
    norm = optim.clip_by_global_norm(params, 1.0)
    assert (norm.item(), norm.shape, norm.dtype) == (5.0, (), tg.float64)
    np.testing.assert_allclose(params[0].grad.numpy(), [[0.6], [0.0]])
    assert params[1].grad.item() == pytest.approx(0.8)
    assert optim.clip_by_global_norm(params, 2.0).item() == pytest.approx(1.0)
    assert params[1].grad.item() == pytest.approx(0.8)


def test_takes_modules_and_dicts():
    model = tg.nn.Dense(1, in_features=2)
    model(tg.tensor([[30.0, 40.0]])).sum().backward()
    assert optim.clip_by_global_norm(model, 1.0).item() == pytest.approx(np.sqrt(2501))
    named = dict(zip("ab", with_gradients([3.0], [4.0])))
    assert optim.clip_by_global_norm(named, 1.0).item() == 5.0
    assert named["a"].grad.item() == pytest.approx(0.6)
    a, without = with_gradients([9.0], [9.0])
    without.grad = None
    optim.clip_by_value([a, without], 1.0)
    assert (a.grad.item(), without.grad) == (1.0, None)


# What is no parameter keeps its numbers.
NO_PARAMETERS = {
    "data": (lambda: [tg.tensor([3.0])], "item 0 does not require grad"),
    "a buffer": (lambda: [tg.nn.Buffer([3.0])], "item 0 does not require grad"),
    "the state of a module": (lambda: tg.nn.Dense(1, in_features=2).state_dict(), "item 0 does not require grad"),
    "a gradient": (lambda: [tg.grad(lambda w: (w * w).sum())(tg.tensor([3.0]))], "write p.grad = gradient, and give p"),
    "a result": (lambda: [tg.tensor([3.0], requires_grad=True) * 2], "item 0 is the result of a call"),
    "one among parameters": (lambda: [*with_gradients([9.0]), tg.tensor([3.0])], "item 1 does not require grad"),
}  # fmt: skip


@pytest.mark.parametrize("clip", [optim.clip_by_value, optim.clip_by_norm, optim.clip_by_global_norm])
@pytest.mark.parametrize("case", NO_PARAMETERS)
def test_what_is_no_parameter_is_not_written(clip, case):
    make, words = NO_PARAMETERS[case]
    given = make()
    tensors = list(given.values() if isinstance(given, dict) else given)
    before = [(t.tolist(), t.grad if t.node or t.grad is None else t.grad.tolist()) for t in tensors]
    with pytest.raises(ValueError, match=words):
        clip(given, 1e-3)
    assert [(t.tolist(), t.grad if t.node or t.grad is None else t.grad.tolist()) for t in tensors] == before


@pytest.mark.parametrize("clip", [optim.clip_by_norm, optim.clip_by_global_norm])
def test_float16_neither_overflows_nor_vanishes(clip):
    for value, n in ((60000.0, 10_000), (1e-4, 10_000), (60000.0, 100)):
        (p,) = with_gradients(np.full(n, value), dtype="float16")
        size = float(p.grad.data[0])
        clip([p], 0.001)
        assert p.grad.dtype == tg.float16
        expected = size * min(1, 0.001 / (size * np.sqrt(n)))
        np.testing.assert_allclose(p.grad.numpy().astype(float), expected, rtol=1e-3, atol=6e-8)


def test_float32_of_any_size():
    (p,) = with_gradients([3e30, 4e30], dtype="float32")
    assert optim.clip_by_global_norm([p], 1.0).item() == pytest.approx(5e30)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)
    (p,) = with_gradients([3e-30, 4e-30], dtype="float32")
    assert optim.clip_by_global_norm([p], 1.0).item() == pytest.approx(5e-30)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(bad):
    params = with_gradients([bad, 1.0])
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(optim.clip_by_global_norm(params, 1.0).item())
    assert np.isnan(params[0].grad.numpy()).any()


def test_on_and_across_devices(elsewhere):
    params = with_gradients([3.0], device=elsewhere) + with_gradients([4.0])
    optim.clip_by_value(params, 10.0)
    optim.clip_by_norm(params, 10.0)
    assert optim.clip_by_global_norm(params, 1.0).item() == pytest.approx(5.0)
    assert [p.grad.item() for p in params] == pytest.approx([0.6, 0.8])
    assert [p.grad.device for p in params] == [elsewhere, "cpu"]


def test_global_norm_of_an_optimizer_spans_its_groups(elsewhere):
    a, b, c = (
        with_gradients([3.0])
        + with_gradients([4.0], device=elsewhere)
        + with_gradients([12.0], dtype="float32")
    )
    opt = optim.SGD(
        [{"params": [a, b]}, {"params": [c], "global_clipnorm": 26.0}], lr=1.0, global_clipnorm=1.3
    )
    opt.step()
    assert [p.item() for p in (a, b, c)] == pytest.approx([-0.3, -0.4, -12.0])


def test_not_contiguous_gradients():
    p = tg.zeros((2, 3), dtype="float64").requires_grad_()
    p.grad = tg.asarray(np.arange(6.0).reshape(3, 2).T)
    optim.clip_by_global_norm([p], 1.0)
    assert np.sqrt((p.grad.numpy() ** 2).sum()) == pytest.approx(1.0)


def test_a_clipped_gradient_counts_as_written():
    p = tg.tensor([3.0], requires_grad=True)
    (p * p).sum().backward()
    before = p.grad._version
    optim.clip_by_value([p], 1.0)
    assert p.grad._version > before


@pytest.mark.parametrize("clip", [optim.clip_by_value, optim.clip_by_norm, optim.clip_by_global_norm])
def test_bad_input(clip):
    p = tg.tensor([3.0], requires_grad=True)
    for limit, kind in ((0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(kind, match="limit: expected a finite number above 0"):
            clip([p], limit)
    with pytest.raises(RuntimeError, match=r"there is no gradient: call loss.backward\(\) first"):
        clip([p], 1.0)
    with pytest.raises(
        TypeError, match=f"{clip.__name__}: expected a Module, tensors or a dict of tensors, got"
    ):
        clip(p, 1.0)
    with pytest.raises(TypeError, match="item 0 is not a tensor but float"):
        clip([3.0], 1.0)
    (p * p).sum().backward(create_graph=True)
    with pytest.raises(RuntimeError, match="was recorded"):
        clip([p], 1.0)


def test_frozen_parameters_are_left_alone():
    for clip in (optim.clip_by_value, optim.clip_by_norm, optim.clip_by_global_norm):
        trained, frozen, other = with_gradients([3.0, 4.0], [30.0, 40.0], [0.0])
        frozen.requires_grad_(False)
        other.requires_grad_(False).grad = None
        weight = tg.Parameter(tg.ones((2,))).requires_grad_(False)
        norm = clip([trained, frozen, weight], 1.0)
        assert norm is None or norm.item() == 5.0
        assert frozen.grad.tolist() == [30.0, 40.0] and weight.tolist() == [1.0, 1.0]
        optim.SGD(dict(a=trained), lr=1.0).step()


def test_a_stale_gradient_of_a_frozen_parameter_moves_nothing():
    a, b = with_gradients([1.0], [1.0])
    opt = optim.SGD([a, b], lr=1.0, global_clipnorm=1.0)
    b.requires_grad_(False)
    opt.step()
    assert (a.item(), b.item()) == (-1.0, 0.0)


@pytest.mark.parametrize("size", [1e-200, 1e-170, 1.0, 1e160, 1e300])
def test_a_norm_neither_overflows_nor_vanishes(size):
    params = with_gradients([3.0 * size, 0.0], [4.0 * size])
    assert optim.clip_by_global_norm(params, size).item() == pytest.approx(5.0 * size)
    assert [p.grad.tolist()[0] / size for p in params] == pytest.approx([0.6, 0.8])


def test_the_norm_of_an_infinite_gradient():
    with np.errstate(invalid="ignore"):
        assert optim.clip_by_global_norm(with_gradients([np.inf], [1.0]), 1.0).item() == np.inf
