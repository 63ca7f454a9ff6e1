"""Horizontal lines between two rows: each source has one, on a track of its own where two meet.

A line that comes from above at some place must lie above a line that leaves downwards at nearly
the same place, or their vertical parts would lie on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Trunk", "set_on_tracks"]

CLOSE = 5.0
"""Vertical lines nearer than this look like one."""
CLEAR = 10.0
"""Between two lines on one track."""


@dataclass(eq=False)
class Trunk:
    """The horizontal line of one source in one channel.

    Attributes
    ----------
    above, below : list of float
        Where vertical lines come in from the row above and from the row below.
    """

    above: list[float] = field(default_factory=list)
    below: list[float] = field(default_factory=list)
    track: int = 0

    @property
    def span(self) -> tuple[float, float]:
        """Its left and right end."""
        ends = [*self.above, *self.below]
        return min(ends), max(ends)

    @property
    def is_straight(self) -> bool:
        """True where nothing but one vertical line passes."""
        low, high = self.span
        return high - low < 0.5


def set_on_tracks(trunks: Mapping[int, Trunk]) -> int:
    """Give each trunk of one channel its track from above; how many tracks there are."""
    bent = {key: trunk for key, trunk in trunks.items() if not trunk.is_straight}
    order = sorted(bent, key=lambda key: (bent[key].span, key))
    over = {key: {o for o in order if o != key and _over(bent[o], bent[key])} for key in order}
    tracks: list[list[tuple[float, float]]] = []
    placed: set[int] = set()
    while len(placed) < len(order):
        left = [key for key in order if key not in placed]
        # Where lines must lie above each other in a circle, one of them has to give in.
        key = next((k for k in left if over[k] <= placed), left[0])
        first = max((bent[o].track + 1 for o in over[key] if o in placed), default=0)
        low, high = bent[key].span
        track = first
        while track < len(tracks) and any(
            low < end + CLEAR and start < high + CLEAR for start, end in tracks[track]
        ):
            track += 1
        while track >= len(tracks):
            tracks.append([])
        tracks[track].append((low, high))
        bent[key].track = track
        placed.add(key)
    return len(tracks)


def _over(one: Trunk, other: Trunk) -> bool:
    """True if ``one`` must lie above ``other``."""
    return any(abs(a - b) < CLOSE for a in one.above for b in other.below)
