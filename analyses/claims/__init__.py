"""The claims, one file each: what is claimed, its statistic, its robustness, and how it is told."""
