"""Torch modules: what is measured."""
