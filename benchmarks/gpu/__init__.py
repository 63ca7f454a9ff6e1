"""``python -m benchmarks.gpu``: the workloads, their growth, and wide layers on a CUDA device."""
