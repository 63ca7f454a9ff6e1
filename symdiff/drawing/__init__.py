"""The graph of a derivation as a picture: what is drawn, where it lies, how it is written.

A derivation gives the boxes (``content``), in layers (``layers``); the boxes of a layer may be
drawn as one (``model``). For the web they are measured (``measure``), set in rows (``ranks``,
``columns``), connected (``routing``, ``channels``) and written (``svg``, ``html``). Graphviz
places what ``dot`` writes itself.
"""

from .content import draw
from .model import Drawing, DrawnNode

__all__ = ["Drawing", "DrawnNode", "draw"]
