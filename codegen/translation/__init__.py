"""From the text of a kernel to machine code.

The text is a module for Numba. Numba's type inference and lowering take 7 to 15 ms for a line of
it; a kernel uses so little of Python that its syntax tree can be written down as LLVM code in
0.1 ms.

text ─▶ syntax tree ─▶ LLVM code ─▶ optimised ─▶ machine code
        module.py      body.py, arithmetic.py, builtins.py     optimise.py
"""
