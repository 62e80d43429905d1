"""Convolution and pooling: equal largest elements, NaN, forms of options, and what is refused."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F = nn.functional
RNG = np.random.default_rng(4)


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 1}, {"stride": 2, "padding": 1}], ids=str)
def test_of_equal_elements_the_first_gets_the_gradient_as_in_pytorch(options: Any) -> None:
    torch = pytest.importorskip("torch")
    x = RNG.integers(0, 2, (2, 3, 6, 5)).astype("float64")
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    got = nn.MaxPool2d(3, **options)(ours)
    want = torch.nn.MaxPool2d(3, **options)(theirs)
    w = RNG.normal(size=want.shape)
    got.backward(tg.tensor(w))
    want.backward(torch.tensor(w))
    np.testing.assert_array_equal(got.numpy(), want.detach().numpy())
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)


def test_nan_is_the_largest_and_gets_the_gradient() -> None:
    x = tg.tensor([[[1.0], [np.nan], [3.0], [2.0]]], requires_grad=True)
    y = F.max_pool(x, 2)
    y.backward(tg.tensor([[[5.0], [7.0]]]))
    assert np.isnan(y.numpy()[0, 0, 0]) and y.numpy()[0, 1, 0] == 3.0
    assert x.grad.numpy().ravel().tolist() == [0.0, 5.0, 7.0, 0.0]


def test_forms_of_padding() -> None:
    x, k = RNG.normal(size=(2, 5, 6, 3)), RNG.normal(size=(3, 2, 3, 4))
    for padding, border in (
        (1, ((1, 1), (1, 1))),
        ((0, 2), ((0, 0), (2, 2))),
        (((1, 0), 2), ((1, 0), (2, 2))),
    ):
        grown = np.pad(x, ((0, 0), *border, (0, 0)))
        want = F.conv(grown, k).numpy()
        np.testing.assert_allclose(F.conv(x, k, padding=padding).numpy(), want, rtol=1e-12, atol=1e-12)
    causal = F.conv(x[:, :, 0], k[:, 0], padding="causal").numpy()
    np.testing.assert_allclose(causal, F.conv(x[:, :, 0], k[:, 0], padding=((2, 0),)).numpy(), rtol=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("output_padding", [0, 1])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
def test_a_transposed_convolution_is_cut_alike_at_both_ends(
    window: int, output_padding: int, dilation: int
) -> None:
    """Of the sum of all windows, Keras (on JAX; TensorFlow's refuses even windows) keeps the middle."""
    x, k = (
        np.random.default_rng(0).normal(size=(1, 4, 2)),
        np.random.default_rng(1).normal(size=(window, 3, 2)),
    )
    stride, span = 2, (window - 1) * dilation + 1
    whole = np.zeros((3 * stride + span, 3))
    for n in range(4):
        for i in range(window):
            whole[n * stride + i * dilation] += k[i] @ x[0, n]
    options = {"output_padding": output_padding, "dilation_rate": dilation}
    got = F.conv_transpose(x, k, stride, "same", **options).numpy()[0]
    assert len(got) == 3 * stride + span % 2 + output_padding
    before = max(len(whole) - len(got), 0) // 2
    want = np.concatenate([whole, np.zeros((1, 3))])[before : before + len(got)]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_integers_become_numbers_and_no_axis_is_missed() -> None:
    x = np.arange(12).reshape(1, 6, 2)
    assert F.max_pool(x, 2).dtype == F.average_pool(x, 2).dtype == "float32"
    assert F.conv(x, np.ones((2, 2, 1), "float32")).numpy().ravel().tolist() == [6.0, 14.0, 22.0, 30.0, 38.0]
    layer = nn.Conv2D(2, 3)
    assert not layer.built and layer(tg.ones((1, 4, 4, 5))).shape == (1, 2, 2, 2) and layer.in_features == 5


REFUSED = [
    (lambda: F.conv(np.ones((2, 3)), np.ones((1, 3, 2))), "expected an input of at least 3 axes"),
    (lambda: F.conv(np.ones((2, 5, 3)), np.ones((2, 2, 2))), r"a kernel of shape \(2, 2, 2\) does not fit 3 channels"),
    (lambda: F.conv(np.ones((2, 5, 3)), np.ones((6, 3, 2))), r"a window of \(6,\) does not fit into an input"),
    (lambda: F.conv(np.ones((2, 5, 5, 1)), np.ones((2, 2, 1, 1)), padding="causal"), "must be 'valid' or 'same'"),
    (lambda: F.conv(np.ones((2, 5, 5, 1)), np.ones((2, 2, 1, 1)), (1, 2, 3)), "strides must be one number or 2"),
    (lambda: F.conv_transpose(np.ones((2, 5, 3)), np.ones((2, 3, 2))), r"expected a kernel of shape \(\*window, filt"),
    (lambda: F.conv_transpose(np.ones((2, 5, 3)), np.ones((2, 1, 3)), 2, output_padding=2), "below the strides"),
    (lambda: F.conv_transpose(np.ones((2, 1, 3)), np.ones((2, 1, 3)), 2, "same", output_padding=0), "lengths of at le"),
    (lambda: F.max_pool(np.ones((2, 3, 1)), 4), "does not fit"),
    (lambda: nn.Conv2D(3, 2, groups=2), "filters=3 do not divide into groups=2"),
    (lambda: nn.Conv2D(4, 2, groups=2, in_features=3), "3 channels do not divide into groups=2"),
    (lambda: nn.Conv2D(4, 2, data_format="channels_first"), "channels are the last axis"),
    (lambda: nn.Conv2D(4, 2, in_features=3)(np.ones((2, 5, 5, 4))), "with 3 channels in the last axis"),
    (lambda: nn.Conv1D(4, 2)(np.ones((2, 5, 5, 4))), "expected an input of 3 axes"),
    (lambda: nn.Conv2d(3, 4, 2)(np.ones((2, 5, 5, 3))), "expected 3 channels on axis 1, got 5"),
    (lambda: nn.Conv2d(3, 4, 2, padding="same", stride=2), "needs stride 1"),
    (lambda: nn.Conv2d(3, 4, 2, padding=-1), "padding must be made of integers of at least 0"),
    (lambda: nn.ConvTranspose2d(3, 4, 2, output_padding=1), "output_padding must be below stride or dilation"),
    (lambda: nn.MaxPool2d(2, padding=2), "padding must be at most half of the window"),
    (lambda: nn.MaxPool2d(2, return_indices=True), "the places of the largest elements are not returned"),
    (lambda: nn.Cropping1D(2)(np.ones((1, 4, 1))), "nothing is left"),
    (lambda: nn.Upsample(2, 2), "give size or scale_factor, and not both"),
    (lambda: nn.Upsample(2, mode="linear")(np.ones((1, 1, 2, 2))), "does not fit an input of 4 axes"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
