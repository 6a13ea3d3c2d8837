"""Grüneisen parameters and the quasi-harmonic approximation, against phonopy by hand.

By hand means what a phonopy script does: atoms of a supercell displaced to both sides by 0.003 Å, forces of
the same calculator, phonopy's force constants, `PhonopyGruneisen` and `phonopy.run_qha`. Energies and
relaxed structures are shared, so that what differs is how second derivatives were obtained.

    python benchmarks/volumes_by_displacements.py [Si MgO NaCl]
"""

import sys
import time
import warnings

import numpy as np
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy, PhonopyGruneisen, run_qha
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import PhonaxCalculator
from ase_phonax.phonons.volumes import get_gruneisen, get_quasi_harmonic, phonons_at_volumes
from ase_phonax.phonons.volumes.quasi_harmonic import RATIOS
from ase_phonax.structures.relaxation import relax

CRYSTALS = {
    "Si": bulk("Si", "diamond", a=5.45),
    "MgO": bulk("MgO", "rocksalt", a=4.25),
    "NaCl": bulk("NaCl", "rocksalt", a=5.65),
}
STEP = 0.003  # [Å]
SUPERCELL = 3
T_MAX = 1000
GPA = 160.21766  # per eV/Å³


def by_displacements(atoms: Atoms, calc: PhonaxCalculator) -> Phonopy:
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    phonopy = Phonopy(cell, np.eye(3, dtype=int) * SUPERCELL, primitive_matrix="P")
    phonopy.generate_displacements(distance=STEP, is_plusminus=True)
    phonopy.forces = [
        calc.get_forces(Atoms(moved.symbols, positions=moved.positions, cell=moved.cell, pbc=True))
        for moved in phonopy.supercells_with_displacements
    ]
    phonopy.produce_force_constants()
    return phonopy


def compare(name: str, calc: PhonaxCalculator) -> None:
    atoms, _ = relax(CRYSTALS[name], calc)
    start = time.perf_counter()
    points = phonons_at_volumes(atoms, calc, SUPERCELL, [0.99, 1.0, 1.01])
    found = get_gruneisen(points, mesh_length=40.0)
    hand = PhonopyGruneisen(*(by_displacements(points[i].atoms, calc) for i in (1, 2, 0)))
    with np.errstate(all="ignore"):
        hand.set_mesh(found.mesh_numbers, is_gamma_center=True)
    _, _, frequencies, _, gamma = hand.get_mesh()
    defined = np.isfinite(found.gamma)
    difference = np.abs(gamma - found.gamma)[defined]
    print(f"{name}: supercell {SUPERCELL}³, {defined.sum()} modes of the mesh {found.mesh_numbers}")
    print(f"  frequencies  differ by at most {np.abs(frequencies - found.frequencies_thz)[defined].max():.1e} THz")
    print(f"  γ            {found.range[0]:+.3f} to {found.range[1]:+.3f}, mean at 300 K {found.average(300):.4f}")
    print(f"               differs by at most {difference.max():.1e}, median {np.median(difference):.1e}")

    points = phonons_at_volumes(atoms, calc, SUPERCELL, RATIOS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = get_quasi_harmonic(points, t_max=T_MAX, mesh_length=40.0)
        upto = ours.result.temperatures[-1] + 10.5
        theirs = run_qha(
            [by_displacements(point.atoms, calc) for point in points],
            np.arange(0, upto, 10),
            internal_energies=[calc.get_potential_energy(point.atoms) for point in points],
            mesh=ours.mesh_numbers,
            exclude_gamma_acoustic=True,
        )
    result = ours.result
    room = ours.at(300)
    print(f"  quasi-harmonic, 0 to {result.temperatures[-1]:g} K; at 300 K:")
    for label, mine, other, value, unit in (
        ("volume", result.equilibrium_volumes, theirs.equilibrium_volumes, room["volume"], "Å³"),
        ("expansion", result.thermal_expansion, theirs.thermal_expansion, room["thermal_expansion_per_k"], "1/K"),
        (
            "bulk modulus",
            160.21766 * result.bulk_moduli,
            160.21766 * theirs.bulk_moduli,
            room["bulk_modulus_gpa"],
            "GPa",
        ),
        ("Gibbs energy", result.gibbs_free_energies, theirs.gibbs_free_energies, room["gibbs_free_energy"], "eV"),
    ):
        print(f"    {label:<13} {value:.6g} {unit}, differs over all temperatures by {np.abs(mine - other).max():.1e}")
    print(f"  {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    calculator = PhonaxCalculator("phonax-small")
    for crystal in sys.argv[1:] or CRYSTALS:
        compare(crystal, calculator)
