"""Symmetry of modes: irreducible representations and activity."""
