"""The numbers of ``vector_math``: limits, parts of constants, and minimax polynomials.

The coefficients have the least relative error of the result; they were found by Remez' exchange
in 240 bits (``tests/minimax.py`` finds them again), then rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

FAR = {"float64": 2.0**30, "float32": 2.0**18}
"""Arguments of ``sin`` and ``cos`` below this are reduced to full precision."""

SPLIT = 3.0
"""Where the polynomial for ``erfc`` has its middle."""

NEAR = 0.85
"""Below this ``erf`` has a polynomial of its own, so that it is exact near 0."""


@dataclass(frozen=True)
class Constants:
    """The numbers of one floating type.

    Attributes
    ----------
    rounder : float
        Adding it rounds to an integer, which is then found in the low bits of the sum.
    lowest, highest : float
        The exponential is 0 below and infinite above.
    top : float
        The natural logarithm of 1/epsilon, rounded up: ``1 - exp(-top)`` is 1.
    least : float
        The smallest normal number.
    lift : int
        A power of two that makes subnormal numbers normal.
    ln2, half_pi, half_root : tuple of float
        Parts that add up to the constant, each rounded to nearest.
    exp : tuple of float
        (exp(r) − 1 − r) / r² for |r| ≤ ½ ln 2.
    log : tuple of float
        (log(1 + f) / s − 2) / s² in powers of s² where s = f / (2 + f), for √½ ≤ 1 + f ≤ √2.
    log_to_two : tuple of float
        The same as ``log`` for 1 ≤ 1 + f ≤ 2.
    log_tail : tuple of float
        (log(1 + f) / s − 2 − ⅔ s²) / s⁴ likewise.
    sin, cos : tuple of float
        (sin r − r) / r³ and (cos r − 1 + r²/2) / r⁴ in powers of r² for |r| ≤ π/4.
    erf : tuple of float
        erf(r) / r − 1 in powers of r² for |r| ≤ ``NEAR``.
    erfc : tuple of float
        exp(a²) erfc(a) (a + ``SPLIT``) in powers of (a − ``SPLIT``) / (a + ``SPLIT``), for
        a ≥ 0 as far as erfc(a) is not 0.
    erfc_low : tuple of float
        What rounding took from the first coefficients of ``erfc``.
    two_thirds : tuple of float
        Parts that add up to the constant.
    """

    rounder: float
    log2_e: float
    two_over_pi: float
    lowest: float
    highest: float
    top: float
    least: float
    lift: int
    root_half: int
    ln2: tuple[float, float]
    half_pi: tuple[float, float, float]
    half_root: tuple[float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]
    log_to_two: tuple[float, ...]
    log_tail: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    erf: tuple[float, ...]
    erfc: tuple[float, ...]
    erfc_low: tuple[float, float, float]
    two_thirds: tuple[float, float]


CONSTANTS = {
    "float64": Constants(
        rounder=1.5 * 2.0**52,
        log2_e=1.4426950408889634,
        two_over_pi=0.6366197723675814,
        lowest=-746.0,
        highest=710.0,
        top=40.0,
        least=2.0**-1022,
        lift=54,
        root_half=0x3FE6A09E667F3BCD,
        ln2=(0.6931471805599453, 2.3190468138462996e-17),
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        half_root=(0.7071067811865476, -4.833646656726457e-17),
        exp=(
            0.5000000000000006, 0.16666666666666685, 0.0416666666665737, 0.008333333333314569,
            0.0013888888932354255, 0.00019841269903062185, 2.4801504476957023e-05,
            2.7557227937913593e-06, 2.762631361256881e-07, 2.5114475039816218e-08,
        ),
        log=(
            0.6666666666666734, 0.3999999999941483, 0.28571428742362415, 0.22222198575181784,
            0.18183564245101697, 0.15314052162385966, 0.14795937434676926,
        ),
        log_to_two=(
            0.6666666666666631, 0.4000000000015723, 0.2857142854785426, 0.2222222396974933,
            0.18181743923163032, 0.15386559979770262, 0.13300972633175698, 0.12106095196681067,
            0.08340057091417453, 0.17018666418555162,
        ),
        log_tail=(
            0.40000000000002045, 0.28571428570183627, 0.22222222506871986, 0.18181785384226418,
            0.15386714892008038, 0.13257724240785249, 0.13188535375890625,
        ),
        sin=(
            -0.16666666666666632, 0.008333333333322424, -0.00019841269829815543,
            2.7557313694715186e-06, -2.5050758570128655e-08, 1.5896822947682286e-10,
        ),
        cos=(
            0.0416666666666666, -0.0013888888888874138, 2.4801587289490993e-05,
            -2.7557314354962125e-07, 2.0875723641872055e-09, -1.13596674580094e-11,
        ),
        erf=(
            0.12837916709551256, -0.37612638903183354, 0.11283791670933006, -0.02686617064032841,
            0.005223977571923425, -0.0008548323540405558, 0.00012055191396693416,
            -1.4921942260603717e-05, 1.6399365447700158e-06, -1.5698691439527698e-07,
            1.0680051834193091e-08,
        ),
        erfc=(
            1.0740069070883398, -0.8833944531698835, 0.5902283571040995, -0.31046726190057383,
            0.1195277612874353, -0.026827234624312062, -0.0012124166305996643,
            0.00303406199908937, -0.0005483096515053836, -0.00027677782976709143,
            0.00010756121100055928, 3.0398069779695147e-05, -1.7469403772227762e-05,
            -4.748831420284764e-06, 2.7622845800784752e-06, 9.977047212969677e-07,
            -4.027207725787199e-07, -2.3109190261673523e-07, 4.0704365569563746e-08,
            4.7435867816150235e-08, 1.89861663075745e-09, -5.9941100677622306e-09,
            -1.4042987579320793e-09,
        ),
        erfc_low=(-8.21123377219635e-17, -3.558398265395256e-17, -4.5098679258801007e-17),
        two_thirds=(0.6666666666666666, 3.700743415417188e-17),
    ),
    "float32": Constants(
        rounder=1.5 * 2.0**23,
        log2_e=1.4426950216293335,
        two_over_pi=0.6366197466850281,
        lowest=-104.0,
        highest=89.0,
        top=20.0,
        least=2.0**-126,
        lift=25,
        root_half=0x3F3504F3,
        ln2=(0.6931471824645996, -1.9046542121259336e-09),
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        half_root=(0.7071067690849304, 1.2101617485882343e-08),
        exp=(
            0.5, 0.1666666716337204, 0.04166635498404503, 0.008333273231983185,
            0.0013940997887402773, 0.00019914156291633844,
        ),
        log=(0.6666677594184875, 0.3997754156589508, 0.2987172603607178),
        log_to_two=(
            0.6666641235351562, 0.4002169966697693, 0.2799912691116333, 0.2802453935146332,
        ),
        log_tail=(0.40000152587890625, 0.28547203540802, 0.23417150974273682),
        sin=(-0.16666655242443085, 0.008332177996635437, -0.0001951728918356821),
        cos=(0.04166664555668831, -0.001388736767694354, 2.4438440959784202e-05),
        erf=(
            0.12837916612625122, -0.3761257529258728, 0.11282770335674286, -0.026804568246006966,
            0.0050542657263576984, -0.0006332582561299205,
        ),
        erfc=(
            1.0740069150924683, -0.8833944797515869, 0.5902283191680908, -0.3104659914970398,
            0.1195291206240654, -0.02683994360268116, -0.0012267375132068992,
            0.0030804548878222704, -0.00048258446622639894, -0.00032502610702067614,
        ),
        erfc_low=(-7.291019397005766e-09, -7.357534621761984e-09, -2.3777402029060696e-08),
        two_thirds=(0.6666666865348816, -1.9868215517249155e-08),
    ),
}  # fmt: skip
