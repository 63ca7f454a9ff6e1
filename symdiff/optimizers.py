"""THE table of update rules: what one training step does to one element of a parameter.

An optimizer is a list of equations `left ← right`, carried out from top to bottom for every
element of every parameter; each line sees the newest values of the lines above it. A symbol that
is read before it is written is *state*: it keeps its value until the next step. All other
left-hand symbols are intermediates. `RULES` holds the built-in equations, one row per optimizer.

Notation of the equations: `w` parameter, `g` gradient, `m` mean or momentum, `v` mean square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sympy as sp

from .errors import InvalidArgument, InvalidType
from .update_rule import (
    Equation,
    Hyperparameter,
    Optimizer,
    UpdateSymbol,
    Value,
    epoch,
    gradient,
    parameter,
    read_number,
    step,
    unknown_names,
)

__all__ = [
    "RULES",
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "epoch",
    "gradient",
    "parameter",
    "step",
]

Given: TypeAlias = Value | None  # None: what the convention takes

# ---- The table: equations ----------------------------------------------------------------------

_NAMES = "learning_rate momentum weight_decay beta1 beta2 rho epsilon momentum_decay"
learning_rate, momentum, weight_decay, beta1, beta2, rho, epsilon, momentum_decay = (
    Hyperparameter(name, real=True) for name in _NAMES.split()
)
a, b, c, d, m, u, v, m_hat, v_hat, v_max, alpha, mu, mu_next, mu_product = (
    UpdateSymbol(name, real=True)
    for name in "a b c d m u v m_hat v_hat v_max alpha mu mu_next mu_product".split()
)


def _mean(symbol: sp.Symbol, decay: sp.Expr, value: sp.Expr) -> Equation:
    return symbol, decay * symbol + (1 - decay) * value


def _bias(decay: sp.Expr) -> sp.Expr:
    """What a mean of ones that began at zero has reached after this step."""
    return 1 - decay ** (step + 1)


def _decayed(values: Mapping[str, Any]) -> sp.Expr:
    """The parameter after decoupled weight decay."""
    return (1 - learning_rate * weight_decay) * parameter if values["weight_decay"] else parameter


def _sgd(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    decays, has_momentum = bool(values["weight_decay"]), bool(values["momentum"])
    if convention == "keras":
        move = momentum * m - learning_rate * gradient
        if not has_momentum:
            return [(parameter, _decayed(values) - learning_rate * gradient)]
        return [(m, move), (parameter, _decayed(values) + (move if values["nesterov"] else m))]
    if values["nesterov"] and not has_momentum:
        raise InvalidArgument(
            "nesterov of SGD is True with momentum 0; give a momentum, e.g. momentum=0.9."
        )
    lines = [(d, gradient + weight_decay * parameter)] if decays else []
    slope = d if decays else gradient
    if not has_momentum:
        return [*lines, (parameter, parameter - learning_rate * slope)]
    direction = slope + momentum * m if values["nesterov"] else m
    return [
        *lines,
        (m, momentum * m + slope),
        (parameter, parameter - learning_rate * direction),
    ]


def _adagrad(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    root = sp.sqrt(a + epsilon) if convention == "keras" else sp.sqrt(a) + epsilon
    return [(a, a + gradient**2), (parameter, parameter - learning_rate * gradient / root)]


def _adadelta(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    return [
        _mean(v, rho, gradient**2),
        (d, sp.sqrt(u + epsilon) / sp.sqrt(v + epsilon) * gradient),
        _mean(u, rho, d**2),
        (parameter, parameter - learning_rate * d),
    ]


def _rmsprop(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    square = v - a**2 if values["centered"] else v
    keras = convention == "keras"
    direction = gradient / (sp.sqrt(square + epsilon) if keras else sp.sqrt(square) + epsilon)
    lines = [_mean(v, rho, gradient**2)]
    if values["centered"]:
        lines.append(_mean(a, rho, gradient))
    if not values["momentum"]:
        return [*lines, (parameter, parameter - learning_rate * direction)]
    if keras:
        move = (b, momentum * b + learning_rate * direction)
        return [*lines, move, (parameter, parameter - b)]
    return [*lines, (b, momentum * b + direction), (parameter, parameter - learning_rate * b)]


def _moments() -> list[Equation]:
    return [_mean(m, beta1, gradient), _mean(v, beta2, gradient**2)]


def _adam_step(convention: str, start: sp.Expr, square: sp.Symbol) -> list[Equation]:
    # Keras takes both bias corrections into the learning rate, so its epsilon weighs differently.
    if convention == "keras":
        return [
            (alpha, learning_rate * sp.sqrt(_bias(beta2)) / _bias(beta1)),
            (parameter, start - alpha * m / (sp.sqrt(square) + epsilon)),
        ]
    return [
        (m_hat, m / _bias(beta1)),
        (v_hat, square / _bias(beta2)),
        (parameter, start - learning_rate * m_hat / (sp.sqrt(v_hat) + epsilon)),
    ]


def _adam(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    return [*_moments(), *_adam_step(convention, parameter, v)]


def _adamw(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    return [*_moments(), *_adam_step(convention, _decayed(values), v)]


def _amsgrad(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    maximum = (v_max, sp.Max(v_max, v))
    return [*_moments(), maximum, *_adam_step(convention, parameter, v_max)]


def _adamax(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    size, divisor = sp.Abs(gradient) + epsilon, u
    if convention == "keras":
        size, divisor = sp.Abs(gradient), u + epsilon
    return [
        _mean(m, beta1, gradient),
        (u, sp.Max(beta2 * u, size)),
        (parameter, parameter - learning_rate * m / (_bias(beta1) * divisor)),
    ]


def _nadam(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    def momentum_at(number: sp.Expr) -> sp.Expr:
        return beta1 * (1 - sp.Float(0.96) ** (momentum_decay * number) / 2)

    ahead = mu_next * m / (1 - mu_product * mu_next)
    return [
        (mu, momentum_at(step + 1)),
        (mu_next, momentum_at(step + 2)),
        (mu_product, mu_product * mu),
        *_moments(),
        (m_hat, ahead + (1 - mu) * gradient / (1 - mu_product)),
        (v_hat, v / _bias(beta2)),
        (parameter, parameter - learning_rate * m_hat / (sp.sqrt(v_hat) + epsilon)),
    ]


def _lion(convention: str, values: Mapping[str, Any]) -> list[Equation]:
    return [
        (c, beta1 * m + (1 - beta1) * gradient),
        (parameter, _decayed(values) - learning_rate * sp.sign(c)),
        _mean(m, beta2, gradient),
    ]


@dataclass(frozen=True)
class Row:
    """A built-in optimizer: its equations, the defaults of both conventions, its initial state.

    An initial value is a number or the name of a hyper-parameter.
    """

    equations: Callable[[str, Mapping[str, Any]], list[Equation]]
    torch: Mapping[str, float]
    keras: Mapping[str, float]
    initial: Mapping[sp.Symbol, int | str] = field(default_factory=dict)


_ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
_ADAM_KERAS = {"learning_rate": 0.001, **_ADAM, "epsilon": 1e-7}
_SGD = {"momentum": 0.0, "weight_decay": 0.0}
_LION = {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}

# Equations and defaults of torch.optim 2.13 and Keras 3.15. torch has no Lion: there the first
# convention is that of the authors' own PyTorch code (github.com/google/automl, lion).
RULES: dict[str, Row] = {
    "SGD": Row(_sgd, {"learning_rate": 0.001, **_SGD}, {"learning_rate": 0.01, **_SGD}),
    "Adagrad": Row(
        _adagrad,
        {"learning_rate": 0.01, "epsilon": 1e-10, "initial_accumulator": 0.0},
        {"learning_rate": 0.001, "epsilon": 1e-7, "initial_accumulator": 0.1},
        {a: "initial_accumulator"},
    ),
    "Adadelta": Row(
        _adadelta,
        {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
        {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
    ),
    "RMSprop": Row(
        _rmsprop,
        {"learning_rate": 0.01, "rho": 0.99, "epsilon": 1e-8, "momentum": 0.0},
        {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7, "momentum": 0.0},
    ),
    "Adam": Row(_adam, {"learning_rate": 0.001, **_ADAM}, _ADAM_KERAS),
    "AdamW": Row(
        _adamw,
        {"learning_rate": 0.001, **_ADAM, "weight_decay": 0.01},
        {**_ADAM_KERAS, "weight_decay": 0.004},
    ),
    "Adamax": Row(_adamax, {"learning_rate": 0.002, **_ADAM}, _ADAM_KERAS),
    "Nadam": Row(
        _nadam,
        {"learning_rate": 0.002, **_ADAM, "momentum_decay": 0.004},
        {**_ADAM_KERAS, "momentum_decay": 1.0},
        {mu_product: 1},
    ),
    "AMSGrad": Row(_amsgrad, {"learning_rate": 0.001, **_ADAM}, _ADAM_KERAS),
    "Lion": Row(_lion, {"learning_rate": 1e-4, **_LION}, {"learning_rate": 0.001, **_LION}),
}


# ---- The built-in optimizers -------------------------------------------------------------------


def _hyperparameter(owner: str, name: str, value: object) -> Value:
    """A float, or an expression in `step` and `epoch` as it is."""
    what = f"{name} of {owner}"
    expression = read_number(what, value)
    unknown = expression.free_symbols - {step, epoch}
    if unknown:
        raise InvalidArgument(
            f"{what} is {value} and contains {unknown_names(unknown, (step, epoch))}; it may "
            "depend on symdiff.step and symdiff.epoch only. Replace every other symbol by a number."
        )
    if not expression.is_number:
        if name == "initial_accumulator":
            raise InvalidArgument(f"{what} is {value}; the state begins with a number, give one.")
        return expression
    number = float(expression)
    if number < 0:
        raise InvalidArgument(f"{what} is {number}; it must be 0 or more.")
    if name in ("beta1", "beta2", "rho") and number >= 1:
        raise InvalidArgument(f"{what} is {number}; it must be at least 0 and below 1, e.g. 0.9.")
    return number


class BuiltIn(Optimizer):
    """An optimizer of the table: it stores hyper-parameters and takes the equations from its row.

    See Also
    --------
    RULES : The rows.
    """

    def _fill(self, arguments: Mapping[str, Any]) -> None:
        """Store the row of this class, with the convention's default for what is not given."""
        name = next(cls.__name__ for cls in type(self).__mro__ if cls.__name__ in RULES)
        row, chosen = RULES[name], dict(arguments)
        convention, lr = chosen.pop("convention"), chosen.pop("lr")
        del chosen["self"]
        if convention not in ("torch", "keras"):
            raise InvalidArgument(
                f"convention of {name} is {convention!r}; choose 'torch' or 'keras'."
            )
        if lr is not None:
            if chosen["learning_rate"] is not None:
                raise InvalidArgument(f"{name} got learning_rate and lr, which are one; drop one.")
            chosen["learning_rate"] = lr
        defaults = row.keras if convention == "keras" else row.torch
        values: dict[str, Value | bool] = {}
        for key, value in chosen.items():
            if key in defaults:
                values[key] = _hyperparameter(name, key, defaults[key] if value is None else value)
            elif isinstance(value, bool):
                values[key] = value
            else:
                raise InvalidType(f"{key} of {name} is {value!r}; give True or False.")
        initial = {
            symbol: values[value] if isinstance(value, str) else value
            for symbol, value in row.initial.items()
        }
        self._store(name, row.equations(convention, values), initial, values, convention)


class SGD(BuiltIn):
    """Gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        Factor of the gradient: 0.001, Keras 0.01. `lr` is the same argument.
    momentum : float
        Share of the last step that is added to the next: 0.
    nesterov : bool
        Whether to look one step of momentum ahead.
    weight_decay : float
        0. torch adds `weight_decay·w` to the gradient; Keras shrinks the parameter instead.
    convention : {"torch", "keras"}
        Whose equations and defaults. They differ under a schedule: Keras' momentum sums steps,
        torch's sums gradients.

    Examples
    --------
    >>> print(SGD(0.1, momentum=0.9))
    m ← momentum·m + g
    w ← w − learning_rate·m
    learning_rate = 0.1, momentum = 0.9
    """

    def __init__(
        self,
        learning_rate: Given = None,
        momentum: Given = None,
        nesterov: bool = False,
        weight_decay: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class Adagrad(BuiltIn):
    """Steps divided by the root of the sum of squared gradients (Duchi et al. 2011).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        0.01, Keras 0.001. `lr` is the same argument.
    epsilon : float
        Added to the root (torch, 1e-10) or under it (Keras, 1e-7).
    initial_accumulator : float
        Where the sum begins: 0, Keras 0.1.
    convention : {"torch", "keras"}
        Whose equations and defaults.

    Examples
    --------
    >>> print(Adagrad(0.1))
    a ← a + g²
    w ← w − learning_rate·g/(√a + ε)
    learning_rate = 0.1, epsilon = 1e-10
    """

    def __init__(
        self,
        learning_rate: Given = None,
        epsilon: Given = None,
        initial_accumulator: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class Adadelta(BuiltIn):
    """Steps with the unit of the parameter (Zeiler 2012, arXiv:1212.5701, algorithm 1).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        1 as in the paper, Keras 0.001. `lr` is the same argument.
    rho : float
        Decay rate of both mean squares: 0.9, Keras 0.95.
    epsilon : float
        Added under both roots: 1e-6, Keras 1e-7.
    convention : {"torch", "keras"}
        Whose defaults; the equations are the same.

    Examples
    --------
    >>> print(Adadelta())
    v ← ρ·v + (1 − ρ)·g²
    d ← √(u + ε)·g/√(v + ε)
    u ← ρ·u + (1 − ρ)·d²
    w ← w − learning_rate·d
    learning_rate = 1.0, rho = 0.9, epsilon = 1e-06
    """

    def __init__(
        self,
        learning_rate: Given = None,
        rho: Given = None,
        epsilon: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class RMSprop(BuiltIn):
    """Steps divided by the root mean square of the gradient (Hinton 2012, lecture 6e).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        0.01, Keras 0.001. `lr` is the same argument.
    rho : float
        Decay rate of the mean square, torch's `alpha`: 0.99, Keras 0.9.
    epsilon : float
        Added to the root (torch, 1e-8) or under it (Keras, 1e-7).
    momentum : float
        Share of the last step that is added to the next: 0.
    centered : bool
        Whether to divide by the standard deviation instead (Graves 2013, arXiv:1308.0850).
    convention : {"torch", "keras"}
        Whose equations and defaults.

    Examples
    --------
    >>> print(RMSprop(0.01))
    v ← ρ·v + (1 − ρ)·g²
    w ← w − learning_rate·g/(√v + ε)
    learning_rate = 0.01, rho = 0.99, epsilon = 1e-08
    """

    def __init__(
        self,
        learning_rate: Given = None,
        rho: Given = None,
        epsilon: Given = None,
        momentum: Given = None,
        centered: bool = False,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class Adam(BuiltIn):
    """Mean over root mean square of the gradient (Kingma, Ba 2015, arXiv:1412.6980, alg. 1).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        0.001. `lr` is the same argument.
    beta1, beta2 : float
        Decay rates of the mean and of the mean square: 0.9 and 0.999.
    epsilon : float
        Keeps the step finite: 1e-8, Keras 1e-7. Keras adds it before the bias correction.
    convention : {"torch", "keras"}
        Whose equations and defaults.

    Examples
    --------
    >>> print(Adam(1e-3))
    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    m̂ ← m/(1 − β₁^(step + 1))
    v̂ ← v/(1 − β₂^(step + 1))
    w ← w − learning_rate·m̂/(√v̂ + ε)
    learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-08
    >>> Adam(0.1 / (1 + step)).learning_rate
    0.1/(step + 1)
    """

    def __init__(
        self,
        learning_rate: Given = None,
        beta1: Given = None,
        beta2: Given = None,
        epsilon: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class AMSGrad(Adam):
    """Adam whose mean square never falls (Reddi et al. 2018, arXiv:1904.09237, algorithm 2).

    The parameters are those of `Adam`.

    Examples
    --------
    >>> str(AMSGrad()).splitlines()[2]
    'v_max ← max(v, v_max)'
    """


class Adamax(Adam):
    """Adam with the largest gradient for the mean square (arXiv:1412.6980, algorithm 2).

    The parameters are those of `Adam`; torch's learning rate is 0.002. torch adds epsilon to
    every gradient, Keras to the largest one.

    Examples
    --------
    >>> str(Adamax()).splitlines()[1:3]
    ['u ← max(β₂·u, |g| + ε)', 'w ← w − learning_rate·m/((1 − β₁^(step + 1))·u)']
    """


class AdamW(BuiltIn):
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, arXiv:1711.05101, alg. 2).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, convention
        As in `Adam`.
    weight_decay : float
        The parameter shrinks by the factor `1 − learning_rate·weight_decay`: 0.01, Keras 0.004.

    Examples
    --------
    >>> str(AdamW()).splitlines()[4]
    'w ← (1 − learning_rate·weight_decay)·w − learning_rate·m̂/(√v̂ + ε)'
    """

    def __init__(
        self,
        learning_rate: Given = None,
        beta1: Given = None,
        beta2: Given = None,
        epsilon: Given = None,
        weight_decay: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class Nadam(BuiltIn):
    """Adam with Nesterov's momentum (Dozat 2016, *Incorporating Nesterov momentum into Adam*).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, convention
        As in `Adam`; torch's learning rate is 0.002.
    momentum_decay : float
        How fast the momentum rises from β₁/2 to β₁: 0.004. Keras fixes it at 1.

    Examples
    --------
    >>> print(Nadam())
    μ ← β₁·(1 − 0.96^(momentum_decay·(step + 1))/2)
    μ_next ← β₁·(1 − 0.96^(momentum_decay·(step + 2))/2)
    μ_product ← μ·μ_product
    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    m̂ ← μ_next·m/(1 − μ_next·μ_product) + (1 − μ)·g/(1 − μ_product)
    v̂ ← v/(1 − β₂^(step + 1))
    w ← w − learning_rate·m̂/(√v̂ + ε)
    learning_rate = 0.002, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-08, momentum_decay = 0.004
    initially μ_product = 1
    """

    def __init__(
        self,
        learning_rate: Given = None,
        beta1: Given = None,
        beta2: Given = None,
        epsilon: Given = None,
        momentum_decay: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())


class Lion(BuiltIn):
    """Steps of one size, by the sign of a mean (Chen et al. 2023, arXiv:2302.06675, alg. 2).

    Parameters
    ----------
    learning_rate : float or expression in `step` and `epoch`
        Size of every step: 0.0001, Keras 0.001. `lr` is the same argument.
    beta1, beta2 : float
        Decay rates of the mean in the step and of the mean that is kept: 0.9 and 0.99.
    weight_decay : float
        As in `AdamW`: 0.
    convention : {"torch", "keras"}
        Whose defaults; the equations are the same. "torch" is the authors' code for it.

    Examples
    --------
    >>> print(Lion())
    c ← β₁·m + (1 − β₁)·g
    w ← w − learning_rate·sign(c)
    m ← β₂·m + (1 − β₂)·g
    learning_rate = 0.0001, beta1 = 0.9, beta2 = 0.99
    """

    def __init__(
        self,
        learning_rate: Given = None,
        beta1: Given = None,
        beta2: Given = None,
        weight_decay: Given = None,
        *,
        convention: str = "torch",
        lr: Given = None,
    ) -> None:
        self._fill(locals())
