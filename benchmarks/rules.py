"""Update rules, once for all systems but those that are written out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SGD:
    """Gradient descent: v ← μ v + g, p ← p − η v."""

    rate: float
    momentum: float = 0.0

    def scales(self, steps, dtype):
        """What an update needs to know of its step: nothing."""
        return None

    def begin(self, parameters):
        return [[p * 0 for p in parameters]] if self.momentum else []

    def update(self, parameters, gradients, state, scale):
        """New parameters and state; for arrays of any library."""
        if self.momentum:
            gradients = [
                self.momentum * v + g for v, g in zip(state[0], gradients, strict=True)
            ]  # fmt: skip
            state = [gradients]
        new = [p - self.rate * g for p, g in zip(parameters, gradients, strict=True)]
        return new, state

    def in_place(self, parameters):
        """A function that updates NumPy's arrays in place."""
        state = [np.zeros_like(p) for p in parameters]

        def update(gradients):
            for p, g, v in zip(parameters, gradients, state, strict=True):
                if self.momentum:
                    v *= self.momentum
                    v += g
                    p -= self.rate * v
                else:
                    p -= self.rate * g

        return update

    def symdiff(self):
        import symdiff as sd

        return sd.optimizers.SGD(self.rate, momentum=self.momentum)

    def torch(self, parameters, capturable=False):
        """``capturable``: the update may be captured as a CUDA graph, as this one always may."""
        import torch

        return torch.optim.SGD(parameters, self.rate, self.momentum, fused=True)

    def keras(self):
        import keras

        return keras.optimizers.SGD(self.rate, self.momentum)


@dataclass(frozen=True)
class Adam:
    """Adam in PyTorch's form: ε is added after the bias correction of v."""

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def scale(self, step):
        """Rate and ε that make up for the bias of m and v in this step, counted from 1."""
        second = np.sqrt(1 - self.beta2**step)
        return self.rate * second / (1 - self.beta1**step), self.epsilon * second

    def scales(self, steps, dtype):
        """The scales of all steps: in float32 a loop could not compute them well."""
        return np.stack(self.scale(np.arange(1, steps + 1, dtype=np.float64)), axis=1).astype(dtype)

    def begin(self, parameters):
        return [[p * 0 for p in parameters], [p * 0 for p in parameters]]

    def update(self, parameters, gradients, state, scale):
        """New parameters and state; for arrays of any library."""
        m = [self.beta1 * m + (1 - self.beta1) * g
             for m, g in zip(state[0], gradients, strict=True)]  # fmt: skip
        v = [self.beta2 * v + (1 - self.beta2) * g * g
             for v, g in zip(state[1], gradients, strict=True)]  # fmt: skip
        new = [p - scale[0] * a / (b**0.5 + scale[1])
               for p, a, b in zip(parameters, m, v, strict=True)]  # fmt: skip
        return new, [m, v]

    def in_place(self, parameters):
        """A function that updates NumPy's arrays in place."""
        state = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
        step = 0

        def update(gradients):
            nonlocal step
            step += 1
            rate, epsilon = map(float, self.scale(step))
            for p, g, (m, v) in zip(parameters, gradients, state, strict=True):
                m += (1 - self.beta1) * (g - m)
                v += (1 - self.beta2) * (g * g - v)
                p -= rate * m / (np.sqrt(v) + epsilon)

        return update

    def symdiff(self):
        import symdiff as sd

        return sd.optimizers.Adam(self.rate, self.beta1, self.beta2, self.epsilon)

    def torch(self, parameters, capturable=False):
        import torch

        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(parameters, self.rate, betas, self.epsilon, fused=True,
                                capturable=capturable)  # fmt: skip

    def keras(self):
        """Keras adds ε before the bias correction, which makes no visible difference here."""
        import keras

        return keras.optimizers.Adam(self.rate, self.beta1, self.beta2, self.epsilon)
