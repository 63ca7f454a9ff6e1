"""Special functions for generated kernels: SciPy's compiled routines, in float64.

SciPy exports its routines as Cython capsules. Each is registered with LLVM under a name of ours,
so that a cached kernel finds it in another process, where its address differs.

``plain_special`` has the same names for kernels run as plain Python.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from scipy.special import cython_special

from symdiff.special import BRANCH_NEAR, BRANCH_POINT, BRANCH_SERIES, REFLECTED, SERIES

from .translation import builtins
from .translation.names import Builtin, Definition, python_function

_MODULE = "scipy.special.cython_special"


def _signature(capsule: Any) -> str:
    """The C signature of an exported routine, as Cython writes it."""
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    text: bytes = name(capsule)
    return text.decode()


def capsule_name(routine: str, arguments: int = 1) -> str:
    """The export of a routine that takes and returns float64.

    A routine of several types is exported once for each, as ``__pyx_fuse_0psi``,
    ``__pyx_fuse_1psi`` …; which number is which type differs between routines.
    """
    wanted = f"double ({', '.join(['double'] * arguments)}"
    names = [routine, *(f"__pyx_fuse_{i}{routine}" for i in range(8))]
    for name in names:
        capsule = cython_special.__pyx_capi__.get(name)
        if capsule is not None and _signature(capsule) in (
            f"{wanted})",
            f"{wanted}, int __pyx_skip_dispatch)",
        ):
            return name
    raise ImportError(f"this SciPy exports no float64 routine scipy.special.{routine}")


def _register(routine: str, name: str) -> str:
    """Make an export known to LLVM; gives the symbol."""
    symbol = f"symdiff_special_{routine}"
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_special.__pyx_capi__[name]
    llvm.add_symbol(symbol, pointer(capsule, _signature(capsule).encode()))
    return symbol


class Routine:
    """A routine of SciPy's in kernels; float32 operands are widened."""

    def __init__(self, routine: str, arguments: int = 1) -> None:
        self.symbol = _register(routine, capsule_name(routine, arguments))
        self.arguments = arguments

    def __call__(self, *arguments: float) -> float:
        """The value, in plain Python."""
        kinds: list[Any] = [*[ctypes.c_double] * self.arguments, ctypes.c_int]
        address = llvm.address_of_symbol(self.symbol)
        return float(ctypes.CFUNCTYPE(ctypes.c_double, *kinds)(address)(*arguments, 0))

    def translated(self) -> Builtin:
        """What it is in the translation of a kernel: a call of it by name."""
        return builtins.routine(self.symbol)

    @functools.cached_property
    def _numba_type_(self) -> Any:
        from .numba_functions import routine_type

        return routine_type(self.symbol, self.arguments)


class RoutineResult:
    """One of the results of a routine that writes ``count`` of them through pointers."""

    def __init__(self, routine: str, count: int, position: int) -> None:
        name = next(
            n for n in (routine, *(f"__pyx_fuse_{i}{routine}" for i in range(8)))
            if n in cython_special.__pyx_capi__
            and _signature(cython_special.__pyx_capi__[n]).startswith("void (double, double *")
        )  # fmt: skip
        self.symbol = _register(routine, name)
        self.count, self.position = count, position

    def translated(self) -> Builtin:
        """What it is in the translation of a kernel: a call, and a load of the result."""
        return builtins.routine_result(self.symbol, self.count, self.position)

    @functools.cached_property
    def _numba_type_(self) -> Any:
        from .numba_functions import routine_result_type

        return routine_result_type(self.symbol, self.count, self.position)


class KernelFunction:
    """A function in the language of kernels, without fast-math."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """The value, in plain Python."""
        return self.function(*arguments)

    def translated(self) -> Definition:
        """What it is in the translation of a kernel."""
        return python_function(self.function)

    @functools.cached_property
    def _numba_type_(self) -> Any:
        from .numba_functions import compiled_type

        return compiled_type(self.function)


beta = Routine("beta", 2)
besseli = Routine("iv", 2)
besselj = Routine("jv", 2)
besselk = Routine("kv", 2)
bessely = Routine("yv", 2)
digamma = Routine("psi")
ei = Routine("expi")
erfcinv = Routine("erfcinv")
erfi = Routine("erfi")
erfinv = Routine("erfinv")
gamma = Routine("gamma")
loggamma = Routine("gammaln")
airyai, airyaiprime, airybi, airybiprime = (RoutineResult("airy", 4, i) for i in range(4))
fresnels, fresnelc = (RoutineResult("fresnel", 2, i) for i in range(2))
shi, chi = (RoutineResult("shichi", 2, i) for i in range(2))
si, ci = (RoutineResult("sici", 2, i) for i in range(2))

_lower = Routine("gammainc", 2)
_upper = Routine("gammaincc", 2)
_expn = Routine("expn", 2)


@KernelFunction
def lowergamma(order: Any, x: Any) -> Any:
    """The lower incomplete gamma function, not regularised."""
    return _lower(order, x) * gamma(order)


@KernelFunction
def uppergamma(order: Any, x: Any) -> Any:
    """The upper incomplete gamma function, not regularised."""
    return _upper(order, x) * gamma(order)


@KernelFunction
def jn_of_positive(order: Any, x: Any) -> Any:
    """``jn`` beyond the reach of its series: the recurrence where it is stable."""
    if x == np.inf:
        return 0.0
    if order > 0.0 and order >= x:
        return np.sqrt(np.pi / 2.0 / x) * besselj(order + 0.5, x)
    before = np.sin(x) / x
    if order == 0.0:
        return before
    current = (before - np.cos(x)) / x
    for k in range(1, int(order)):
        before, current = current, (2.0 * k + 1.0) * current / x - before
    return current


@KernelFunction
def yn_of_positive(order: Any, x: Any) -> Any:
    """``yn`` by its recurrence."""
    if x == 0.0:
        return -np.inf
    if x == np.inf:
        return 0.0
    before = -np.cos(x) / x
    if order == 0.0:
        return before
    current = (before - np.sin(x)) / x
    for k in range(1, int(order)):
        if current == -np.inf:
            return current
        before, current = current, (2.0 * k + 1.0) * current / x - before
    return current


@KernelFunction
def jn(order: Any, x: Any) -> Any:
    """The spherical Bessel function of the first kind; NaN unless the order is natural."""
    order, x = np.float64(order), np.float64(x)
    if not 0.0 <= order < 2.0**31 or order != np.floor(order) or x != x:
        return np.nan
    if x * x <= 2.0 * order + 3.0:
        term = total = 1.0
        for k in range(1, SERIES):
            term *= -x * x / 2.0 / (k * (2.0 * order + 2.0 * k + 1.0))
            total += term
        for k in range(1, int(order) + 1):
            total = total * x / (2.0 * k + 1.0)
        return total
    if x < 0.0:
        result = jn_of_positive(order, -x)
        return result if order % 2.0 == 0.0 else -result
    return jn_of_positive(order, x)


@KernelFunction
def yn(order: Any, x: Any) -> Any:
    """The spherical Bessel function of the second kind; NaN unless the order is natural."""
    order, x = np.float64(order), np.float64(x)
    if not 0.0 <= order < 2.0**31 or order != np.floor(order) or x != x:
        return np.nan
    if x < 0.0:
        result = yn_of_positive(order, -x)
        return -result if order % 2.0 == 0.0 else result
    return yn_of_positive(order, x)


@KernelFunction
def expint(order: Any, x: Any) -> Any:
    """The generalised exponential integral; NaN unless the order is a natural number."""
    order, x = np.float64(order), np.float64(x)
    return _expn(order, x) if 0.0 <= order < 2.0**31 and order == np.floor(order) else np.nan


_BRANCH, _BRANCH_REST = BRANCH_POINT


@KernelFunction
def lambertw(x: Any, branch: Any) -> Any:
    """The real branches 0 and -1 of Lambert's W, by Halley's iteration; NaN elsewhere.

    Starting values by Corless et al., On the Lambert W function (1996), 4.11 and 4.22.
    """
    x, branch = np.float64(x), np.float64(branch)
    principal = branch == 0.0
    if not x >= -np.exp(-1.0) or not (principal or (branch == -1.0 and x <= 0.0)):
        return np.nan
    if x == 0.0:
        return x if principal else -np.inf
    if x == np.inf:
        return x
    if x < -0.25:
        distance = (x + _BRANCH) + _BRANCH_REST
        p = np.sqrt(2.0 * np.e * max(distance, 0.0))
        p = p if principal else -p
        w = 0.0
        for k in range(len(BRANCH_SERIES) - 1, -1, -1):
            w = w * p + BRANCH_SERIES[k]
        if distance < BRANCH_NEAR:
            return w
    elif principal and x < 3.0:
        w = np.log1p(x) if x > 0.0 else x * (1.0 - x)
    else:
        first = np.log(x) if principal else np.log(-x)
        second = np.log(abs(first))
        w = first - second + second / first
    for _ in range(40):
        e = np.exp(w)
        f = w * e - x
        change = f / (e * (w + 1.0) - (w + 2.0) * f / (2.0 * w + 2.0))
        w -= change
        if abs(change) <= 1e-15 * abs(w):
            break
    return w


_DENOMINATORS = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10,
    -2.950130727918164224e12, 1.1646782814350067249e14, -4.5979787224074726105e15,
    1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip
"""(2k)! / B_2k, k = 1, 2, …: the Euler-Maclaurin series."""

_EPSILON = 1.11022302462515654042e-16
_LOWEST = -1e6
"""Below this the terms left of 0 are too many to add up: the result is NaN."""


@KernelFunction
def zeta(s: Any, q: Any) -> Any:
    """Hurwitz's zeta function, the sum of ``(q + k)**-s``; as ``zeta`` of Cephes (S. Moshier)."""
    s, q = np.float64(s), np.float64(q)
    if s != s or q != q or s < 1.0:
        return np.nan
    if s == 1.0:
        return np.inf
    if q <= 0.0:
        if q == np.floor(q):
            return np.inf
        if s != np.floor(s) or q < _LOWEST:
            return np.nan
    if q > 1e8:
        return (1.0 / (s - 1.0) + 1.0 / (2.0 * q)) * q ** (1.0 - s)
    total = q**-s
    a = q
    term = 0.0
    count = 0
    while count < 9 or a <= 9.0:
        count += 1
        a += 1.0
        term = a**-s
        total += term
        if abs(term) < _EPSILON * abs(total):
            return total
    total += term * a / (s - 1.0) - 0.5 * term
    factor = 1.0
    k = 0.0
    for denominator in _DENOMINATORS:
        factor *= s + k
        term /= a
        correction = factor * term / denominator
        total += correction
        if abs(correction) < _EPSILON * abs(total):
            return total
        k += 1.0
        factor *= s + k
        term /= a
        k += 1.0
    return total


_COEFFICIENTS = REFLECTED + 2
"""Of the polynomial in the cotangent that the highest order needs."""


@KernelFunction
def _reflected(order: int, x: float) -> float:
    """``polygamma`` of a negative number that is not whole."""
    cotangent = 1.0 / np.tan(np.pi * (x - np.round(x)))
    coefficients = np.zeros(_COEFFICIENTS)
    slope = np.zeros(_COEFFICIENTS)
    coefficients[1] = 1.0
    for _ in range(order):
        for k in range(_COEFFICIENTS):
            slope[k] = coefficients[k]
            coefficients[k] = 0.0
        for k in range(1, order + 2):
            before = k * slope[k]
            coefficients[k - 1] -= before
            if k + 1 < _COEFFICIENTS:
                coefficients[k + 1] -= before
    term = 0.0
    for k in range(order + 1, -1, -1):
        term = term * cotangent + coefficients[k]
    sign = 1.0 if order % 2 == 0 else -1.0
    opposite = -sign * gamma(order + 1.0) * zeta(order + 1.0, 1.0 - x)
    return sign * opposite - np.pi ** (order + 1.0) * term


@KernelFunction
def polygamma(order: Any, x: Any) -> Any:
    """The derivative of digamma of an order; NaN unless the order is a natural number."""
    order, x = np.float64(order), np.float64(x)
    if not 0.0 <= order < 2.0**31 or order != np.floor(order):
        return np.nan
    if order == 0.0:
        return digamma(x)
    if -np.inf < x < 0.0 and order <= REFLECTED and x != np.floor(x):
        return _reflected(int(order), x)
    sign = 1.0 if order % 2.0 == 1.0 else -1.0
    return sign * gamma(order + 1.0) * zeta(order + 1.0, x)
