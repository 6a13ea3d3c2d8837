"""Defaults that functions of this room share with the settings of studies, which are to be imported quickly."""

TOLERANCE_THZ = 0.05  # RMS of frequencies interpolated from a supercell
MAX_ATOMS = 1000  # of a supercell that is chosen
DISPLACEMENT = 0.01  # [Å] of atoms, where second derivatives are differences: phonopy's own
THIRD_ORDER_STEPS = 3  # times that of third differences, which lose more in rounding: 0.03 Å, phono3py's own
WAYS = (DISPLACEMENTS, HESSIAN) = ("displacements", "hessian")  # to second derivatives of any calculator
EVERYWHERE = (True, True, True)  # directions that are repeated and sampled; the vacuum of a layer is not
ANIMATION_AMPLITUDE = 0.3  # [Å] seen without a magnifying glass, and bonds still look like bonds
ANIMATION_FRAMES = 24
STRAIN = 0.005  # of the volume, to both sides: exact constants have no noise that would ask for more
MESH_LENGTH = 100.0  # [Å] q-points along b: MESH_LENGTH * |b| / 2 pi, for total DOS and heat
VOLUME_MESH_LENGTH = 60.0  # [Å] the same at each of several volumes
EQUATIONS = ("vinet", "birch_murnaghan", "murnaghan")
T_MAX, T_STEP = 1000.0, 10.0  # [K]
# [%] of the volume, both ends among them: heat swells crystals, so more room above than below
LOWEST_PERCENT, HIGHEST_PERCENT, N_VOLUMES = -4.0, 8.0, 7
THIRD_ORDER_TOLERANCE = 0.01  # of Phi(q1, q2, q3) interpolated from a supercell, relative RMS
MAX_THIRD_ORDER_ATOMS = 250  # of a supercell that is chosen for constants of third order
METHODS = (RTA, LBTE, WIGNER) = ("rta", "lbte", "wigner")  # equations of transport
