"""Benchmarks: what the evaluation of truncated networks costs, against what it must cost."""
