"""Layers: sugar that builds expressions and lists its parameters with their initialisers.

A layer is called with an expression and returns one. It makes its parameter tensors at the
first call, from the shape of what it is called with; later calls share them. The parameters of
two layers are different tensors, also where they are called alike.
"""

from __future__ import annotations

from .base import ACTIVATIONS, Layer
from .convolution import AvgPool2D, Conv2D, Flatten, MaxPool2D
from .dense import Dense, Embedding
from .normalisation import BatchNorm, Dropout, LayerNorm
from .recurrent import LSTM, SimpleRNN
from .sequential import Sequential

__all__ = [
    "ACTIVATIONS",
    "LSTM",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "LayerNorm",
    "MaxPool2D",
    "Sequential",
    "SimpleRNN",
]
