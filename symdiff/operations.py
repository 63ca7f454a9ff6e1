"""THE table of operations: what exists, what it means, how it is differentiated.

A new elementwise operation is one row in ``elementwise.py``, a new structural one a row in
``structural.py``, ``cumulative.py``, ``matrices.py``, ``windows.py``, ``recurrence.py`` or
``random_bits.py``; codegen adds one spelling or one lowering for it.
"""

from __future__ import annotations

from .cumulative import CUMULATIVE
from .elementwise import ELEMENTWISE
from .graph import OPERATIONS, Operation
from .matrices import MATRICES
from .random_bits import RANDOM
from .recurrence import RECURRENCES
from .structural import STRUCTURAL
from .windows import WINDOWED

TABLE: dict[str, Operation] = OPERATIONS

STRUCTURAL.update(CUMULATIVE)
STRUCTURAL.update(MATRICES)
STRUCTURAL.update(WINDOWED)
STRUCTURAL.update(RECURRENCES)
STRUCTURAL.update(RANDOM)

TABLE.update(ELEMENTWISE)
TABLE.update(STRUCTURAL)
