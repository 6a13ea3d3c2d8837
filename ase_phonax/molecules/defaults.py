"""Defaults that functions of this room share with the settings of studies, which are to be imported quickly."""

# [Å] between an atom and the image of another: what a relaxation to 1e-3 eV/Å leaves along soft modes
TOLERANCE = 0.02
TEMPERATURE, PRESSURE = 298.15, 101325.0  # [K], [Pa]

# Of broadened spectra: gases and solutions have lines of some 10 cm⁻¹; 532 nm is the green of most Raman spectrometers.
LINE_SHAPES = ("lorentzian", "gaussian")
LINE_WIDTH = 10.0  # [1/cm] full width at half maximum
LASER = 532.0  # [nm]
FREQUENCY_SCALE = 1.0
