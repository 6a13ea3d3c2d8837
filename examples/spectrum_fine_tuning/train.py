"""Models corrected by spectra, and what becomes of spectra that they never see.

    PHONAX_DATA=... python examples/spectrum_fine_tuning/train.py simulated   benzene's PBE-D3 spectrum; toluene, phenol
    PHONAX_DATA=... python examples/spectrum_fine_tuning/train.py measured    fundamentals of small molecules; others
    PHONAX_DATA=... python examples/spectrum_fine_tuning/train.py silicon     Γ and X; L
    PHONAX_DATA=... python examples/spectrum_fine_tuning/train.py copper      every second of 65 neutron points; others
    python examples/spectrum_fine_tuning/train.py --quick                     one epoch on water

Each is one to three seeds of a few minutes of two cores. Models are kept in runs/, and a second start goes on there;
results/CASE.json has each line and the mode of each model.
"""

import argparse
import json
import lzma
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from ase_phonax import Line, LineList, PhonaxCalculator, Potential, fine_tune_to_spectra
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.derivatives.conventions import mass_weighted, signed_roots_thz
from ase_phonax.training.labels.line_lists import AssignedLines, assigned

RESULTS = HERE / "results"
MOLECULES = str(HERE / "start.h5")  # phonax-molecules as it shipped before: it knows aromatic rings by GFN2-xTB alone
SEEDS = {"simulated": (0, 1, 2), "measured": (0, 1, 2), "silicon": (0,), "copper": (0,)}
TOLERANCE = 0.02  # Å, of the symmetry of geometries relaxed in a box
EQUAL_THZ = 1e-3  # of degenerate modes
UNSTATED_THZ = 0.1  # the uncertainty of three of copper's points
# Of copper's branches, cubic axes.
POLARIZATIONS = {
    "L00x": (0, 0, 1),
    "T00x": (1, 0, 0),
    "xx0_a": (1, 1, 0),
    "xx0_b": (0, 0, 1),
    "xx0_c": (1, -1, 0),
    "Lxxx": (1, 1, 1),
    "Txxx": (1, -1, 0),
}
BREADTH = HERE.parent / "molecular_model/data/breadth.npz"
MOST_MOLECULES = 200
# Copper has 33 lines at 29 wave vectors, and they themselves tell when they are learned.
SETTINGS: dict[str, dict] = {"copper": {"optimiser": {"epochs": 20}}}
Lists = dict[str, tuple[LineList, Atoms]]


def data() -> Path:
    """The folder of the reference data."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: there are no spectra to learn from; --quick needs none")
    folder = Path(os.environ["PHONAX_DATA"])
    return folder / "data" if (folder / "data").is_dir() else folder


def simulated() -> tuple[str, Lists, dict[str, Lists]]:
    """Benzene, toluene and phenol by PBE-D3 (VASP): harmonic levels of published force constants."""
    found = {name: pbe_d3(name) for name in ("Benzene", "Toluene", "Phenol")}
    others = {"others": {name: found[name] for name in ("Toluene", "Phenol")}}
    return MOLECULES, {"Benzene": found["Benzene"]}, others


def pbe_d3(name: str) -> tuple[LineList, Atoms]:
    """All levels of a molecule of the spectroscopy set; by species where there is more than one."""
    import phonopy
    from ase.vibrations import VibrationsData

    from ase_phonax import modes_of_vibrations

    folder = data() / "spectroscopy" / name / "Step-0.005"
    known = phonopy.load(
        folder / "phonopy_disp.yaml",
        force_sets_filename=folder / "FORCE_SETS",
        primitive_matrix="P",
        symmetrize_fc=False,
        log_level=0,
    )
    cell = known.primitive
    atoms = Atoms(cell.symbols, positions=cell.positions)
    n = 3 * len(atoms)
    hessian = np.asarray(known.force_constants).transpose(0, 2, 1, 3).reshape(n, n)
    hessian = ((hessian + hessian.T) / 2).reshape(len(atoms), 3, len(atoms), 3)
    modes = modes_of_vibrations(VibrationsData(atoms, hessian), tolerance=TOLERANCE)
    if len({own.label for own in modes.sets}) == 1:  # no symmetry: nearest to nearest is in order
        return LineList("", tuple(Line(x) for x in modes.wavenumbers), assign="transport"), atoms
    return LineList("", tuple(Line(own.wavenumber, species=own.label) for own in modes.sets)), atoms


def fundamentals() -> tuple[str, Lists, dict[str, Lists]]:
    """Measured fundamentals of molecules."""
    import measured

    calc = PhonaxCalculator(MOLECULES)

    def lists(names: dict) -> Lists:
        found = measured.fundamentals(names, calc)
        return {name: (lines, own.atoms) for name, (lines, own) in found.items()}

    others = {"others": lists(measured.OTHERS), "deuterated": lists(measured.ISOTOPOLOGUES)}
    return MOLECULES, lists(measured.LEARNED), others


def silicon() -> tuple[str, Lists, dict[str, Lists]]:
    """Measured frequencies at Γ and X, and at L: G. Nilsson, G. Nelin, Phys. Rev. B 6, 3777 (1972)."""
    at = {
        "Γ": ((0.0, 0.0, 0.0), {4: (15.53, 0.23)}),
        "X": ((0.5, 0.0, 0.5), {1: (4.49, 0.06), 3: (12.32, 0.20), 5: (13.90, 0.30)}),
        "L": ((0.5, 0.5, 0.5), {1: (3.43, 0.05), 3: (11.35, 0.30), 4: (12.60, 0.32), 5: (14.68, 0.30)}),
    }

    def lists(*points: str) -> LineList:
        rows = [(q, mode, *known) for q, modes in (at[p] for p in points) for mode, known in modes.items()]
        return LineList(
            "", tuple(Line(nu, mode=m, uncertainty=u, q=q) for q, m, nu, u in rows), unit="THz", relax=False
        )

    atoms = bulk("Si", a=5.431)
    return "phonax-small", {"Γ, X": (lists("Γ", "X"), atoms)}, {"others": {"L": (lists("L"), atoms)}}


def copper() -> tuple[str, Lists, dict[str, Lists]]:
    """Neutron frequencies at 49 K: R. M. Nicklow et al., Phys. Rev. 164, 922 (1967); every second point is learned.

    A branch is told by its polarization, which symmetry fixes: the mode that moves most along it. Three of them end in
    X, where each line is taken once.
    """
    points = json.loads((data() / "measured/metals_phonons.json").read_text())["Cu_points"]["points"]
    calc = PhonaxCalculator("phonax-small")
    atoms = bulk("Cu", a=3.603)
    edge = 2 * np.abs(atoms.cell.array).max()  # of the cube
    by_mode: dict[tuple, Line] = {}
    for point in points:
        q = tuple(np.round(atoms.cell.array @ point["q_2pi_over_a"] / edge, 9).tolist())
        matrix = calc.evaluator.lattice_matrices(atoms, np.array([q]))[0]
        squares, modes = np.linalg.eigh(mass_weighted(matrix, atoms.get_masses()))
        levels = signed_roots_thz(squares)
        overlaps = np.abs(np.array(POLARIZATIONS[point["branch"]]) @ modes) ** 2
        uncertainty = point["sigma_THz"] or UNSTATED_THZ
        line = Line(point["THz_49K"], mode=int(overlaps.argmax()) + 1, uncertainty=uncertainty, q=q)
        same = [mode for mode in (1, 2, 3) if abs(levels[mode - 1] - levels[line.mode - 1]) < EQUAL_THZ]
        by_mode.setdefault((line.q, same[0]), line)
    lines = list(by_mode.values())
    lists = [LineList("", tuple(lines[k::2]), unit="THz", relax=False) for k in (0, 1)]
    return "phonax-small", {"every second": (lists[0], atoms)}, {"others": {"left out": (lists[1], atoms)}}


Assigned = dict[str, AssignedLines]
Rows = dict[str, list[list[float]]]


def on_modes(lists: Lists, calc: PhonaxCalculator) -> Assigned:
    """Lines on the modes of the starting model; they stay with these modes whatever is learned."""
    return {name: assigned(lines, atoms, calc, name) for name, (lines, atoms) in lists.items()}


def rows_of(found: Assigned, lists: Lists, calc: PhonaxCalculator) -> Rows:
    """[line, a model's mode] of each line, by structure [1/cm].

    Toluene's lines have no species, but are all there: they are compared in ascending order.
    """
    rows = {}
    for name, own in found.items():
        if lists[name][0].assign == "transport":
            own = assigned(*lists[name], calc, name)
        per_cm1 = 1.0 if lists[name][0].unit == "cm-1" else CM1_PER_THZ
        modes = own.frequencies(calc)
        rows[name] = [
            [per_cm1 * assignment.line.at, CM1_PER_THZ * mode]
            for assignment, mode in zip(own.assignments, modes, strict=True)
        ]
    return rows


def rms(rows: dict[str, list[list[float]]]) -> float:
    """Of all lines of all structures [1/cm]."""
    every = np.array([row for own in rows.values() for row in own])
    return float(np.sqrt(np.mean((every[:, 1] - every[:, 0]) ** 2)))


def force_errors(model: str | Potential, case: str) -> dict[str, float]:
    """Mean absolute errors of forces elsewhere, against DFT [meV/Å]: by kind of molecule, or by element."""
    calc, result = PhonaxCalculator(model), {}
    for kind, frames in elsewhere(case).items():
        errors = [np.abs(calc.get_forces(atoms) - forces).mean() for atoms, forces in frames]
        result[kind] = 1000 * float(np.mean(errors))
    return result


def elsewhere(case: str) -> dict[str, list[tuple[Atoms, np.ndarray]]]:
    """Structures with forces by DFT that no spectrum is of: small molecules by PBE/def2-SVP, elements by PBE."""
    if case in ("simulated", "measured"):
        with np.load(BREADTH) as stored:
            names = sorted(name.split("/")[0] for name in stored if name.endswith("/forces"))
            frames = [(Atoms(stored[f"{k}/numbers"], stored[f"{k}/positions"]), stored[f"{k}/forces"]) for k in names]
        return {"molecules": frames[:MOST_MOLECULES]}
    return {element: list(dft_forces(element)) for element in ("Si", "Ge")}


def dft_forces(element: str) -> Iterator[tuple[Atoms, np.ndarray]]:
    """Test structures of the mlearn sets and their forces (PBE): molecular dynamics, strained and defective cells."""
    with lzma.open(data() / f"elements/{element}_test.json.xz") as file:
        for entry in json.load(file):
            sites = entry["structure"]["sites"]
            positions = [site["xyz"] for site in sites]
            cell = entry["structure"]["lattice"]["matrix"]
            yield Atoms([element] * len(sites), positions, cell=cell, pbc=True), np.array(entry["outputs"]["forces"])


CASES: dict[str, Callable[[], tuple[str, Lists, dict[str, Lists]]]] = {
    "simulated": simulated,
    "measured": fundamentals,
    "silicon": silicon,
    "copper": copper,
}


def run(case: str) -> None:
    """All seeds of a case; models that are in runs/ already are measured, the others trained first."""
    model, learned, others = CASES[case]()
    before, parts = PhonaxCalculator(model), {"learned": learned, **others}
    found = {part: on_modes(lists, before) for part, lists in parts.items()}

    def measured(potential: str | Potential) -> dict:
        calc = PhonaxCalculator(potential)
        rows = {part: rows_of(found[part], lists, calc) for part, lists in parts.items()}
        return {**rows, "forces_meV_A": force_errors(potential, case)}

    result = {"model": Path(model).name, "before": measured(model), "seeds": {}}
    for seed in SEEDS[case]:
        folder = Path(f"runs/spectra-{case}-{seed}")
        if not (folder / "model.h5").exists():
            settings = SETTINGS.get(case, {}) | {"run": {"seed": seed, "output": str(folder)}}
            resume = (folder / "checkpoint.h5").exists()
            lists = list(learned.values())
            fine_tune_to_spectra(model, lists, settings, replay=replay(case), resume=resume, report=print)
        result["seeds"][str(seed)] = measured(str(folder / "model.h5"))
        RESULTS.mkdir(exist_ok=True)
        part = RESULTS / f"{case}.part"
        part.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        part.replace(RESULTS / f"{case}.json")
        say(result)


def replay(case: str) -> list[Atoms] | None:
    """What is to stay: small molecules by default, for crystals a few of other kinds."""
    if case in ("simulated", "measured"):
        return None
    zincblende = [bulk(*names, a=a) for *names, a in (("GaAs", "zincblende", 5.75), ("ZnS", "zincblende", 5.45))]
    salts = [bulk("MgO", "rocksalt", a=4.25), bulk("NaCl", "rocksalt", a=5.69), bulk("LiF", "rocksalt", a=4.08)]
    elements = [bulk(symbol) for symbol in ("Al", "Ag", "Ge") + (("Si",) if case == "copper" else ("Cu",))]
    return [*zincblende, *salts, *elements]


def say(result: dict) -> None:
    """Root mean square differences before and after."""
    for name, before in result["before"].items():
        after = [own[name] for own in result["seeds"].values()]
        if name == "forces_meV_A":
            words = {kind: (round(x, 1), [round(own[kind], 1) for own in after]) for kind, x in before.items()}
            print(f"forces elsewhere [meV/Å]: {words}", flush=True)
        else:
            for structures in (*([structure] for structure in before), [*before]):
                label = structures[0] if len(structures) == 1 else f"all {name}"
                here = {s: before[s] for s in structures}
                now = [rms({s: own[s] for s in structures}) for own in after]
                print(f"{label:24s} {rms(here):7.1f} -> {', '.join(f'{x:.1f}' for x in now)} cm⁻¹", flush=True)


def quick() -> None:
    """One epoch on water, to see that it runs."""
    lines = LineList("water", (Line(3657, species="A1"), Line(1595, species="A1"), Line(3756, species="B2")))
    settings = {"optimiser": {"epochs": 1}, "run": {"output": "quick"}}
    tuned = fine_tune_to_spectra(
        MOLECULES, [(lines, molecule("H2O"))], settings, replay=[molecule("CH4")], overwrite=True
    )
    print(f"water: {tuned.rms('before'):.1f} -> {tuned.rms('after'):.1f} cm⁻¹")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; default: all")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; cases are {', '.join(CASES)}")
    if options.quick:
        return quick()
    for case in options.cases or CASES:
        run(case)
    return None


if __name__ == "__main__":
    main()
