"""TensorFlow: eager, a step as ``tf.function``, and the whole loop compiled by XLA; Keras."""

import numpy as np


def tensorflow_loop(problem, loss, rule, mode):
    """``loss(parameters, *batch)`` in tf; a single sample comes as scalars."""
    import tensorflow as tf

    data = [tf.constant(a) for a in problem.data]
    order = None if problem.order is None else problem.order.astype(np.int32)
    order = tf.constant(order[:, 0] if problem.one_by_one else order) if order is not None else None

    def step(parameters, state, index, scale):
        batch = data if index is None else [tf.gather(a, index) for a in data]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            value = loss(parameters, *batch)
        return rule.update(parameters, tape.gradient(value, parameters), state, scale)

    one = step if mode == "eager" else tf.function(step)

    def run_stepwise(steps):
        parameters = [tf.constant(a) for a in problem.start]
        state = rule.begin(parameters)
        scales = rule.scales(steps, problem.dtype)
        scales = None if scales is None else tf.constant(scales)
        for k in range(steps):
            index = None if order is None else order[k]
            parameters, state = one(
                parameters, state, index, None if scales is None else scales[k]
            )  # fmt: skip
        return [p.numpy() for p in parameters]

    @tf.function(jit_compile=True)
    def train(parameters, scales, steps):
        def body(k, parameters, state):
            index = None if order is None else order[k]
            new, state = step(parameters, state, index, None if scales is None else scales[k])
            return k + 1, new, state

        values = (tf.constant(0), parameters, rule.begin(parameters))
        return tf.while_loop(lambda k, *_: k < steps, body, values)[1]

    def run_whole(steps):
        scales = rule.scales(problem.steps, problem.dtype)
        scales = None if scales is None else tf.constant(scales)
        parameters = [tf.constant(a) for a in problem.start]
        return [p.numpy() for p in train(parameters, scales, tf.constant(steps))]

    return run_whole if mode == "xla" else run_stepwise


def keras_loop(problem, model, loss, rule, start=None):
    """``model.fit`` of one long epoch, whose samples lie in the order of the steps.

    ``start`` holds the weights in Keras' layout, where that is another one.
    """
    x, y = problem.data
    optimizer = rule.keras()
    model.compile(optimizer=optimizer, loss=loss)
    optimizer.build(model.trainable_variables)
    fresh = [v.numpy() for v in optimizer.variables]

    def run(steps):
        model.set_weights(problem.start if start is None else start)
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        order = problem.order[:steps]
        model.fit(x[order.ravel()], y[order.ravel()], batch_size=order.shape[1], epochs=1,
                  shuffle=False, verbose=0)  # fmt: skip
        return model.get_weights()

    return run
