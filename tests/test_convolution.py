"""Convolution and pooling: what a user meets beyond the rows of the table."""

import numpy as np
import pytest
import scipy.signal

import codegen
import symdiff as sd

x, k = sd.tensor("x", "n", 3, 8, 6), sd.tensor("k", 5, 3, 3, 2)
RNG = np.random.default_rng(1)
VALUES = {x: RNG.normal(size=(4, 3, 8, 6)), k: RNG.normal(size=(5, 3, 3, 2))}


def test_conv2d_is_a_sum_of_correlations():
    got = sd.evaluate(sd.conv2d(x, k), VALUES)
    for n in range(4):
        for o in range(5):
            channels = [
                scipy.signal.correlate2d(VALUES[x][n, c], VALUES[k][o, c], "valid")
                for c in range(3)
            ]
            np.testing.assert_allclose(got[n, o], sum(channels), rtol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_same_keeps_the_ceiling(stride, size):
    image = sd.tensor("image", "n", 1, 7, 10)
    rows, columns = -(-7 // stride), -(-10 // stride)
    kernel = sd.tensor("kernel", 2, 1, size, size)
    assert sd.conv2d(image, kernel, stride, "same").shape[1:] == (2, rows, columns)
    assert sd.max_pool2d(image, size, stride, "same").shape[1:] == (1, rows, columns)


def test_valid_is_no_padding():
    assert sd.conv2d(x, k, 2, "valid") == sd.conv2d(x, k, 2)
    assert sd.max_pool2d(x, 2, padding="valid") == sd.max_pool2d(x, 2)


def test_strides_that_leave_a_rest():
    """Rows and columns that no window reaches have the derivative zero."""
    gradient = sd.evaluate(sd.gradient(sd.sum(sd.conv2d(x, k, 4) ** 2), x), VALUES)
    assert not gradient[:, :, 7].any() and gradient[:, :, 6].any()


def test_symbolic_sizes():
    image = sd.tensor("image", "n", 1, "h", "w")
    kernel = sd.tensor("kernel", 1, 1, 3, 2)
    result = sd.conv2d(image, kernel, padding=(1, 0))
    h, w = image.shape[2:]
    assert result.shape[1:] == (1, h, w - 1)
    assert sd.conv2d(image, kernel, padding="same").shape == image.shape
    values = {image: RNG.normal(size=(2, 1, 5, 4)), kernel: RNG.normal(size=(1, 1, 3, 2))}
    sd.check_gradient(sd.sum(sd.tanh(result)), [image, kernel], values)
    loss = sd.sum(sd.tanh(result)) + sd.sum(sd.max_pool2d(image, 2, 1))
    outputs = [loss, *sd.gradient(loss, [image, kernel])]
    f = codegen.compile(outputs, inputs=[image, kernel])
    for got, want in zip(f(*values.values()), sd.evaluate(outputs, values), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_ties_of_a_pool_share_the_gradient():
    image = sd.tensor("image", 1, 1, 2, 2)
    gradient = sd.gradient(sd.sum(sd.max_pool2d(image, 2)), image)
    np.testing.assert_array_equal(
        sd.evaluate(gradient, {image: np.ones((1, 1, 2, 2))}), np.full((1, 1, 2, 2), 0.25)
    )


def test_int_images_do_not_wrap():
    pixels = sd.tensor("pixels", "n", 1, 2, 2, dtype="int")
    data = np.full((1, 1, 2, 2), 255, np.uint8)
    kernel = np.ones((1, 1, 2, 2))
    assert sd.evaluate(sd.conv2d(pixels, kernel), {pixels: data}).item() == 1020
    assert codegen.compile([sd.conv2d(pixels, kernel)], inputs=[pixels])(data)[0].item() == 1020


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: sd.conv2d(x, sd.tensor("k", 5, 2, 3, 3)), sd.ShapeError, "3 channels.*takes 2"),
        (lambda: sd.conv2d(x, sd.tensor("k", 3, 3)), sd.ShapeError, r"kernel \(c_out, c_in"),
        (lambda: sd.conv2d(x[0], k), sd.ShapeError, r"input \(n, c_in, h, w\)"),
        (lambda: sd.conv1d(x, k), sd.ShapeError, r"input \(n, c_in, length\)"),
        (lambda: sd.conv2d(x, sd.tensor("k", 5, 3, 9, 3)), sd.ShapeError, "window of 9.*size 8"),
        (lambda: sd.conv2d(x, sd.tensor("k", 5, 3, "h", 3)), sd.ShapeError, "sizes in ints"),
        (lambda: sd.conv2d(x, k, stride=0), sd.InvalidArgument, "stride must be.*0"),
        (lambda: sd.conv2d(x, k, stride=1.5), sd.InvalidArgument, "stride must be"),
        (lambda: sd.conv2d(x, k, stride=(1, 2, 3)), sd.InvalidArgument, "2 of them"),
        (lambda: sd.conv2d(x, k, padding=-1), sd.InvalidArgument, "padding must be.*-1"),
        (lambda: sd.conv2d(x, k, padding="full"), sd.InvalidArgument, "'valid' or 'same'"),
        (lambda: sd.max_pool2d(x, 9), sd.ShapeError, "window of 9"),
        (lambda: sd.max_pool2d(x, 2, padding=2), sd.InvalidArgument, "smaller than the window"),
        (lambda: sd.max_pool2d(sd.tensor("v", 3), 2), sd.ShapeError, r"\(n, c, h, w\)"),
        (lambda: sd.conv2d(sd.tensor("x", "n", 3, "h", 6), k, 2), sd.ShapeError, "stride 1 only"),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)  # fmt: skip
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_strides_are_shown():
    d = sd.derive(sd.sum(sd.conv2d(x, k, 2) ** 2), k)
    assert "conv(x, k, stride 2)" in str(d)
    assert "corr(x, " in str(d)
    assert "conv(x, k, stride=(2, 2))" in str(sd.conv2d(x, k, 2))
