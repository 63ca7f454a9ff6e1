"""PyTorch: eager with its fused optimizers, and one compiled function for a whole step."""

import torch


def torch_loop(problem, loss, rule, compiled):
    """``loss(parameters, *batch)`` in torch; a single sample comes as scalars."""
    return (compiled_loop if compiled else eager_loop)(problem, loss, rule)


def batches(problem):
    """A function of the step that returns its samples."""
    data = [torch.from_numpy(a) for a in problem.data]
    if problem.order is None:
        return lambda k: data
    if problem.one_by_one:
        samples = [a.unbind() for a in data]
        order = problem.order[:, 0].tolist()
        return lambda k: [a[order[k]] for a in samples]
    order = torch.from_numpy(problem.order).unbind()
    return lambda k: [a[order[k]] for a in data]


def eager_loop(problem, loss, rule):
    batch = batches(problem)

    def run(steps):
        parameters = [torch.tensor(a, requires_grad=True) for a in problem.start]
        optimizer = rule.torch(parameters)
        for k in range(steps):
            optimizer.zero_grad()
            loss(parameters, *batch(k)).backward()
            optimizer.step()
        return [p.detach().numpy() for p in parameters]

    return run


def compiled_loop(problem, loss, rule):
    batch = batches(problem)
    gradient = torch.func.grad(loss)

    @torch.compile
    def step(parameters, state, scale, samples):
        return rule.update(parameters, gradient(parameters, *samples), state, scale)

    def run(steps):
        parameters = [torch.tensor(a) for a in problem.start]
        state = rule.begin(parameters)
        scales = rule.scales(steps, problem.dtype)
        scales = None if scales is None else torch.from_numpy(scales).unbind()
        with torch.no_grad():
            for k in range(steps):
                scale = None if scales is None else scales[k]
                parameters, state = step(parameters, state, scale, batch(k))
        return [p.numpy() for p in parameters]

    return run
