"""Losses: predictions first, targets second; each a mean over its elements or rows.

Every loss takes ``reduction="mean"``, ``"sum"`` or ``"none"``. Of scalar symbols each is the
loss of one sample, with nothing to reduce. Shapes must be equal, or one operand a scalar:
broadcasting ``(n, 1)`` against ``(n,)`` would silently compare every row with every other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import arrays
from .bridge import to_graph
from .errors import InvalidArgument, ShapeError
from .language import as_number, shape
from .shapes import Dimension, text
from .structural import described

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "l2",
    "mae",
    "mse",
    "poisson",
]

REDUCTIONS = ("mean", "sum", "none")


def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Mean squared error, ``(prediction - target)**2``.

    Parameters
    ----------
    prediction, target : expression
        Of one shape, or one of them a scalar.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> a, x, y = sp.symbols("a x y")
    >>> sd.losses.mse(a * x, y)
    (a*x - y)**2
    >>> X, w, t = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("t", "n")
    >>> sd.evaluate(sd.losses.mse(X @ w, t), {X: [[1, 2, 3]], w: [1, 1, 1], t: [4]})
    np.float64(4.0)
    """
    prediction, target = _pair("mse", prediction=prediction, target=target)
    return _reduce((prediction - target) ** 2, reduction)


def mae(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Mean absolute error, ``|prediction - target|``, with derivative 0 where they are equal.

    Parameters
    ----------
    prediction, target : expression
        Of one shape, or one of them a scalar.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> import symdiff as sd
    >>> p, t = sd.tensor("p", "n"), sd.tensor("t", "n")
    >>> sd.evaluate(sd.losses.mae(p, t), {p: [1, 2], t: [4, 1]})
    np.float64(2.0)
    """
    prediction, target = _pair("mae", prediction=prediction, target=target)
    return _reduce(arrays.absolute(prediction - target), reduction)


def huber(prediction: Any, target: Any, delta: Any = 1.0, *, reduction: str = "mean") -> Any:
    """Huber's loss: half the squared error up to ``delta``, beyond it linear in the error.

    ``e**2 / 2`` where ``|e| <= delta``, else ``delta * (|e| - delta / 2)``, as in PyTorch and
    Keras [1]_.

    Parameters
    ----------
    prediction, target : expression
        Of one shape, or one of them a scalar.
    delta : positive number
        Where the linear part begins.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    References
    ----------
    .. [1] P. J. Huber, Robust estimation of a location parameter, 1964.

    Examples
    --------
    >>> import symdiff as sd
    >>> p, t = sd.tensor("p", "n"), sd.tensor("t", "n")
    >>> loss = sd.losses.huber(p, t, delta=1, reduction="none")
    >>> sd.evaluate(loss, {p: [0.5, 3, -3], t: [0, 0, 0]})
    array([0.125, 2.5  , 2.5  ])
    """
    prediction, target = _pair("huber", prediction=prediction, target=target)
    if isinstance(delta, float) and delta.is_integer():
        delta = int(delta)  # 1 in formulas, not 1.0
    delta = as_number(delta)
    if shape(delta) or delta.is_positive is False or delta.is_finite is False:
        raise InvalidArgument(f"huber: delta must be a positive number, got {delta}")
    error = prediction - target
    size = arrays.absolute(error)
    near = arrays.less_equal(size, delta)
    return _reduce(arrays.where(near, error**2 / 2, delta * (size - delta / 2)), reduction)


def binary_cross_entropy(logits: Any, y: Any, *, reduction: str = "mean") -> Any:
    """Cross-entropy of ``sigmoid(logits)``: ``softplus(logits) - y * logits``.

    Equal to ``-y log(sigmoid(z)) - (1 - y) log(1 - sigmoid(z))``, finite for all logits; the
    gradient with respect to the logits is ``sigmoid(logits) - y``.

    Parameters
    ----------
    logits : expression
        Any real numbers: what is given to the sigmoid, not its result.
    y : expression
        Labels 0 and 1, or probabilities, of the same shape or a scalar; bool and int count.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> z, y = sp.symbols("z y")
    >>> loss = sd.losses.binary_cross_entropy(z, y)
    >>> sd.gradient(loss, z)
    -y + sigmoid(z)
    >>> sd.evaluate(loss, {z: [1000.0, -1000.0], y: [1, 1]})
    array([   0., 1000.])
    """
    logits, y = _pair("binary_cross_entropy", logits=logits, y=y)
    return _reduce(arrays.softplus(logits) - y * logits, reduction)


def cross_entropy(logits: Any, labels: Any, *, reduction: str = "mean") -> Any:
    """Cross-entropy of ``softmax(logits)`` over the last axis.

    ``logsumexp(logits) - logits[label]`` for each row, finite for all logits; the gradient
    with respect to the logits is ``softmax(logits) - one_hot(labels)``.

    Parameters
    ----------
    logits : expression, shape (..., k)
        Any real numbers: what is given to the softmax, not its result.
    labels : expression
        Class numbers 0 to k - 1, an int tensor of shape (...); or probabilities, of the shape
        of the logits.
    reduction : {"mean", "sum", "none"}
        Over the rows.

    Examples
    --------
    >>> import symdiff as sd
    >>> z, t = sd.tensor("z", "n", 3), sd.tensor("t", "n", dtype="int")
    >>> loss = sd.losses.cross_entropy(z, t)
    >>> sd.evaluate(loss, {z: [[1000.0, 0.0, 0.0]], t: [0]})
    np.float64(0.0)
    >>> p = sd.tensor("p", "n", 3)
    >>> sd.losses.cross_entropy(z, p, reduction="none").shape
    (n,)
    """
    logits, labels = as_number(logits), as_number(labels)
    a, b = to_graph(logits), to_graph(labels)
    operands = f"logits {described(a)} and labels {described(b)}"
    if not a.shape:
        raise ShapeError(
            f"cross_entropy: {operands}: logits need a last axis with one entry for each class; "
            "for two classes and one logit use binary_cross_entropy"
        )
    if b.shape == a.shape:
        return _reduce(-arrays.sum(labels * arrays.log_softmax(logits), axis=-1), reduction)
    if b.shape != a.shape[:-1]:
        raise ShapeError(
            f"cross_entropy: {operands}: labels must be class numbers of shape "
            f"{text(a.shape[:-1])} or probabilities of shape {text(a.shape)}"
        )
    if b.dtype == "real":
        raise InvalidArgument(
            f"cross_entropy: {operands}: class numbers must be an int tensor, but these are "
            f'real; declare them with sd.tensor(..., dtype="int")'
        )
    chosen = arrays.sum(logits * arrays.one_hot(labels, a.shape[-1]), axis=-1)
    return _reduce(arrays.logsumexp(logits, axis=-1) - chosen, reduction)


def hinge(scores: Any, y: Any, *, reduction: str = "mean") -> Any:
    """Hinge loss ``max(0, 1 - y * scores)``, with derivative 0 where the margin is 1.

    Parameters
    ----------
    scores : expression
        Any real numbers; their sign is the predicted class.
    y : expression
        Labels -1 and 1, of the same shape or a scalar.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> import symdiff as sd
    >>> s, y = sd.tensor("s", "n"), sd.tensor("y", "n")
    >>> sd.evaluate(sd.losses.hinge(s, y, reduction="none"), {s: [2, 0.5, 0.5], y: [1, 1, -1]})
    array([0. , 0.5, 1.5])
    """
    scores, y = _pair("hinge", scores=scores, y=y)
    return _reduce(arrays.relu(1 - y * scores), reduction)


def kl_divergence(p: Any, q: Any, *, reduction: str = "mean") -> Any:
    """Divergence of the distribution ``q`` from ``p``: ``sum(p * log(p / q))`` over the last axis.

    An entry with ``p = 0`` counts 0; one with ``q = 0`` and ``p > 0`` is infinite [1]_. Keras
    has the same order of arguments, PyTorch's ``kl_div`` takes ``log(q)`` first.

    Parameters
    ----------
    p, q : expression, shape (..., k)
        Probabilities over the last axis: the true ones and the model's, of one shape or one of
        them a scalar. Of two scalars the loss is the one term.
    reduction : {"mean", "sum", "none"}
        Over the rows.

    References
    ----------
    .. [1] S. Kullback, R. A. Leibler, On information and sufficiency, 1951.

    Examples
    --------
    >>> import symdiff as sd
    >>> p, q = sd.tensor("p", "n", 2), sd.tensor("q", "n", 2)
    >>> loss = sd.losses.kl_divergence(p, q)
    >>> sd.evaluate(loss, {p: [[0, 1]], q: [[0.5, 0.5]]})
    np.float64(0.6931471805599453)
    """
    p, q = _pair("kl_divergence", p=p, q=q)
    # not xlogy(p, p / q): 0 / 0 is NaN
    terms = arrays.xlogy(p, p) - arrays.xlogy(p, q)
    rows = arrays.sum(terms, axis=-1) if shape(terms) else terms
    return _reduce(rows, reduction)


def poisson(prediction: Any, y: Any, *, log_input: bool = True, reduction: str = "mean") -> Any:
    """Negative log-likelihood of counts, without the term ``log(y!)`` of the counts alone.

    ``exp(z) - y * z`` of the logarithm ``z`` of the rate, as PyTorch's ``poisson_nll_loss``;
    with ``log_input=False`` ``rate - y * log(rate)`` of the rate itself, as Keras' ``Poisson``
    but exact, without an epsilon: where ``y`` is 0 the logarithm counts 0.

    Parameters
    ----------
    prediction : expression
        The logarithm of the rate, or the rate.
    y : expression
        Counts, of the same shape or a scalar.
    log_input : bool
        Whether the prediction is the logarithm of the rate.
    reduction : {"mean", "sum", "none"}
        Over all elements.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> z, y = sp.symbols("z y")
    >>> sd.losses.poisson(z, y)
    -y*z + exp(z)
    >>> sd.losses.poisson(z, y, log_input=False)
    z - xlogy(y, z)
    """
    prediction, y = _pair("poisson", prediction=prediction, y=y)
    if log_input:
        return _reduce(arrays.exp(prediction) - y * prediction, reduction)
    return _reduce(prediction - arrays.xlogy(y, prediction), reduction)


def l1(parameters: Any) -> Any:
    """Sum of absolute values, of one expression or of all in a list.

    Parameters
    ----------
    parameters : expression, list of them, or dict with them as keys
        Of any shapes, e.g. the ``parameters`` of a layer.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> a, b = sp.symbols("a b")
    >>> sd.losses.l1([a, b])
    Abs(a) + Abs(b)
    """
    return _total(arrays.absolute(p) for p in _listed(parameters))


def l2(parameters: Any) -> Any:
    """Sum of squares (not halved), of one expression or of all in a list.

    Parameters
    ----------
    parameters : expression, list of them, or dict with them as keys
        Of any shapes, e.g. the ``parameters`` of a layer.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> a, b = sp.symbols("a b")
    >>> sd.losses.l2([a, b])
    a**2 + b**2
    """
    return _total(arrays.square(p) for p in _listed(parameters))


def _listed(parameters: Any) -> list[Any]:
    if isinstance(parameters, (list, tuple, set, frozenset, Mapping)):
        return list(parameters)
    return [parameters]


def _total(terms: Iterable[Any]) -> Any:
    total = as_number(0)
    for term in terms:
        total = total + arrays.sum(term)
    return total


def _pair(loss: str, **operands: Any) -> tuple[Any, Any]:
    """The two operands of an elementwise loss, of one shape or one of them a scalar."""
    (first_name, first), (second_name, second) = operands.items()
    a, b = as_number(first), as_number(second)
    left, right = to_graph(a), to_graph(b)
    if left.shape and right.shape and left.shape != right.shape:
        raise ShapeError(
            f"{loss}: {first_name} {described(left)} and {second_name} {described(right)} must "
            f"have the same shape{_remedy(left.shape, right.shape)}"
        )
    return a, b


def _remedy(a: tuple[Dimension, ...], b: tuple[Dimension, ...]) -> str:
    if (*a, 1) == b or (*b, 1) == a:
        return "; drop the last axis of one with [..., 0], or add one to the other with [..., None]"
    return ""


def _reduce(terms: Any, reduction: str) -> Any:
    if reduction not in REDUCTIONS:
        raise InvalidArgument(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")
    if reduction == "none" or not shape(terms):
        return terms
    return arrays.mean(terms) if reduction == "mean" else arrays.sum(terms)
