"""Supercells: phonopy objects, their force constants, how large they must be."""
