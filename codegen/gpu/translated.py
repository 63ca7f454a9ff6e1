"""The text of a kernel for a device as one for the processor.

Warps and blocks have one thread there, so what they do together is nothing, and the threads of
the grid are those of the processor. Used to check texts where there is no device.
"""

from __future__ import annotations

import re

from ..emit.cuda import NUMPY
from ..emit.expressions import CIRCULAR

SCALAR = {*NUMPY, *CIRCULAR}
"""What NumPy has without limits."""

_SAME = ("add", "maximum", "minimum")
_IMPORT = re.compile(r"^from codegen\.gpu\.(\w+) import (.*)$", re.MULTILINE)
PRODUCT = """

@compiler.helper
def gemm(
    tid, nth, size, m, n, k, a, a_stride, a_transposed, b, b_stride, b_transposed, c, c_stride,
    accumulate,
):
    for element in range(tid, m * n, nth):
        i = element // n
        j = element % n
        total = real(0)
        for p in range(k):
            left = a[p * a_stride + i] if a_transposed else a[i * a_stride + p]
            right = b[j * b_stride + p] if b_transposed else b[p * b_stride + j]
            total += left * right
        place = i * c_stride + j
        c[place] = c[place] + total if accumulate else total
"""
"""What a product by tiles means."""

_DEVICE = re.compile(r"@cuda\.jit\(device=True(?:, forceinline=True)?\)\ndef (\w+)\((\w*)")
_ENTRY = re.compile(r"@cuda\.jit\ndef run\((.*)\):\n((?:    .*\n)+)")


def processor_source(source: str) -> str:
    """The same phases and loop, with an entry that takes the thread and how many there are."""
    real = "float32" if "float32s as reals" in source else "float64"
    rounded = "products import gemm_tf32" in source
    vectors: list[str] = []
    aliases: list[str] = []

    def names(match: re.Match[str]) -> str:
        module, imported = match[1], match[2].split(", ")
        if module == "mathematics":
            aliases.extend(n for n in imported if n in SCALAR)
            vectors.extend(n for n in imported if n not in SCALAR)
            return f"from codegen.vector_math import {', '.join(vectors)}" if vectors else ""
        if module == "special":
            return match[0]
        if module == "products":
            return ""
        kept = [n for n in ("at", "carried", "step_over") if n in imported]
        kept += ["tf32"] if rounded else []
        return (
            f"from codegen.runtime import Compiler, {', '.join([*kept, 'integers'])}, "
            f"{real}s as reals, wait as meet"
        )

    text = _IMPORT.sub(names, source.replace("from numba import cuda\n", ""))
    text = text.replace("from codegen.gpu import special", "from codegen import special")
    text = re.sub(r"shared_array\((\d+), [^)]*\)\)", r"np.zeros(\1)", text)
    lines = [f'compiler = Compiler(real="{real}", math="fast")', "", "WARP = 1"]
    lines += [f"{n} = np.{n}" for n in aliases]
    for n in _SAME:
        lines += ["", "", "@compiler.helper", f"def warp_{n}(x):", "    return x"]
        lines += ["", "", "@compiler.helper", f"def block_{n}(x, lane, size):", "    return x"]
    lines += ["", "", "@compiler.helper", "def anew(x):", "    return x"]
    for n, operator in (("quotient", "//"), ("remainder", "%")):
        lines += ["", "", "@compiler.helper", f"def {n}(a, b):", f"    return a {operator} b"]
    for n in ("warp", "block"):
        lines += ["", "", "@compiler.helper", f"def {n}_wait():", "    pass"]
    lines += ["", "", "@compiler.helper", "def wait(barrier, nth, size):", "    meet(barrier, nth)"]
    products = re.search(r"from codegen\.gpu\.products import (\w+)", source)
    if products:
        product = PRODUCT.rstrip().replace("def gemm(", f"def {products[1]}(")
        if rounded:
            product = product.replace("left * right", "tf32(left) * tf32(right)")
        lines.append(product)
    marker = f"real = np.{real}\n"
    text = text.replace(marker, marker + "\n".join(lines) + "\n", 1)

    def decorated(match: re.Match[str]) -> str:
        kind = "phase" if match[2] == "tid" else "helper"
        kind = "part" if match[1] == "train" else kind
        return f"@compiler.{kind}\ndef {match[1]}({match[2]}"

    def entry(match: re.Match[str]) -> str:
        body = match[2].replace(
            "cuda.grid(1), cuda.gridsize(1), np.int64(cuda.blockDim.x),", "tid, nth, 1,"
        )
        return f"@compiler.entry\ndef run(tid, nth, {match[1]}):\n{body}"

    return _ENTRY.sub(entry, _DEVICE.sub(decorated, text))
