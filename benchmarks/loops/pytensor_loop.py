"""PyTensor: one compiled function that updates shared variables."""


def pytensor_loop(problem, loss, rule):
    """``loss(parameters, *data)`` in pytensor; full batches and plain descent only."""
    import pytensor

    parameters = [pytensor.shared(a, f"p{i}") for i, a in enumerate(problem.start)]
    data = [pytensor.shared(a, f"x{i}") for i, a in enumerate(problem.data)]
    gradients = pytensor.grad(loss(parameters, *data), parameters)
    new, _ = rule.update(parameters, gradients, rule.begin(parameters), None)
    updates = [
        (p, n.astype(problem.dtype.name)) for p, n in zip(parameters, new, strict=True)
    ]  # fmt: skip
    step = pytensor.function([], [], updates=updates)

    def run(steps):
        for p, a in zip(parameters, problem.start, strict=True):
            p.set_value(a)
        for _ in range(steps):
            step()
        return [p.get_value() for p in parameters]

    return run
