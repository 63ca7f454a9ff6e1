"""Jacobians, Hessians and their products with vectors: the reverse walk, applied again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .batching import batch
from .bridge import describe, to_graph, to_sympy
from .errors import ShapeError
from .expressions import stand_in
from .gradient import loss_node, parameter_nodes, pullback
from .graph import Node, apply, number
from .language import as_number
from .rewrite import algebra, stabilise
from .shapes import Shape, broadcast, product, text
from .structural import add, broadcast_to, multiply, reduce_sum, reshape

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vjp"]


def _function(expression: Any) -> Node:
    return stabilise([to_graph(as_number(expression))])[0]


def _direction(value: Any, shape: Shape, what: str) -> Node:
    """A vector that stands beside a symbol or an output; a number is the same everywhere."""
    node = to_graph(as_number(value))
    if broadcast(node.shape, shape) != shape:
        raise ShapeError(
            f"{what} must have shape {text(shape)}, got {describe(node)} with shape "
            f"{text(node.shape)}"
        )
    return broadcast_to(node, shape)


def _listed(value: Any, single: bool, count: int) -> list[Any]:
    values = [value] if single else list(value)
    if len(values) != count:
        raise ShapeError(f"there are {count} symbols but {len(values)} directions")
    return values


def inner(a: Sequence[Node], b: Sequence[Node]) -> Node:
    """Sum of all products: the inner product of two lists of tensors."""
    terms = []
    for x, y in zip(a, b, strict=True):
        terms.append(reduce_sum(multiply(x, y), tuple(range(x.rank))))
    return add(*terms)


def vjp(f: Any, x: Any, u: Any) -> Any:
    """Vector-Jacobian product: the gradient of ``sum(u * f)``.

    Parameters
    ----------
    f : sympy.Expr
        Of any shape.
    x : Symbol or list of Symbol
    u : expression of the shape of ``f``

    Examples
    --------
    >>> import symdiff as sd
    >>> A, x, u = sd.tensor("A", 2, 3), sd.tensor("x", 3), sd.tensor("u", 2)
    >>> sd.vjp(A @ x, x, u)
    A.T @ u
    """
    root = _function(f)
    nodes, single = parameter_nodes(x, [root])
    gradients, _ = pullback(root, _direction(u, root.shape, "u"), nodes)
    results = to_sympy(algebra(gradients))
    return results[0] if single else results


def push(root: Node, nodes: Sequence[Node], directions: Sequence[Node]) -> Node:
    """Jacobian-vector product by two reverse walks: the first is linear in its seed."""
    seed = to_graph(stand_in("u", root.shape))
    back, _ = pullback(root, seed, nodes)
    (result,), _ = pullback(inner(back, directions), number(1), [seed])
    return result


def jvp(f: Any, x: Any, v: Any) -> Any:
    """Jacobian-vector product: the derivative of ``f`` along ``v``.

    Parameters
    ----------
    f : sympy.Expr
        Of any shape.
    x : Symbol or list of Symbol
    v : expression of the shape of ``x``, or a list of them

    Examples
    --------
    >>> import symdiff as sd
    >>> A, x, v = sd.tensor("A", 2, 3), sd.tensor("x", 3), sd.tensor("v", 3)
    >>> sd.jvp(A @ x, x, v)
    A @ v
    """
    root = _function(f)
    nodes, single = parameter_nodes(x, [root])
    listed = _listed(v, single, len(nodes))
    directions = [
        _direction(d, n.shape, f"the direction of {n.attributes[0]}")
        for d, n in zip(listed, nodes, strict=True)
    ]
    return to_sympy(algebra([push(root, nodes, directions)]))[0]


def _unit_vectors(shape: Shape) -> tuple[Node, Any]:
    """All unit vectors of a shape, stacked, and their number."""
    size = product(shape)
    rows = apply("arange", attributes=(size,))
    return reshape(apply("one_hot", rows, attributes=(size,)), (size, *shape)), size


def jacobian_node(root: Node, node: Node) -> Node:
    if not root.shape:
        (result,), _ = pullback(root, number(1), [node])
        return result
    seed = to_graph(stand_in("u", root.shape))
    (back,), _ = pullback(root, seed, [node])
    units, size = _unit_vectors(root.shape)
    (stacked,) = batch(algebra([back]), {seed: units}, size)
    return reshape(stacked, (*root.shape, *node.shape))


def jacobian(f: Any, x: Any) -> Any:
    """All partial derivatives of ``f``, of shape ``f.shape + x.shape``.

    Parameters
    ----------
    f : sympy.Expr
    x : Symbol or list of Symbol

    Examples
    --------
    >>> import symdiff as sd
    >>> A, x = sd.tensor("A", 2, 3), sd.tensor("x", 3)
    >>> sd.jacobian(A @ x, x)
    A
    """
    root = _function(f)
    nodes, single = parameter_nodes(x, [root])
    results = to_sympy(algebra([jacobian_node(root, n) for n in nodes]))
    return results[0] if single else results


def hvp(loss: Any, w: Any, v: Any) -> Any:
    """Hessian-vector product, without the Hessian: a small multiple of the gradient's cost.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar.
    w : Symbol or list of Symbol
    v : expression of the shape of ``w``, or a list of them
    """
    root = loss_node(loss)
    nodes, single = parameter_nodes(w, [root])
    listed = _listed(v, single, len(nodes))
    directions = [
        _direction(d, n.shape, f"the direction of {n.attributes[0]}")
        for d, n in zip(listed, nodes, strict=True)
    ]
    gradients, _ = pullback(root, number(1), nodes)
    products, _ = pullback(inner(algebra(gradients), directions), number(1), nodes)
    results = to_sympy(algebra(products))
    return results[0] if single else results


def hessian(loss: Any, w: Any) -> Any:
    """All second derivatives of a scalar, of shape ``w.shape + w.shape``.

    For a list of symbols a list of rows of blocks, one for each pair of symbols.

    Examples
    --------
    >>> import symdiff as sd
    >>> A, x = sd.tensor("A", 3, 3), sd.tensor("x", 3)
    >>> sd.hessian(x @ A @ x, x)
    A + A.T
    """
    root = loss_node(loss)
    nodes, single = parameter_nodes(w, [root])
    results = [to_sympy(row) for row in hessian_nodes(root, nodes)]
    return results[0][0] if single else results


def hessian_nodes(root: Node, nodes: Sequence[Node]) -> list[list[Node]]:
    """The blocks of second derivatives of a loss, a row for each symbol."""
    gradients, _ = pullback(root, number(1), nodes)
    return [algebra([jacobian_node(g, n) for n in nodes]) for g in algebra(gradients)]
