"""Every physical constant and conversion, once, with its source."""

# sqrt(eV/Å²/amu)/(2 pi) in THz: phonopy's value (phonopy.physical_units), used wherever a phonopy
# object is involved. ASE's CODATA set gives 15.63330430.
THZ_PER_SQRT_EV_A2_AMU = 15.63330230

CM1_PER_THZ = 33.35640952  # 1e12 Hz / (100 c), c = 299792458 m/s exactly
MEV_PER_THZ = 4.135667697  # h in eV s (SI 2019, exact) times 1e15

BOHR_PER_ANGSTROM = 1.8897261254535  # CODATA 2014, as in ase.units

# Name on the command line -> (factor from THz, as printed).
FREQUENCY_UNITS = {"THz": (1.0, "THz"), "cm-1": (CM1_PER_THZ, "cm⁻¹"), "meV": (MEV_PER_THZ, "meV")}
