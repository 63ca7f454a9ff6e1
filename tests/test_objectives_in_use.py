"""Objectives in use, each against NumPy or SciPy: value, gradient, kernel, optimum."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import sympy as sp
from scipy.special import logsumexp, multigammaln

import codegen
import symdiff as sd

RNG = np.random.default_rng(12)


def check(loss, parameters, values, expected, rtol=1e-11):
    """The value is the expected one, the gradient that of finite differences, the kernel both."""
    assert float(sd.evaluate(loss, values)) == pytest.approx(float(expected), rel=rtol)
    sd.check_gradient(loss, parameters, values)
    outputs = [loss, *sd.gradient(loss, parameters)]
    compiled = codegen.compile(outputs, inputs=list(values))(*values.values())
    for got, want in zip(compiled, sd.evaluate(outputs, values), strict=True):
        scale = np.max(np.abs(want), initial=1e-300)
        np.testing.assert_allclose(got / scale, want / scale, rtol=1e-9, atol=1e-11)


def minimum(loss, start, data):
    """Where SciPy ends on the compiled objective."""
    objective = codegen.Objective(loss, start, data)
    result = scipy.optimize.minimize(
        objective.value_and_gradient, objective.start, jac=True, method="BFGS",
        options={"gtol": 1e-9},
    )  # fmt: skip
    return objective.unpack(result.x), result.fun


# --- mixtures ----------------------------------------------------------------------------


def test_gaussian_mixture_with_a_wishart_prior():
    """The GMM of ADBench: weights, means, and inverse Cholesky factors of covariances."""
    n, k, d, gamma, m = 40, 3, 4, 1.5, 2
    x = sd.tensor("x", "n", d)
    alpha, mu = sd.tensor("alpha", k), sd.tensor("mu", k, d)
    q, lower = sd.tensor("q", k, d), sd.tensor("l", k, d * (d - 1) // 2)
    rows, columns = np.tril_indices(d, -1)
    places = np.zeros((len(rows), d, d))
    places[np.arange(len(rows)), rows, columns] = 1

    triangle = sd.einsum("kp,pij->kij", lower, places)
    diagonal = sd.exp(q)[:, :, None] * np.eye(d)
    centred = x[:, None, :] - mu
    z = sd.einsum("kij,nkj->nki", triangle + diagonal, centred)
    inner = alpha + sd.sum(q, axis=1) - sd.sum(z**2, axis=2) / 2
    nu = d + m + 1
    constant = nu * d * (sp.log(gamma) - sp.log(2) / 2) - sum(
        sp.loggamma(sp.Rational(nu + 1 - j, 2)) for j in range(1, d + 1)
    ) - sp.Rational(d * (d - 1), 4) * sp.log(sp.pi)  # fmt: skip
    prior = gamma**2 / 2 * (sd.sum(sd.exp(2 * q)) + sd.sum(lower**2)) - m * sd.sum(q)
    log_likelihood = (
        sd.sum(sd.logsumexp(inner, axis=1)) - x.shape[0] * sd.logsumexp(alpha)
        - x.shape[0] * d / 2 * sp.log(2 * sp.pi)
    )  # fmt: skip
    loss = -(log_likelihood + k * constant - prior)

    values = {
        x: RNG.normal(size=(n, d)), alpha: RNG.normal(size=k), mu: RNG.normal(size=(k, d)),
        q: RNG.normal(size=(k, d)) / 3, lower: RNG.normal(size=(k, d * (d - 1) // 2)) / 3,
    }  # fmt: skip
    components, total_prior = [], 0.0
    for j in range(k):
        factor = np.diag(np.exp(values[q][j]))
        factor[rows, columns] = values[lower][j]
        covariance = np.linalg.inv(factor.T @ factor)
        log_weight = values[alpha][j] - logsumexp(values[alpha])
        density = scipy.stats.multivariate_normal(values[mu][j], covariance)
        components.append(log_weight + density.logpdf(values[x]))
        total_prior += gamma**2 / 2 * np.sum(factor**2) - m * values[q][j].sum()
    normaliser = nu * d * (np.log(gamma) - np.log(2) / 2) - multigammaln(nu / 2, d)
    expected = -(logsumexp(components, axis=0).sum() + k * normaliser - total_prior)
    check(loss, [alpha, mu, q, lower], values, expected)


# --- geometry ----------------------------------------------------------------------------


def cross(a, b):
    return sd.stack(
        [a[:, i] * b[:, j] - a[:, j] * b[:, i] for i, j in ((1, 2), (2, 0), (0, 1))], axis=1
    )


def test_bundle_adjustment_residuals():
    """Cameras of ADBench: rotation vector, centre, focal length, principal point, distortion."""
    cameras, points = sd.tensor("cameras", 3, 11), sd.tensor("points", 5, 3)
    weights, features = sd.tensor("weights", "p"), sd.tensor("features", "p", 2)
    camera_of = sd.tensor("camera_of", "p", dtype="int")
    point_of = sd.tensor("point_of", "p", dtype="int")

    c = cameras[camera_of]
    r, shifted = c[:, :3], points[point_of] - c[:, 3:6]
    square = sd.sum(r**2, axis=1, keepdims=True)
    angle = sd.sqrt(sd.where(square > 0, square, 1))
    axis = r / angle
    along = sd.sum(axis * shifted, axis=1, keepdims=True)
    turned = (
        sd.cos(angle) * shifted + sd.sin(angle) * cross(axis, shifted)
        + (1 - sd.cos(angle)) * along * axis
    )  # fmt: skip
    rotated = sd.where(square > 0, turned, shifted + cross(r, shifted))
    flat = rotated[:, :2] / rotated[:, 2:]
    radius = sd.sum(flat**2, axis=1, keepdims=True)
    distorted = flat * (1 + c[:, 9:10] * radius + c[:, 10:11] * radius**2)
    residuals = weights[:, None] * (distorted * c[:, 6:7] + c[:, 7:9] - features)
    loss = sd.sum(residuals**2) + sd.sum((1 - weights**2) ** 2)

    values = {
        cameras: RNG.normal(size=(3, 11)) / 3, points: RNG.normal([0, 0, 6], 1, (5, 3)),
        weights: RNG.uniform(0.5, 1, 8), features: RNG.normal(size=(8, 2)),
        camera_of: np.array([0, 1, 2, 0, 1, 2, 2, 0]), point_of: np.array([0, 1, 2, 3, 4, 0, 1, 2]),
    }  # fmt: skip
    values[cameras][1, :3] = 0  # the branch of no rotation
    expected = 0.0
    for w, f, i, j in zip(*(values[s] for s in (weights, features, camera_of, point_of)),
                          strict=True):  # fmt: skip
        camera = values[cameras][i]
        theta = np.linalg.norm(camera[:3])
        k = np.array([[0, -camera[2], camera[1]], [camera[2], 0, -camera[0]],
                      [-camera[1], camera[0], 0]])  # fmt: skip
        rotation = scipy.linalg.expm(k) if theta else np.eye(3)
        p = rotation @ (values[points][j] - camera[3:6])
        u = p[:2] / p[2]
        u = u * (1 + camera[9] * (u @ u) + camera[10] * (u @ u) ** 2)
        expected += np.sum((w * (u * camera[6] + camera[7:9] - f)) ** 2) + (1 - w * w) ** 2
    check(loss, [cameras, points, weights], values, expected)


# --- sequences ---------------------------------------------------------------------------


def test_an_lstm_that_predicts_the_next_letter():
    letters, units = 6, 5
    text = sd.tensor("text", "n", 9, dtype="int")
    coded = sd.one_hot(text[:, :-1], letters)
    layer = sd.layers.LSTM(units, return_sequences=True)
    readout = sd.layers.Dense(letters)
    logits = readout(layer(coded))
    loss = sd.losses.cross_entropy(logits, text[:, 1:])
    parameters = [*layer.parameters, *readout.parameters]
    data = RNG.integers(0, letters, (4, 9))
    values = {text: data, **{p: RNG.normal(size=p.shape) / 2 for p in parameters}}
    W, U, b, V, c = (values[p] for p in parameters)
    h, s, total = np.zeros((4, units)), np.zeros((4, units)), 0.0
    for t in range(8):
        i, f, g, o = np.split(np.eye(letters)[data[:, t]] @ W + h @ U + b, 4, axis=1)
        s = scipy.special.expit(f) * s + scipy.special.expit(i) * np.tanh(g)
        h = scipy.special.expit(o) * np.tanh(s)
        z = h @ V + c
        total += np.sum(logsumexp(z, axis=1) - z[np.arange(4), data[:, t + 1]])
    check(loss, parameters, values, total / 32)


def test_attention_with_layer_norm():
    """Two heads of scaled dot-product attention, a residual and a normalisation."""
    heads, width, size = 2, 3, 6
    x = sd.tensor("x", "n", 5, size)
    Q, K, V, P = (sd.tensor(name, size, heads * width) for name in "QKVP")
    gamma, beta = sd.tensor("gamma", size), sd.tensor("beta", size)

    def split(y):
        return sd.transpose(sd.reshape(y, -1, 5, heads, width), (0, 2, 1, 3))

    q, k, v = (split(x @ m) for m in (Q, K, V))
    scores = q @ sd.transpose(k, (0, 1, 3, 2)) / sp.sqrt(width)
    future = np.triu(np.ones((5, 5)), 1)
    weights = sd.softmax(sd.where(sd.constant(future) > 0, -sp.oo, scores), axis=-1)
    mixed = sd.reshape(sd.transpose(weights @ v, (0, 2, 1, 3)), -1, 5, heads * width)
    y = x + mixed @ sd.transpose(P)
    centred = y - sd.mean(y, axis=-1, keepdims=True)
    normal = centred / sd.sqrt(sd.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
    loss = sd.mean((normal * gamma + beta) ** 4)

    parameters = [Q, K, V, P, gamma, beta]
    values = {x: RNG.normal(size=(3, 5, size)), **{p: RNG.normal(size=p.shape) for p in parameters}}
    result = np.empty((3, 5, size))
    for n in range(3):
        row = values[x][n]
        parts = []
        for a in range(heads):
            own = slice(a * width, (a + 1) * width)
            q_, k_, v_ = (row @ values[m][:, own] for m in (Q, K, V))
            s = np.where(future > 0, -np.inf, q_ @ k_.T / np.sqrt(width))
            parts.append(scipy.special.softmax(s, axis=1) @ v_)
        y_ = row + np.concatenate(parts, axis=1) @ values[P].T
        result[n] = (y_ - y_.mean(1, keepdims=True)) / np.sqrt(y_.var(1, keepdims=True) + 1e-5)
    expected = np.mean((result * values[gamma] + values[beta]) ** 4)
    check(loss, parameters, values, expected)


def test_a_variational_autoencoder():
    x, noise = sd.tensor("x", "n", 6), sd.tensor("noise", "n", 2)
    encoder, decoder = sd.layers.Dense(8, "tanh", name="e"), sd.layers.Dense(8, "tanh", name="d")
    head, out = sd.layers.Dense(4, name="h"), sd.layers.Dense(6, name="o")
    code = head(encoder(x))
    mean, log_variance = code[:, :2], code[:, 2:]
    logits = out(decoder(mean + sd.exp(log_variance / 2) * noise))
    reconstruction = sd.sum(sd.softplus(logits) - x * logits, axis=1)
    divergence = sd.sum(sd.exp(log_variance) + mean**2 - 1 - log_variance, axis=1) / 2
    loss = sd.mean(reconstruction + divergence)
    parameters = [p for layer in (encoder, decoder, head, out) for p in layer.parameters]
    values = {
        x: RNG.integers(0, 2, (7, 6)).astype(float), noise: RNG.normal(size=(7, 2)),
        **{p: RNG.normal(size=p.shape) / 2 for p in parameters},
    }  # fmt: skip
    eW, eb, dW, db, hW, hb, oW, ob = (values[p] for p in parameters)
    h = np.tanh(values[x] @ eW + eb) @ hW + hb
    m, v = h[:, :2], h[:, 2:]
    p = scipy.special.expit(np.tanh((m + np.exp(v / 2) * values[noise]) @ dW + db) @ oW + ob)
    likelihood = scipy.stats.bernoulli.logpmf(values[x], p).sum(1)
    expected = np.mean((np.exp(v) + m**2 - 1 - v).sum(1) / 2 - likelihood)
    check(loss, parameters, values, expected, rtol=1e-9)


# --- statistics --------------------------------------------------------------------------


def test_gaussian_process_marginal_likelihood():
    x, y = sd.tensor("x", "n", 2), sd.tensor("y", "n")
    signal, scale, noise = sp.symbols("signal scale noise")
    square = sd.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2)
    kernel = sd.exp(2 * signal) * sd.exp(-square / (2 * sd.exp(2 * scale)))
    kernel = kernel + sd.exp(2 * noise) * sd.eye("n")
    n = x.shape[0]
    loss = (y @ sd.solve(kernel, y) + sd.logdet(kernel) + n * sp.log(2 * sp.pi)) / 2

    inputs = RNG.uniform(-2, 2, (25, 2))
    outputs = np.sin(inputs[:, 0]) + 0.1 * RNG.normal(size=25)
    values = {x: inputs, y: outputs, signal: 0.1, scale: -0.2, noise: -1.0}

    def covariance(a, b, c):
        r2 = ((inputs[:, None] - inputs) ** 2).sum(-1)
        return np.exp(2 * a) * np.exp(-r2 / 2 / np.exp(2 * b)) + np.exp(2 * c) * np.eye(25)

    def reference(theta):
        return -scipy.stats.multivariate_normal(np.zeros(25), covariance(*theta)).logpdf(outputs)

    check(loss, [signal, scale, noise], values, reference([0.1, -0.2, -1.0]), rtol=1e-9)
    start = {signal: 0.1, scale: -0.2, noise: -1.0}
    found, value = minimum(loss, start, {x: inputs, y: outputs})
    best = scipy.optimize.minimize(reference, [0.1, -0.2, -1.0], method="BFGS")
    assert value == pytest.approx(best.fun, abs=1e-8)
    np.testing.assert_allclose([found[s] for s in (signal, scale, noise)], best.x, atol=1e-4)


def test_cox_regression():
    """The partial likelihood of survival times, some of them censored, none tied."""
    x, beta = sd.tensor("x", "n", 3), sd.tensor("beta", 3)
    time, event = sd.tensor("time", "n"), sd.tensor("event", "n", dtype="bool")
    risk = x @ beta
    at_risk = sd.where(time[None, :] >= time[:, None], risk[None, :], -sp.oo)
    loss = -sd.sum(event * (risk - sd.logsumexp(at_risk, axis=1)))
    values = {
        x: RNG.normal(size=(30, 3)), time: RNG.exponential(size=30),
        event: RNG.uniform(size=30) < 0.7, beta: np.array([0.5, -1.0, 0.2]),
    }  # fmt: skip

    def reference(b):
        total, eta = 0.0, values[x] @ b
        for i in np.flatnonzero(values[event]):
            total -= eta[i] - np.log(np.exp(eta[values[time] >= values[time][i]]).sum())
        return total

    check(loss, [beta], values, reference(values[beta]))
    data = {s: values[s] for s in (x, time, event)}
    found, _ = minimum(loss, {beta: np.zeros(3)}, data)
    best = scipy.optimize.minimize(reference, np.zeros(3), method="BFGS")
    np.testing.assert_allclose(found[beta], best.x, atol=1e-5)


def counts(mean):
    x = RNG.normal(size=(200, 3))
    return x, np.exp(x @ np.array([0.5, -0.3, 0.2]) + mean)


def test_poisson_regression():
    x, y = sd.tensor("x", "n", 3), sd.tensor("y", "n", dtype="int")
    w, b = sd.tensor("w", 3), sp.Symbol("b")
    loss = sd.losses.poisson(x @ w + b, y)
    inputs, mean = counts(0.4)
    labels = RNG.poisson(mean)
    values = {x: inputs, y: labels, w: np.array([0.1, 0.2, 0.3]), b: 0.5}
    eta = inputs @ values[w] + 0.5
    log_likelihood = scipy.stats.poisson.logpmf(labels, np.exp(eta))
    expected = -np.mean(log_likelihood + scipy.special.gammaln(labels + 1))
    check(loss, [w, b], values, expected)
    trainer = codegen.Trainer(loss, {w: 0.0, b: 0.0}, optimizer=sd.optimizers.SGD(0.2))
    trainer.fit({x: inputs, y: labels}, steps=3000)
    theta, wide = np.zeros(4), np.column_stack([inputs, np.ones(200)])
    for _ in range(30):  # Newton's method
        rate = np.exp(wide @ theta)
        theta -= np.linalg.solve(wide.T @ (rate[:, None] * wide), wide.T @ (rate - labels))
    np.testing.assert_allclose(trainer.parameters[w], theta[:3], rtol=1e-6)
    np.testing.assert_allclose(trainer.parameters[b], theta[3], rtol=1e-6)


def test_negative_binomial_regression():
    x, y = sd.tensor("x", "n", 3), sd.tensor("y", "n", dtype="int")
    w, b, s = sd.tensor("w", 3), sp.Symbol("b"), sp.Symbol("s")
    mean, size = sd.exp(x @ w + b), sp.exp(s)
    terms = (
        sd.loggamma(y + size) - sd.loggamma(size) - sd.loggamma(y + 1)
        + size * sp.log(size) + y * sd.log(mean) - (size + y) * sd.log(size + mean)
    )  # fmt: skip
    loss = -sd.mean(terms)
    inputs, rate = counts(1.0)
    labels = RNG.poisson(rate * RNG.gamma(2.0, 0.5, 200))
    values = {x: inputs, y: labels, w: np.array([0.1, 0.2, 0.3]), b: 0.5, s: 0.3}

    def reference(theta):
        mu, r = np.exp(inputs @ theta[:3] + theta[3]), np.exp(theta[4])
        return -np.mean(scipy.stats.nbinom.logpmf(labels, r, r / (r + mu)))

    check(loss, [w, b, s], values, reference([0.1, 0.2, 0.3, 0.5, 0.3]))
    found, value = minimum(loss, {w: np.zeros(3), b: 0.0, s: 0.0}, {x: inputs, y: labels})
    best = scipy.optimize.minimize(reference, np.zeros(5), method="BFGS")
    assert value == pytest.approx(best.fun, abs=1e-9)
    np.testing.assert_allclose([*found[w], found[b], found[s]], best.x, atol=1e-4)
