"""THE table of operations: what exists, what it means, how it is differentiated.

A new elementwise operation is one row in ``elementwise.py``, a new structural one a row in
``structural.py``; codegen adds one spelling or one lowering for it.
"""

from __future__ import annotations

from .elementwise import ELEMENTWISE
from .graph import OPERATIONS, Operation
from .structural import STRUCTURAL

TABLE: dict[str, Operation] = OPERATIONS

TABLE.update(ELEMENTWISE)
TABLE.update(STRUCTURAL)
