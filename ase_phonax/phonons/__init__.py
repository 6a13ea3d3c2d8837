"""D(q) fills phonopy, and everything is read off it.

Supercells, bands, meshes, symmetry, instabilities, motion of atoms, charges, volumes.
"""
