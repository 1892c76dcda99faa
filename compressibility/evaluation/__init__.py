"""The answers of variants of a network, each with some kernels replaced."""
