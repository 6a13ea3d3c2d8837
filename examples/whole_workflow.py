"""The whole workflow on one crystal: structure, supercell, exact bands, symmetry of modes, group velocities.

    python whole_workflow.py [--quick] [--model MODEL]

What `ase-phonax phonons` does, step by step, with the exact answer beside the interpolated one at every
turn. Writes mgo_workflow.png and irreps.yaml.
"""

import argparse

import matplotlib
import numpy as np
from ase.build import bulk

matplotlib.use("Agg")
from matplotlib import pyplot

from ase_phonax import (
    PhonaxCalculator,
    choose_supercell,
    find_irreps,
    get_band_structure,
    get_group_velocities,
    get_mesh,
    get_phonopy,
    get_thermal_properties,
    relax,
    to_ase_bands,
    write_irreps,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a looser tolerance and coarser sampling")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    tolerance, spacing, n = (0.3, 0.05, 6) if options.quick else (0.05, 0.02, 12)

    calc = PhonaxCalculator(options.model)
    atoms, report = relax(bulk("MgO", "rocksalt", a=4.2), calc)
    print(f"relaxed {report.space_group_after} in {report.n_steps} steps, forces ≤ {report.max_force:.0e} eV/Å")

    choice = choose_supercell(atoms, calc, tolerance_thz=tolerance)
    for _, n_atoms, error in sorted(choice.tried, key=lambda tried: tried[1]):
        print(f"supercell of {n_atoms:4d} atoms: {error:.3f} THz from the exact frequencies")
    phonopy = get_phonopy(atoms, calc, choice.matrix)
    print(f"taken: {choice.n_atoms} atoms")

    interpolated = get_band_structure(phonopy, spacing=spacing)
    exact = get_band_structure(phonopy, spacing=spacing, exact=calc)
    pieces = zip(interpolated.frequencies, exact.frequencies, strict=True)
    print(f"largest difference on the band path: {max(np.abs(a - b).max() for a, b in pieces):.3f} THz")

    mesh = get_mesh(phonopy, numbers=[n, n, n])
    heat = get_thermal_properties(phonopy, [300])
    print(f"at 300 K: S = {heat.entropy[0]:.2f} J/K/mol, C_v = {heat.heat_capacity[0]:.2f} J/K/mol")

    irreps = [find_irreps(phonopy, q) for q in ([0, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0.5])]
    for found in irreps:
        print(f"q = {found.qpoint.tolist()}, {found.little_cogroup}")
        for modes in found.sets:
            print(
                f"  {modes.label or '?':4s} {modes.frequency_thz:z8.3f} THz ({modes.degeneracy}) {modes.activity or ''}"
            )
    write_irreps(irreps, "irreps.yaml")

    frequencies, velocities = get_group_velocities(calc, atoms, mesh.qpoints)
    _, near_gamma = get_group_velocities(calc, atoms, [[0.0, 0.01, 0.01]])
    # THz Å are 100 m/s.
    print("sound along Γ–X: " + "  ".join(f"{100 * np.linalg.norm(v):.0f}" for v in near_gamma[0, :3]) + " m/s")

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), width_ratios=(2, 1), sharey=True, layout="tight")
    for bands, style, name in ((exact, "C0-", "exact D(q)"), (interpolated, "C1--", f"{choice.n_atoms} atoms")):
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
    print("wrote mgo_workflow.png and irreps.yaml")


if __name__ == "__main__":
    main()
