"""Thermal conductivity of 52 binaries against PBE's of phononDB, mode by mode.

    PHONAX_DATA=... python benchmarks/conductivity_phonondb.py [--models nequix-mp-1-pft] [--names LiF MgO]
        [--displacements]
    ... --table    of what is kept, for docs/conductivity.md

The protocol is that of the k_SRME benchmark (Póta, Ahlawat, Csányi, Simoncelli, arXiv:2408.00755): structures are
relaxed by the model with their symmetry kept, supercells and the mesh of 19³ are the data's, transport is Wigner's
(phono3py's smm19) with isotopes and without the correction for dipoles. With K the conductivity, and the average over
directions meant,

    SRE = 2 |K - K_PBE| / (K + K_PBE),    SRME = 2 sum_modes |K_mode - K_mode,PBE| / (K + K_PBE) / sum of weights,

and SRME 2 for what fails: unstable crystals, symmetry that is lost. The constants here are exact ones; with
`--displacements` those of phono3py's displacements by 0.03 Å with the same model as well. Every crystal is kept as it
is finished, so that a second start goes on; phono3py's own solution takes minutes for each.
"""

import argparse
import gzip
import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.io import read

from ase_phonax import PhonaxCalculator, get_phono3py, get_thermal_conductivity, relax
from ase_phonax.base.errors import PhonaxError, UnstableWarning

TEMPERATURE = 300.0  # [K]
DISPLACEMENT = 0.03  # [Å]
UNSTABLE = -0.05  # [THz] below this a frequency is imaginary
BOUNDARY = 1e6  # [µm]
WORST = 2.0
KEPT = Path(__file__).with_name("conductivity_phonondb.json")


def structures() -> list[Atoms]:
    """The 52 crystals; supercells and mesh are in `info`."""
    return read(_data("phonondb_pbe_structures.extxyz"), ":")


def references() -> dict[str, dict]:
    """PBE's conductivities by number of the Materials Project."""
    with gzip.open(_data("kappa_phonondb_nonac_52.json.gz"), "rt") as file:
        return json.load(file)


def _data(name: str) -> Path:
    if "PHONAX_DATA" not in os.environ:
        sys.exit(f"PHONAX_DATA is not set: it is the folder that has data/{name}")
    return Path(os.environ["PHONAX_DATA"]) / "data" / name


def displaced(phono3py, calc: PhonaxCalculator) -> None:
    """Constants of third order by phono3py's displacements in place of the exact ones."""
    phono3py.generate_displacements(distance=DISPLACEMENT)
    forces = []
    for cell in phono3py.supercells_with_displacements:
        forces.append(calc.get_forces(Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)))
    phono3py.forces = np.array(forces)
    phono3py.produce_fc3(is_compact_fc=True)


def solve(phono3py, mesh) -> tuple[float, np.ndarray, np.ndarray]:
    """Total conductivity, that of modes (q, bands), averaged over directions, and frequencies; at TEMPERATURE."""
    found = get_thermal_conductivity(phono3py, mesh, [TEMPERATURE], method="wigner", boundary_um=BOUNDARY)
    modes = np.trace(found.modes[0], axis1=2, axis2=3) / 3
    return np.trace(found.kappa[0]) / 3, modes, found.frequencies


def compared(total: float, modes: np.ndarray, reference: dict) -> dict[str, float]:
    """Conductivity and its errors."""
    expected = reference["kappa_TOT_ave"][0]
    both = total + expected
    difference = np.abs(modes - np.array(reference["mode_kappa_TOT_ave"][0])).sum() / np.sum(reference["weights"])
    return {
        "kappa_W_mK": float(total),
        "sre": float(2 * abs(total - expected) / both),
        "srme": float(2 * difference / both),
    }


def conductivity(atoms: Atoms, calc: PhonaxCalculator, reference: dict, by_displacements: bool) -> dict:
    """What one crystal gives, or why it gives nothing."""
    info = atoms.info
    try:
        start = time.perf_counter()
        relaxed, _ = relax(atoms, calc)
        matrices = info["fc3_supercell"], info["fc2_supercell"]
        phono3py = get_phono3py(relaxed, calc, *matrices, primitive_matrix=info.get("primitive_matrix", "P"))
        constants = time.perf_counter() - start
        if by_displacements:
            displaced(phono3py, calc)
        total, modes, frequencies = solve(phono3py, info["q_mesh"])
    except PhonaxError as error:
        return {"srme": WORST, "failed": error.what}
    if frequencies.min() < UNSTABLE or modes.shape != np.shape(reference["mode_kappa_TOT_ave"][0]):
        return {"srme": WORST, "failed": f"the lowest frequency is {frequencies.min():.2f} THz"}
    seconds = {"constants_s": round(constants, 1), "all_s": round(time.perf_counter() - start, 1)}
    return compared(total, modes, reference) | seconds


def _of(entry: dict | None, route: str) -> str:
    """A conductivity and its error, or why there is none."""
    found = (entry or {}).get(route)
    if found is None:
        return ""
    return f"{found['kappa_W_mK']:.1f} ({found['srme']:.3f})" if "kappa_W_mK" in found else f"failed ({WORST:g})"


def table(done: dict) -> str:
    """Markdown: conductivities of all models, with κ_SRME in brackets, and their means."""
    models = list(done)
    displaced_by = next(model for model in models if any("displacements" in own for own in done[model].values()))
    lines = [f"| crystal | group | PBE | {' | '.join(models)} | by displacements |", "|---" * (len(models) + 4) + "|"]
    for atoms in structures():
        info = atoms.info
        own = [done[model].get(info["mp_id"]) for model in models]
        cells = [_of(entry, "exact") for entry in own] + [_of(done[displaced_by].get(info["mp_id"]), "displacements")]
        pbe = next((entry["pbe_W_mK"] for entry in own if entry), np.nan)
        lines.append(f"| {info['name']} | {info['symm.no']} | {pbe:.1f} | {' | '.join(cells)} |")
    for model in models:
        found = [entry["exact"] for entry in done[model].values() if "exact" in entry]
        failed = sum("failed" in entry for entry in found)
        srme, sre = (np.mean([entry.get(key, WORST) for entry in found]) for key in ("srme", "sre"))
        lines.append(f"\n{model}: κ_SRME {srme:.3f}, SRE {sre:.3f} of {len(found)} crystals, {failed} failed")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nequix-mp-1-pft", "nequix-mp-1", "phonax-small"])
    parser.add_argument("--names", nargs="+", help="formulas or numbers; all crystals unless given")
    parser.add_argument("--displacements", action="store_true", help="by displacements as well")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(KEPT.read_text())))
        return
    warnings.simplefilter("ignore", UnstableWarning)  # of cells that are not primitive
    warnings.simplefilter("ignore", UserWarning)
    done = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    known = references()
    for model in options.models:
        calc = PhonaxCalculator(model)
        own = done.setdefault(Path(model).stem, {})
        for atoms in structures():
            name, number = atoms.info["name"], atoms.info["mp_id"]
            if (options.names and not {name, number} & set(options.names)) or set(atoms.numbers) - set(
                calc.potential.numbers
            ):
                continue
            for route in ("exact", "displacements") if options.displacements else ("exact",):
                entry = own.setdefault(number, {"name": name, "pbe_W_mK": known[number]["kappa_TOT_ave"][0]})
                if route not in entry:
                    entry[route] = conductivity(atoms, calc, known[number], route == "displacements")
                    KEPT.with_suffix(".part").write_text(json.dumps(done, indent=1) + "\n")
                    KEPT.with_suffix(".part").replace(KEPT)
                    print(model, name, number, route, entry[route], flush=True)
        for route in ("exact", "displacements"):
            found = [entry[route] for entry in own.values() if route in entry]
            if found:
                srme, sre = np.mean([x["srme"] for x in found]), np.mean([x.get("sre", WORST) for x in found])
                print(f"{model}, {route}: κ_SRME {srme:.3f}, SRE {sre:.3f} of {len(found)} crystals")


if __name__ == "__main__":
    main()
