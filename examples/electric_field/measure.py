"""The potential of train.py on frames it has never seen, against PBE in fields: a table, and fields.png beside it.

python examples/electric_field/measure.py [--part test] [--model examples/electric_field/data/ethanol.h5]
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from train import HERE, LABELS, split

from ase_phonax import PhonaxCalculator

SHIPPED = HERE / "data/ethanol.h5"
ORDERS = ("zeroth order", "first order", "second order")
BINS = (0.0, 0.2, 0.45, 0.65, 0.85, 1.1)  # V/Å, of the means that are drawn
COLOURS = ("tab:grey", "tab:orange", "tab:blue")


def expansion(order: int, field: np.ndarray, answers: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Energy [eV] and forces (n, 3) [eV/Å] in a field, to an order of it, from what is known without."""
    energy, forces = answers["energy"], answers["forces"]
    if order > 0:
        energy = energy - answers["dipole"] @ field
        forces = forces + np.einsum("nab,a->nb", answers["born_charges"], field)
    if order > 1:
        energy = energy - field @ answers["polarizability"] @ field / 2
        forces = forces + np.einsum("nabc,a,b->nc", answers["gradient"], field, field) / 2
    return float(energy), forces


def said(calculator: PhonaxCalculator, atoms: Atoms) -> dict[str, np.ndarray]:
    """What the model says of a frame without a field; gradient (n, 3, 3, 3) has the displacement last."""
    atoms.calc = calculator
    return {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "dipole": atoms.get_dipole_moment(),
        "polarizability": calculator.get_polarizability(atoms),
        "born_charges": calculator.get_born_charges(atoms),
        "gradient": calculator.get_polarizability_gradient(atoms),
    }


def measured(model: Path, part: str) -> dict[str, np.ndarray]:
    """Errors by frame (m) and field (7, the strongest last): energy (3, m, 7) and forces (3, m, 7, n, 3) by order.

    And those of what is known without a field, beside both sides' values.
    """
    calculator = PhonaxCalculator(model)
    with np.load(LABELS) as stored:
        labels = dict(stored)
    chosen = split()[part]
    model_answers = [said(calculator, Atoms(labels["numbers"], labels["positions"][k])) for k in chosen]
    fields = labels["fields"][chosen, 1:]
    errors = {"field": np.linalg.norm(fields, axis=-1)}
    in_field = [
        [
            [expansion(order, field, answers) for field in own]
            for own, answers in zip(fields, model_answers, strict=True)
        ]
        for order in range(3)
    ]
    energies = np.array([[[e for e, _ in own] for own in each] for each in in_field])
    forces = np.array([[[f for _, f in own] for own in each] for each in in_field])
    errors["energy"] = energies - labels["energies"][chosen, 1:]
    errors["forces"] = forces - labels["forces_in_fields"][chosen, 1:]
    # Second differences of forces in the two opposite fields along each axis: d alpha_aa/dx.
    both = labels["forces_in_fields"][chosen, 1:7].reshape(len(chosen), 3, 2, -1, 3)
    step = np.linalg.norm(fields[:, 0:6:2], axis=-1)[:, :, None, None]
    along = (both.sum(2) - 2 * labels["forces"][chosen][:, None]) / step**2
    gradients = np.array([np.einsum("naab->anb", answers["gradient"]) for answers in model_answers])
    errors["gradient_both"], errors["gradient_alone"] = np.stack([along, gradients]), gradients - along
    for name in ("energy", "forces", "dipole", "polarizability", "born_charges"):
        answers = np.array([answers[name] for answers in model_answers])
        errors[f"{name}_alone"] = answers - labels[name][chosen]
        errors[f"{name}_both"] = np.stack([labels[name][chosen], answers])
    return errors


def table(errors: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean absolute errors; of the polarizability the mean relative one (Frobenius)."""
    rows = {}
    for strength, places in (("0.10 V/Å", slice(0, 6)), ("0.26 to 1.03 V/Å", slice(6, 7))):
        for quantity, unit in (("energy", "meV"), ("forces", "meV/Å")):
            for order, name in enumerate(ORDERS):
                mean = np.abs(errors[quantity][order][:, places]).mean()
                rows[f"{quantity} in {strength}, {name} [{unit}]"] = 1e3 * mean
    rows["energy without a field [meV]"] = 1e3 * np.abs(errors["energy_alone"]).mean()
    rows["forces without a field [meV/Å]"] = 1e3 * np.abs(errors["forces_alone"]).mean()
    rows["dipole [eÅ]"] = np.abs(errors["dipole_alone"]).mean()
    rows["Born charges [e]"] = np.abs(errors["born_charges_alone"]).mean()
    sizes = [np.linalg.norm(errors[f"polarizability_{which}"], axis=(-2, -1)) for which in ("alone", "both")]
    rows["polarizability [%]"] = 100 * (sizes[0] / sizes[1][0]).mean()
    sizes = [np.sqrt(np.mean(errors[f"gradient_{which}"] ** 2, axis=(-3, -2, -1))) for which in ("alone", "both")]
    rows["derivatives of its diagonal [%]"] = 100 * (sizes[0] / sizes[1][0]).mean()
    return {name: float(value) for name, value in rows.items()}


def draw(errors: dict[str, np.ndarray], path: Path) -> None:
    """Errors in fields by order, against the field; dipoles and Born charges against PBE's."""
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    bins = [(errors["field"] >= low) & (errors["field"] < high) for low, high in pairwise(BINS)]
    middles = [errors["field"][which].mean() for which in bins]
    for order, (name, colour) in enumerate(zip(ORDERS, COLOURS, strict=True)):
        energies = 1e3 * np.abs(errors["energy"][order])
        forces = 1e3 * np.abs(errors["forces"][order]).mean(axis=(2, 3))
        for axis, values in zip(axes, (energies, forces), strict=False):
            axis.semilogy(errors["field"].ravel(), values.ravel(), ".", color=colour, ms=4, alpha=0.35)
            axis.semilogy(middles, [values[which].mean() for which in bins], "o-", color=colour, label=name)
    axes[0].set(xlabel="field (V/Å)", ylabel="error of the energy (meV)", ylim=(0.03, 3e3))
    axes[1].set(xlabel="field (V/Å)", ylabel="mean error of forces (meV/Å)")
    axes[0].legend(fontsize=8, title="mean errors", title_fontsize=8)
    for axis, name, words in (
        (axes[2], "dipole", "dipole (eÅ)"),
        (axes[3], "born_charges", "Born charges (e)"),
    ):
        reference, answers = errors[f"{name}_both"].reshape(2, -1)
        ends = [min(reference.min(), answers.min()), max(reference.max(), answers.max())]
        axis.plot(ends, ends, color="0.7", lw=1)
        axis.plot(reference, answers, ".", color="tab:blue", ms=4)
        axis.set(xlabel=f"{words}, PBE", ylabel=f"{words}, model")
        unit = words.split()[-1].strip("()")
        axis.set_title(f"mean error {np.abs(errors[f'{name}_alone']).mean():.4f} {unit}", fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["train", "valid", "test"], default="test")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    options = parser.parse_args()
    errors = measured(options.model, options.part)
    rows = table(errors)
    for name, value in rows.items():
        print(f"{name:50s} {value:9.4g}")
    if options.part == "test" and options.model == SHIPPED:
        (HERE / "errors.json").write_text(json.dumps(rows, indent=1) + "\n")
        draw(errors, HERE / "fields.png")


if __name__ == "__main__":
    main()
