"""Twenty structures of every kind through one command without options: docs/gallery.md and its pictures.

    PHONAX_DATA=... python benchmarks/gallery.py              all that is not there yet, then the page
    PHONAX_DATA=... python benchmarks/gallery.py --only Na-conventional Ga2O3-beta
    python benchmarks/gallery.py --page                       the page from what is there

Each file of examples/structures/ goes through `ase-phonax phonons FILE --model nequix-mp-1-pft.nqx` in
runs/gallery/, where results stay; to compute one again, delete its folder there. What the command printed
lies beside them as NAME.txt.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from matplotlib import image
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
STRUCTURES = ROOT / "examples/structures"
RUNS = ROOT / "runs/gallery"
PAGE = ROOT / "docs/gallery.md"
PICTURES = ROOT / "docs/images/gallery"
WIDTH = 900  # pixels of a picture; the command draws 2100
BEGIN, END = "<!-- written by benchmarks/gallery.py: begin -->", "<!-- written: end -->"

# file -> what it is, and why it is here
GALLERY = {
    "Si-conventional.cif": "silicon: a conventional cell",
    "Na-conventional.poscar": "sodium: a metal, body-centred conventional cell",
    "Al-odd-vectors.poscar": "aluminium: a metal in an odd choice of primitive vectors",
    "MgO-left-handed.poscar": "magnesia: left-handed vectors, polar",
    "NaCl-turned-supercell.extxyz": "rock salt: two conventional cells, turned in space, polar",
    "CaTiO3-cubic.poscar": "cubic perovskite: unstable",
    "GaN-wurtzite.cif": "gallium nitride: hexagonal, polar axis",
    "SiO2-quartz.cif": "α-quartz: trigonal, chiral",
    "Al2O3-corundum.cif": "corundum: rhombohedral in the hexagonal setting",
    "TiO2-rutile.cif": "rutile: tetragonal",
    "TiO2-anatase.cif": "anatase: body-centred tetragonal",
    "BaTiO3-Amm2.cif": "orthorhombic BaTiO₃: base-centred, a lattice where phonopy's automatic path is wrong",
    "P-black.cif": "black phosphorus: base-centred orthorhombic, layers",
    "Ga2O3-beta.cif": "β-Ga₂O₃: C2/m, a lattice where phonopy's automatic path is wrong",
    "ZrO2-baddeleyite.cif": "baddeleyite: monoclinic",
    "FeSi4P4-triclinic.extxyz": "FeSi₄P₄: triclinic, no symmetry at all",
    "CO2-molecular.cif": "dry ice: a molecular crystal",
    "MoS2-layer.poscar": "MoS₂: one layer in a cell with vacuum",
    "C-graphene.extxyz": "graphene: periodic in two directions (pbc T T F)",
    "MgO-slab.poscar": "MgO(001): a slab of four layers in a cell with vacuum",
}


def compute(names: list[str], model: Path) -> None:
    """Run the command for each structure that has no results yet; a failure is shown and the next one taken."""
    RUNS.mkdir(parents=True, exist_ok=True)
    for name in names:
        stem = Path(name).stem
        if (RUNS / f"{stem}-phonons/summary.json").exists():
            continue
        start = time.perf_counter()
        command = [sys.executable, "-m", "ase_phonax", "phonons", str(STRUCTURES / name), "--model", str(model)]
        done = subprocess.run(command, cwd=RUNS, capture_output=True, text=True)
        (RUNS / f"{stem}.txt").write_text(done.stdout + done.stderr)
        print(f"{name}: exit code {done.returncode}, {time.perf_counter() - start:.0f} s", flush=True)
        if done.returncode:
            print(done.stderr, flush=True)


def page() -> str:
    """The table and the pictures, from every result that is there."""
    rows, pictures = [], []
    for name, words in GALLERY.items():
        stem = Path(name).stem
        folder = RUNS / f"{stem}-phonons"
        if not (folder / "summary.json").exists():
            continue
        found = json.loads((folder / "summary.json").read_text())
        rows.append(row(name, words, found))
        shrink(folder / "bands.png", PICTURES / f"{stem}.png")
        pictures.append(f"### {words}\n\n![{words}: bands and densities of states](images/gallery/{stem}.png)\n")
    head = ["structure", "space group", "atoms given, primitive", "supercell, atoms", "interpolation error, THz"]
    head += ["lowest, highest, THz", "stable", "charges", "path", "volume, %", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows]
    return "\n".join(lines) + "\n\n" + "\n".join(pictures)


def stability(found: dict) -> str:
    """Yes, no, or yes because exact D(q) says so."""
    if found["imaginary_modes"]:
        return "imaginary modes"
    if found.get("interpolation_has_imaginary_modes"):
        exact = found["exact_minimum_thz"]
        return f"yes: only interpolation is below zero, the lowest exact frequency found is {exact:.2f}"
    return "yes"


def row(name: str, words: str, found: dict) -> str:
    """One line of the table from a summary.json."""
    matrix = found["supercell_matrix"]
    diagonal = all(matrix[i][j] == 0 for i in range(3) for j in range(3) if i != j)
    cells = "×".join(str(matrix[i][i]) for i in range(3)) if diagonal else str(matrix).replace(" ", "")
    cells += f", {found['n_atoms_supercell']}"
    if found["supercell_reached_tolerance"] is False:
        cells += ", at the cap"
    entries = [
        f"[{words.partition(':')[0]}](../examples/structures/{name})",
        f"{found['space_group']} ({found['space_group_number']})",
        f"{found['n_atoms_given']}, {found['n_atoms_primitive']}",
        cells,
        f"{found['checks']['interpolation_error_thz']:.2g}" + (", bands exact" if found["bands_exact"] else ""),
        f"{found['min_frequency_thz'] + 0.0:.2f}, {found['max_frequency_thz']:.2f}",
        stability(found),
        found["charges_from"] or f"none: {found['charges_because'].partition(':')[0]}",
        found["band_path"].replace("|", "\\|"),
        f"{100 * found['volume_change']:+.1f}",
        f"{found['timings_s']['total']:.0f}",
    ]
    return "| " + " | ".join(entries) + " |"


def shrink(source: Path, target: Path) -> None:
    """A smaller copy of a picture, in few colours' worth of bytes."""
    pixels = image.imread(source)
    height, width = pixels.shape[:2]
    figure = Figure(figsize=(WIDTH / 100, WIDTH / 100 * height / width), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(pixels, interpolation="antialiased", aspect="auto")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these structures, by name without the suffix")
    parser.add_argument("--page", action="store_true", help="compute nothing")
    options = parser.parse_args()
    if not options.page:
        model = Path(os.environ["PHONAX_DATA"]) / "weights/nequix-mp-1-pft.nqx"
        compute([name for name in GALLERY if options.only is None or Path(name).stem in options.only], model)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{page()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
