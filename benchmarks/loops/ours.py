"""``codegen.Trainer``, as anybody would use it."""


def symdiff_loop(problem, loss, symbols, parameters, rule):
    """``symbols`` are the data and ``parameters`` the parameters, in the problem's order."""
    import codegen

    trainer = codegen.Trainer(
        loss,
        dict(zip(parameters, problem.start, strict=True)),
        rule.symdiff(),
        dtype=problem.dtype.name,
        target=problem.device,
        **({} if problem.precision == "float32" else {"precision": problem.precision}),
    )
    data = dict(zip(symbols, problem.data, strict=True))

    def run(steps):
        trainer.reset()
        if problem.order is None:
            trainer.fit(data, steps=steps)
        else:
            trainer.fit(data, order=problem.order[:steps])
        trained = trainer.parameters
        return [trained[p] for p in parameters]

    return run
