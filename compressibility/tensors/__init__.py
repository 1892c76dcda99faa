"""The mathematics of one kernel, in NumPy."""
