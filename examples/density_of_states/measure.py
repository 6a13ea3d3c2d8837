"""Errors of a committee and of its networks against DFT, beside those of potentials on the same crystals."""

import json
import time
from argparse import Namespace
from pathlib import Path

import data
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ase_phonax import (
    PhonaxCalculator,
    Potential,
    density_heat,
    exact_density,
    load_model,
    mean_frequency,
    predict_density,
)
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.models.spectra.densities import GRID_CM1

GRID = GRID_CM1[: data.KNOWN] / CM1_PER_THZ
CORRELATED = 50  # crystals whose partial densities are compared
LIH, DEUTERIUM = 4.02, 2.014  # Å, amu


def run(options: Namespace, paths: list[Path]) -> dict:
    """Measure, print, and write measured_PART.json."""
    members = [load_model(path) for path in paths]
    part = "valid" if options.choose else "test"
    crystals = [(k, atoms, density) for own, k, atoms, density in data.crystals(options.quick) if own == part]
    rows = [row for k, atoms, density in crystals if (row := row_of(k, atoms, density, members))]
    result = {"part": part, "crystals": len(rows)}
    result |= errors([row["shape"] for row in rows], [row["label"] for row in rows])
    singles = [errors([row["single"][k] for row in rows], [row["label"] for row in rows]) for k in range(len(members))]
    result["single_networks"] = singles
    names = ("mae", "misplaced", "r2", "heat_capacity_300K_mae", "mean_frequency_cm1_mae")
    result["single"] = {
        name: [float(np.mean(of := [own[name] for own in singles])), float(np.std(of, ddof=1) if len(of) > 1 else 0)]
        for name in names
    }
    result["milliseconds"] = 1000 * float(np.median([row["seconds"] for row in rows]))
    if len(members) > 1:
        result["misplaced_over_spread"] = result["misplaced"] / float(np.mean([row["spread"] for row in rows]))
    result["by_element"] = by_element(rows)
    result["isotopes"] = isotopes(members, options)
    result["potentials"] = {Path(name).stem: beside(name, options, part, crystals, rows) for name in options.potentials}
    print(json.dumps({key: value for key, value in result.items() if key != "by_element"}, indent=1))
    result["rows"] = rows
    written = options.output / f"measured_{part}.part"
    written.write_text(json.dumps(result, indent=1) + "\n")
    written.replace(written.with_suffix(".json"))
    return result


def row_of(k: int, atoms: Atoms, density: np.ndarray, members: list[Potential]) -> dict | None:
    """What each network and all together say of a crystal; None where it has an element that was never learned."""
    try:
        start = time.perf_counter()
        alone = [predict_density(atoms, own).total[: data.KNOWN] for own in members]
        seconds = time.perf_counter() - start
    except ValueError as error:
        print(f"{k}: {error.args[0]}")
        return None
    total = np.mean(alone, axis=0)
    shapes = [own / own.max() for own in (*alone, total)]
    return {
        "crystal": k,
        "formula": atoms.get_chemical_formula("metal"),
        "elements": [chemical_symbols[z] for z in np.unique(atoms.numbers)],
        "n_atoms": len(atoms),
        "mae": float(np.abs(shapes[-1] - density).mean()),
        "spread": float(np.std(alone, axis=0, ddof=1).sum() / total.sum() / 2) if len(alone) > 1 else 0.0,
        "seconds": seconds,
        "label": density.tolist(),
        "shape": shapes[-1].tolist(),
        "single": [own.tolist() for own in shapes[:-1]],
    }


def errors(found: list, labels: list) -> dict:
    """Errors of densities with the maximum 1, and of what follows from them."""
    p, y = np.array(found), np.array(labels)
    heat = [[heat_of(own) for own in both] for both in (p, y)]
    means = [[CM1_PER_THZ * mean_frequency(GRID, own) for own in both] for both in (p, y)]
    shares = [own / own.sum(axis=1, keepdims=True) for own in (p, y)]
    return {
        "mae": float(np.abs(p - y).mean()),
        "misplaced": float(np.abs(np.subtract(*shares)).sum(axis=1).mean() / 2),
        "r2": float(1 - ((p - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()),
        "heat_capacity_300K_mae": float(np.abs(np.subtract(*heat)).mean()),
        "mean_frequency_cm1_mae": float(np.abs(np.subtract(*means)).mean()),
    }


def heat_of(shape: np.ndarray) -> float:
    """Heat capacity at 300 K of a density scaled to three modes [J/K/mol]."""
    return float(density_heat(GRID, 3 * shape / (shape.sum() * GRID[1]), 300.0).heat_capacity[0])


def by_element(rows: list[dict]) -> dict[str, list[float]]:
    """Mean error of crystals with an element, and how many there are."""
    of = {}
    for row in rows:
        for element in row["elements"]:
            of.setdefault(element, []).append(row["mae"])
    return {element: [float(np.mean(own)), len(own)] for element, own in sorted(of.items())}


def beside(name: str, options: Namespace, part: str, crystals: list, rows: list[dict]) -> dict:
    """A potential's exact densities of the same crystals, at the cell of the data: errors of both, and times.

    Of the first CORRELATED also the correlation of densities of sites between both.
    """
    calc = PhonaxCalculator(name, dtype="float32")
    folder = options.output / f"exact-{Path(name).stem}-{part}"
    folder.mkdir(exist_ok=True)
    known = {row["crystal"]: row for row in rows}
    exact, network, labels, seconds, correlations = [], [], [], [], []
    for k, atoms, density in crystals:
        if k not in known or not set(atoms.numbers) <= set(calc.potential.numbers):
            continue
        path = folder / f"{k}.npz"
        if not path.exists():
            start = time.perf_counter()
            own = exact_density(atoms, calc).by_atom
            with open(path.with_suffix(".part"), "wb") as file:
                np.savez(file, by_atom=own, seconds=time.perf_counter() - start)
            path.with_suffix(".part").replace(path)
        with np.load(path) as stored:
            by_atom, spent = stored["by_atom"], float(stored["seconds"])
        total = by_atom.mean(axis=0)[: data.KNOWN]
        exact.append(total / total.max())
        network.append(known[k]["shape"])
        labels.append(density)
        seconds.append(spent)
        if len(correlations) < CORRELATED:
            found = predicted_by_atom(atoms, options)
            pairs = zip(found, by_atom, strict=True)
            correlations.append(float(np.mean([np.corrcoef(own, other)[0, 1] for own, other in pairs])))
    return {
        "crystals": len(exact),
        "potential": errors(exact, labels),
        "network": errors(network, labels),
        "seconds": float(np.median(seconds)),
        "sites": {
            "crystals": len(correlations),
            "mean_correlation": float(np.mean(correlations)),
            "median_correlation": float(np.median(correlations)),
        },
    }


def predicted_by_atom(atoms: Atoms, options: Namespace) -> np.ndarray:
    """(n, m) the committee's mean."""
    import make

    paths = [make.member(options, k) / "model.h5" for k in range(options.members)]
    return np.mean([predict_density(atoms, path).by_atom for path in paths], axis=0)


def isotopes(members: list[Potential], options: Namespace) -> dict:
    """How mean frequencies of lithium hydride change with deuterium, by the network and by the potentials."""
    from ase.build import bulk

    salt = bulk("MgO" if options.quick else "LiH", "rocksalt", a=LIH)
    heavy = salt.copy()
    heavy.set_masses([salt.get_masses()[0], DEUTERIUM * (16 if options.quick else 1)])

    def ratio(answer) -> float:
        light, other = (answer(own) for own in (salt, heavy))
        return float(np.divide(*[mean_frequency(own.frequencies_thz, own.total) for own in (other, light)]))

    result = {"network": float(np.mean([ratio(lambda own, m=m: predict_density(own, m)) for m in members]))}
    for name in options.potentials:
        calc = PhonaxCalculator(name)
        result[Path(name).stem] = ratio(lambda own, calc=calc: exact_density(own, calc))
    return result
