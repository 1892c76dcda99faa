"""The named experiments, as data, and their networks."""
