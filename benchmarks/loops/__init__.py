"""The training loop of each library; a workload gives it a loss and an update rule.

Every loop returns ``run(steps)``: train so many steps from the start, return the parameters as
NumPy arrays. What a user prepares once (arrays on the device, optimiser tables) is prepared
before; what a run has to do (new optimiser state, results back to NumPy) is in the run.
"""
