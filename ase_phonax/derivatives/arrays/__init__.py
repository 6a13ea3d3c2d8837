"""Derivatives in NumPy: nothing to compile, second derivatives from first-order responses."""
