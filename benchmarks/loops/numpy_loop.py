"""NumPy: a gradient written by hand, arrays updated in place."""


def numpy_loop(problem, gradient, rule):
    """``gradient(parameters, *batch)`` returns a list of arrays."""

    def run(steps):
        parameters = problem.copies()
        update = rule.in_place(parameters)
        for k in range(steps):
            if problem.order is None:
                batch = problem.data
            else:
                batch = [a[problem.order[k]] for a in problem.data]
            update(gradient(parameters, *batch))
        return parameters

    return run
