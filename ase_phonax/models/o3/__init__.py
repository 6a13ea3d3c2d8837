"""Rotations: irreducible representations, spherical harmonics, couplings."""
