"""What kernels for graphics processors need beside what all kernels need.

Threads form warps, warps form blocks, blocks form the grid. The same text of a kernel runs on a
device, on threads of the processor, and as plain Python under a scheduler that looks for races.
"""
