"""An unstable crystal, and where it goes: body-centred aluminium falls into the hexagonal close packing.

    python unstable_crystal.py [--quick] [--model MODEL]

The imaginary mode at N shuffles neighbouring (110) planes against each other: Burgers' way from the
body-centred to the hexagonal structure. It is found, followed and relaxed, and what comes out is tested in
turn. Writes aluminium_unstable.png, and aluminium_hcp.extxyz.
"""

import argparse
import warnings

import matplotlib
import numpy as np
from ase.build import bulk
from ase.io import write

matplotlib.use("Agg")
from matplotlib import pyplot

from ase_phonax import PhonaxCalculator, find_imaginary_modes, find_irreps, follow_mode, get_mesh, get_phonopy, relax


def labels_at(phonopy):
    """q -> irreducible representation of each mode there, counted from 1."""
    return lambda q: {mode: modes.label for modes in find_irreps(phonopy, q).sets for mode in modes.modes}


def density(phonopy, n):
    """Frequencies and density of states on an n x n x n mesh, and whether modes are imaginary."""
    mesh = get_mesh(phonopy, numbers=[n, n, n])
    dos = phonopy.run_total_dos(freq_pitch=0.1)
    return dos.frequency_points, dos.dos / len(phonopy.primitive), bool(mesh.frequencies.min() < -0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller supercells and coarser sampling")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    n, n_mesh = (4, 12) if options.quick else (6, 24)

    calc = PhonaxCalculator(options.model)
    atoms, _ = relax(bulk("Al", "bcc", a=3.2), calc)
    phonopy = get_phonopy(atoms, calc, n)
    found = find_imaginary_modes(phonopy, labels=labels_at(phonopy))
    for mode in found:
        where = mode.where or "elsewhere"
        print(f"{where:9s} {mode.frequency_thz:7.3f} THz  {mode.label or ''}  q = {np.round(mode.qpoint, 4).tolist()}")
    if not found:
        raise SystemExit(f"body-centred aluminium is stable with the model {options.model}: there is nothing to follow")

    worst = found[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The relaxation took the structure")  # that is the point
        followed = follow_mode(phonopy, calc, worst.qpoint, worst.modes[0])
    scan, pattern = followed.scan, followed.scan.pattern
    print(f"followed in a cell of {len(pattern.undistorted)} atoms, the smallest that the wave fits")
    print(f"lowest at {scan.amplitudes[scan.lowest]:.2f} Å: {1000 * scan.energies[scan.lowest]:.1f} meV per cell of it")
    gain = 1000 * followed.energy_gain
    print(f"relaxed: {followed.report.space_group_after}, {gain:+.1f} meV per atom, c/a", end=" ")
    lengths = np.sort(followed.relaxed.cell.lengths())
    print(f"{lengths[2] / lengths[0]:.3f} (close packing of spheres: {np.sqrt(8 / 3):.3f})")

    hexagonal = get_phonopy(followed.relaxed, calc, n)
    before, after = density(phonopy, n_mesh), density(hexagonal, n_mesh)
    print(
        "imaginary modes: "
        + ", ".join(f"{'yes' if x[2] else 'no'} {s}" for x, s in ((before, "before"), (after, "after")))
    )

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.5), layout="tight")
    left.plot(scan.amplitudes, 1000 * scan.energies / pattern.n_cells, "o-", markersize=4, label="energy")
    small = np.linspace(0, scan.amplitudes[-1] / 2)
    left.plot(small, 500 * pattern.curvature * small**2 / pattern.n_cells, "k:", label="harmonic, ½ ω² Q²")
    left.set(
        xlabel="Largest displacement (Å)", ylabel="Energy (meV per atom)", title=f"along {worst.label} at {worst.where}"
    )
    left.legend()
    for (frequencies, dos, _), name in ((before, "body-centred"), (after, str(followed.report.space_group_after))):
        right.plot(frequencies, dos, label=name)
    right.axvspan(1.1 * worst.frequency_thz, 0, color="C3", alpha=0.08)
    right.set(xlabel="Frequency (THz), imaginary as negative", ylabel="DOS per atom (1/THz)")
    right.set_ylim(0, 1.4 * max(before[1].max(), after[1].max()))  # room for the legend
    right.set_xlim(left=1.1 * worst.frequency_thz)
    right.legend()
    figure.savefig("aluminium_unstable.png", dpi=200)
    followed.relaxed.calc = None
    write("aluminium_hcp.extxyz", followed.relaxed)
    print("wrote aluminium_unstable.png and aluminium_hcp.extxyz")


if __name__ == "__main__":
    main()
