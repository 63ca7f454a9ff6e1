"""Minimax polynomials by Remez' exchange: how the coefficients of vector_math.py were found."""

import mpmath as mp

BITS = 240


def remez(function, weight, degree, start, stop):
    """Coefficients and error of the polynomial p with the least ``max |weight (p - function)|``.

    Each round solves for the polynomial whose error alternates between degree + 2 points, and
    moves the points to where the error is largest.
    """
    points = degree + 2
    middle, half = (start + stop) / 2, (stop - start) / 2
    x = [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * points)) for i in range(points)]
    grid = [middle - half * mp.cos(mp.pi * i / (40 * points)) for i in range(40 * points + 1)]
    for _ in range(12):
        matrix, values = mp.matrix(points, points), mp.matrix(points, 1)
        for i in range(points):
            for j in range(degree + 1):
                matrix[i, j] = x[i] ** j
            matrix[i, points - 1] = (-1) ** i / weight(x[i])
            values[i] = function(x[i])
        solution = list(mp.lu_solve(matrix, values))
        coefficients, level = solution[:-1], abs(solution[-1])
        errors = [weight(g) * (mp.polyval(coefficients[::-1], g) - function(g)) for g in grid]
        x, worst = _alternating(grid, errors, points)
        if worst < level * (1 + mp.mpf(10) ** -4):
            break
    return coefficients, worst


def _alternating(grid, errors, count):
    """The points of largest error, of alternating sign, each moved to the top of a parabola."""
    best = []
    for i, error in enumerate(errors):
        if best and errors[best[-1]] * error > 0:
            if abs(error) > abs(errors[best[-1]]):
                best[-1] = i
        else:
            best.append(i)
    while len(best) > count:
        best.pop(0 if abs(errors[best[0]]) < abs(errors[best[-1]]) else -1)
    return [_peak(grid, errors, i) for i in best], max(abs(errors[i]) for i in best)


def _peak(grid, errors, i):
    if not 0 < i < len(grid) - 1:
        return grid[i]
    left, right = grid[i] - grid[i - 1], grid[i + 1] - grid[i]
    rise = (errors[i] - errors[i - 1]) / left
    fall = (errors[i + 1] - errors[i]) / right
    bend = (fall - rise) / (left + right)
    top = grid[i] - (fall - bend * right) / (2 * bend)
    return top if grid[i - 1] < top < grid[i + 1] else grid[i]


def _ratio(function, at_zero):
    """A quotient that is 0/0 at 0."""
    return lambda x: function(x) if abs(x) > mp.mpf(2) ** -60 else mp.mpf(at_zero)


def _wide(start, stop):
    """A little beyond the interval: reduced arguments are rounded."""
    return tuple(x * (1 + mp.mpf(2) ** -16) for x in (start, stop))


def problems(dtype):
    """Name to function, weight and interval; the weights make the error of the result relative."""
    quarter = (mp.pi / 4) ** 2
    steepest = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2  # (f / (2 + f))² at 1 + f = √2
    third = mp.mpf(2) / 3
    scaled = _scaled_erfc(mp.mpf(SPLIT))
    return {
        "exp": (
            _ratio(lambda r: (mp.expm1(r) - r) / r**2, 0.5),
            lambda r: abs(r) + mp.mpf(2) ** -30,
            *_wide(-mp.log(2) / 2, mp.log(2) / 2),
        ),
        "log": (
            _ratio(lambda t: _log_series(t) / t, third),
            lambda t: t + mp.mpf(2) ** -20,
            *_wide(mp.mpf(0), steepest),
        ),
        "log_to_two": (
            _ratio(lambda t: _log_series(t) / t, third),
            lambda t: t + mp.mpf(2) ** -20,
            *_wide(mp.mpf(0), mp.mpf(1) / 9),
        ),
        "log_tail": (
            _ratio(lambda t: (_log_series(t) - third * t) / t**2, mp.mpf(2) / 5),
            lambda t: t**2 + mp.mpf(2) ** -20,
            *_wide(mp.mpf(0), steepest),
        ),
        "sin": (
            _ratio(lambda t: (mp.sin(mp.sqrt(t)) / mp.sqrt(t) - 1) / t, -mp.mpf(1) / 6),
            lambda t: t + mp.mpf(2) ** -20,
            *_wide(mp.mpf(0), quarter),
        ),
        "cos": (
            _ratio(lambda t: (mp.cos(mp.sqrt(t)) - 1 + t / 2) / t**2, mp.mpf(1) / 24),
            lambda t: t**2 + mp.mpf(2) ** -20,
            *_wide(mp.mpf(0), quarter),
        ),
        "erf": (
            _ratio(lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t) - 1, 2 / mp.sqrt(mp.pi) - 1),
            lambda t: mp.mpf(1),
            *_wide(mp.mpf(0), mp.mpf(NEAR) ** 2),
        ),
        "erfc": (
            scaled,
            lambda q: 1 / scaled(q),
            mp.mpf(-1),
            (LAST[dtype] - SPLIT) / (LAST[dtype] + SPLIT),
        ),
    }


SPLIT = 3
NEAR = 0.85
LAST = {"float64": mp.mpf("27.5"), "float32": mp.mpf("10.25")}
"""Beyond these erfc is 0."""


def _log_series(t):
    """``log(1 + f) / s - 2`` where ``s = f / (2 + f)`` and ``t = s²``."""
    s = mp.sqrt(t)
    return 2 * mp.atanh(s) / s - 2


def _scaled_erfc(split):
    """``exp(a²) erfc(a) (a + split)`` of ``q = (a - split) / (a + split)``."""

    def function(q):
        a = split * (1 + q) / (1 - q)
        return mp.erfc(a) * mp.exp(a * a) * (a + split)

    return function
