"""Constants of the transforms of distances that MACE knows."""

# a, q, p of Witt et al., J. Chem. Phys. 159, 164101 (2023).
AGNESI = (1.0805, 0.9183, 4.5791)
# Steepness.
SOFT = (4.0,)
