"""THE table of operations: what exists, what it means, how it is differentiated.

A new elementwise operation is one row in ``elementwise.py``, a new structural one a row in
``structural.py`` or in the files that complete it; codegen adds one spelling or one lowering for it.
"""

from __future__ import annotations

from .cumulative import CUMULATIVE
from .elementwise import ELEMENTWISE
from .graph import OPERATIONS, Operation
from .structural import STRUCTURAL

TABLE: dict[str, Operation] = OPERATIONS

STRUCTURAL.update(CUMULATIVE)

TABLE.update(ELEMENTWISE)
TABLE.update(STRUCTURAL)
