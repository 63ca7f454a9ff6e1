"""heyoka: the derivatives of one sample's loss compiled for arrays, summed by NumPy."""

import numpy as np


def heyoka_loop(problem, loss, columns, rule, combine):
    """``loss(parameters, *sample)`` over heyoka's expressions.

    Parameters
    ----------
    loss : callable
        Takes a flat list of the parameters' elements and those of one sample.
    columns : sequence of numpy.ndarray
        One array for each variable of a sample.
    combine : {"mean", "sum"}
    """
    import heyoka

    dtype = problem.dtype.type
    sizes = [a.size for a in problem.start]
    count, samples = sum(sizes), len(columns[0])
    elements = heyoka.make_vars(*(f"p{i}" for i in range(count)))
    sample = heyoka.make_vars(*(f"x{i}" for i in range(len(columns))))
    value = loss(elements, *sample)
    derivatives = [heyoka.diff(value, p) for p in elements]
    # The parameters are variables too: an array of equal rows, written anew in every step.
    compiled = heyoka.cfunc(derivatives, vars=[*elements, *sample], fp_type=dtype)
    inputs = np.empty((count + len(columns), samples), dtype)
    inputs[count:] = columns
    outputs = np.empty((count, samples), dtype)
    reduce = np.mean if combine == "mean" else np.sum

    def run(steps):
        flat = np.concatenate([a.ravel() for a in problem.start])
        for _ in range(steps):
            inputs[:count] = flat[:, None]
            compiled(inputs, outputs=outputs)
            flat -= dtype(rule.rate) * reduce(outputs, axis=1)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [p.reshape(a.shape) for p, a in zip(parts, problem.start, strict=True)]

    return run
