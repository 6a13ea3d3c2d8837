"""Defaults that functions of this room share with the settings of studies, which are to be imported quickly."""

# [Å] between an atom and the image of another: what a relaxation to 1e-3 eV/Å leaves along soft modes
TOLERANCE = 0.02
TEMPERATURE, PRESSURE = 298.15, 101325.0  # [K], [Pa]
