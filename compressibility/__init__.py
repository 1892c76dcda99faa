"""Tensor-network compressibility of trained neural networks (after arXiv 2403.14379)."""

__version__ = "0.1.0"
