"""PyTorch: eager with its fused optimizers, one compiled function for a step, a step as a graph."""

import torch


def torch_loop(problem, loss, rule, mode):
    """``loss(parameters, *batch)`` in torch; a single sample comes as scalars.

    ``mode`` is "eager", "compiled", or "graphs" for a step captured as a CUDA graph.
    """
    if problem.device == "cuda":
        exact = problem.precision != "tf32"
        torch.backends.cuda.matmul.allow_tf32 = not exact
        torch.backends.cudnn.allow_tf32 = not exact
    loops = {"eager": eager_loop, "compiled": compiled_loop, "graphs": graphs_loop}
    return loops[mode](problem, loss, rule)


def on_device(problem, array):
    return torch.from_numpy(array).to(problem.device)


def fresh(problem, requires_grad):
    """The start as tensors of their own."""
    return [
        torch.tensor(a, device=problem.device, requires_grad=requires_grad) for a in problem.start
    ]  # fmt: skip


def arrays(parameters):
    return [p.detach().cpu().numpy() for p in parameters]


def batches(problem):
    """A function of the step that returns its samples."""
    data = [on_device(problem, a) for a in problem.data]
    if problem.order is None:
        return lambda k: data
    if problem.one_by_one:
        samples = [a.unbind() for a in data]
        order = problem.order[:, 0].tolist()
        return lambda k: [a[order[k]] for a in samples]
    order = on_device(problem, problem.order).unbind()
    return lambda k: [a[order[k]] for a in data]


def eager_loop(problem, loss, rule):
    batch = batches(problem)

    def run(steps):
        parameters = fresh(problem, True)
        optimizer = rule.torch(parameters)
        for k in range(steps):
            optimizer.zero_grad()
            loss(parameters, *batch(k)).backward()
            optimizer.step()
        return arrays(parameters)

    return run


def compiled_loop(problem, loss, rule):
    batch = batches(problem)
    gradient = torch.func.grad(loss)

    @torch.compile
    def step(parameters, state, scale, samples):
        return rule.update(parameters, gradient(parameters, *samples), state, scale)

    def run(steps):
        parameters = fresh(problem, False)
        state = rule.begin(parameters)
        scales = rule.scales(steps, problem.dtype)
        scales = None if scales is None else on_device(problem, scales).unbind()
        with torch.no_grad():
            for k in range(steps):
                scale = None if scales is None else scales[k]
                parameters, state = step(parameters, state, scale, batch(k))
        return arrays(parameters)

    return run


def graphs_loop(problem, loss, rule):
    """One step captured, then replayed: all that changes from step to step is on the device.

    Without a CUDA device the step is called instead.
    """
    device = problem.device
    data = [on_device(problem, a) for a in problem.data]
    order = None if problem.order is None else on_device(problem, problem.order)
    now = torch.zeros(1, dtype=torch.int64, device=device)
    parameters, start = fresh(problem, True), fresh(problem, False)
    optimizer = rule.torch(parameters, capturable=device == "cuda")

    def batch():
        if order is None:
            return data
        samples = order.index_select(0, now)[0]
        chosen = [a.index_select(0, samples) for a in data]
        return [a[0] for a in chosen] if problem.one_by_one else chosen

    def step():
        optimizer.zero_grad()
        loss(parameters, *batch()).backward()
        optimizer.step()
        now.add_(1)

    @torch.no_grad()
    def begin():
        for p, a in zip(parameters, start, strict=True):
            p.copy_(a)
        for state in optimizer.state.values():
            for a in filter(torch.is_tensor, state.values()):
                a.zero_()
        now.zero_()

    replay = captured(step, begin) if device == "cuda" else step
    if device != "cuda":
        step()  # so that the optimizer has its state

    def run(steps):
        begin()
        for _ in range(steps):
            replay()
        return arrays(parameters)

    return run


def captured(step, begin):
    """A step as a CUDA graph; some steps before it let the libraries make what they keep."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            begin()  # there may be no more than one sample order
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
