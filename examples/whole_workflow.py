"""The whole workflow on one crystal: one call, as `ase-phonax phonons` does it, then what goes beyond it.

    python whole_workflow.py [--quick] [--model MODEL]

Prints the report of the study and writes all its files to the folder mgo. On its phonopy object: exact bands beside
interpolated ones, and exact group velocities, in mgo_workflow.png.
"""

import argparse

import matplotlib
import numpy as np
from ase.build import bulk

matplotlib.use("Agg")
from matplotlib import pyplot

from ase_phonax import (
    PhonaxCalculator,
    PhononSettings,
    get_band_structure,
    get_group_velocities,
    phonon_study,
    to_ase_bands,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a looser tolerance and coarser sampling")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    tolerance, spacing, n = (0.3, 0.05, 6) if options.quick else (0.05, 0.02, 12)

    calc = PhonaxCalculator(options.model)
    settings = PhononSettings(tolerance=tolerance, mesh=(n, n, n), irreps_q=[(0.5, 0, 0.5), (0.5, 0.5, 0.5)])
    study = phonon_study(bulk("MgO", "rocksalt", a=4.2), calc, settings)
    folder = study.write("mgo", overwrite=True)
    print(study.report(folder))

    phonopy, atoms = study.phonopy, study.atoms
    n_atoms, qpoints = len(phonopy.supercell), phonopy.mesh.qpoints
    interpolated = get_band_structure(phonopy, spacing=spacing)
    polar = study.calculator(calc)  # with the charges that the study predicted
    exact = get_band_structure(phonopy, spacing=spacing, exact=polar)
    pieces = zip(interpolated.frequencies, exact.frequencies, strict=True)
    print(f"largest difference on the band path: {max(np.abs(a - b).max() for a, b in pieces):.3f} THz")

    frequencies, velocities = get_group_velocities(polar, atoms, qpoints)
    _, near_gamma = get_group_velocities(polar, atoms, [[0.0, 0.01, 0.01]])
    # THz Å are 100 m/s.
    print("sound along Γ–X: " + "  ".join(f"{100 * np.linalg.norm(v):.0f}" for v in near_gamma[0, :3]) + " m/s")

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), width_ratios=(2, 1), sharey=True, layout="tight")
    for bands, style, name in ((exact, "C0-", "exact D(q)"), (interpolated, "C1--", f"{n_atoms} atoms")):
        drawn = to_ase_bands(bands, atoms.cell[:])  # ASE's own object, in eV
        x, ticks, labels = drawn.path.get_linear_kpoint_axis()
        lines = left.plot(x, 1000 * drawn.energies[0], style, linewidth=1)
        lines[0].set_label(name)
    names: dict[float, str] = {}  # where the path jumps, two points share one place
    for tick, label in zip(ticks.tolist(), labels, strict=True):
        names[tick] = f"{names[tick]}|{label}" if tick in names else label.replace("G", "Γ")
    left.set_xticks(list(names), list(names.values()))
    left.set(xlim=(x[0], x[-1]), ylim=(0, None), ylabel="Energy (meV)", title=f"MgO, {calc.potential.name}")
    for tick in ticks:
        left.axvline(tick, color="0.7", linewidth=0.8)
    left.legend()
    right.plot(np.linalg.norm(velocities, axis=2).ravel() / 10, 4.135668 * frequencies.ravel(), ".", markersize=3)
    right.set(xlabel="Group velocity (km/s)", xlim=(0, None))
    figure.savefig("mgo_workflow.png", dpi=200)
    print("wrote mgo_workflow.png")


if __name__ == "__main__":
    main()
