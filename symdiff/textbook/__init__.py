"""Textbook forms: a derived gradient as a book prints it, with the same value.

``xᵀAx`` has the gradient ``Ax + Aᵀx`` by the rules of differentiation, and ``(A + Aᵀ)x`` in every
book. THE list of forms is in ``forms``; ``monomials`` and ``chains`` take elementwise and matrix
products apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..graph import Node, walk
from ..rewrite import ALGEBRA, Rewriter, Rule
from .forms import TEXTBOOK, Form, Known
from .monomials import without_constant

__all__ = ["TEXTBOOK", "Form", "Known", "textbook"]


def textbook(
    roots: Sequence[Node], loss: Sequence[Node] = (), adjoints: Iterable[Node] = ()
) -> list[Node]:
    """Derived graphs in the forms of the textbooks.

    Parameters
    ----------
    roots : list of Node
        Gradients.
    loss : list of Node
        What they are gradients of, which stays as it is.
    adjoints : list of Node
        From the loss on; the products of one are not merged into those of the next.
    """
    before = set(walk(loss))
    known = Known(before, set(before))
    rewrite = Rewriter([*ALGEBRA, *(_rule(form, known) for form in TEXTBOOK)], kept=before)
    for adjoint in adjoints:
        known.steps.add(without_constant(*rewrite([adjoint])))
    return rewrite(roots)


def _rule(form: Form, known: Known) -> Rule:
    return Rule(form.name, form.operations, lambda node: form.apply(node, known))
