"""The workloads, for us and for others, on one machine in one go: ``python -m benchmarks``."""
