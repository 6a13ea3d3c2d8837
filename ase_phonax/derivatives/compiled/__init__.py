"""Derivatives through JAX: any function can be differentiated, on accelerators too."""
