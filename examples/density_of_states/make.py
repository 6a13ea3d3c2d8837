"""Makes a network that predicts densities of states from the structure, and measures it. See README.md.

    PHONAX_DATA=... python examples/density_of_states/make.py [train] [measure] [figures] [card]
    python examples/density_of_states/make.py --quick              two epochs on a few crystals, to see that it runs

Data: 1521 crystals by PBEsol DFPT (G. Petretto et al., Scientific Data 5, 180065 (2018)) with the split into parts of
Z. Chen et al., Adv. Sci. 8, 2004214 (2021), in PHONAX_DATA/data/phonon_dos. Settings are chosen by the part to validate
(`--choose`); the test part is looked at when a model is finished.

What a potential says of crystals lies in data/teacher.npz. `label` asks it for partial densities of those to learn
from, by exact D(q) on a mesh; `more` makes crystals that nobody published of them, and labels these as well (`--seed`
draws others; a second an hour or two, each is kept, so that it goes on); `pack` puts both into that file.
"""

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

STEPS = ("train", "measure", "figures", "card")
LABELLING = ("label", "more", "pack")
MODELS = HERE.parents[1] / "models"
NAME = "phonax-dos"
MEMBERS = 3
MORE = 4000  # crystals that nobody published
MORE_LENGTH = 15.0  # Å, of the mesh for these
SMALL = {"hidden_irreps": "4x0e + 4x1o + 4x1e + 2x2e", "radial_sizes": [8], "embedding": 8}  # of --quick


def label(options: argparse.Namespace) -> None:
    """Partial densities by a potential, of each published crystal to learn from or to validate, and of binaries."""
    import data
    import numpy as np

    from ase_phonax import PhonaxCalculator, exact_density

    folder = options.output / "teacher"
    folder.mkdir(parents=True, exist_ok=True)
    calc = PhonaxCalculator(options.teacher, dtype="float32")
    there = data.taught(options)
    wanted = {str(k): atoms for part, k, atoms, _ in data.crystals(options.quick) if part != "test"}
    wanted |= data.binaries(options.quick)
    for name, atoms in wanted.items():
        path = folder / f"{name}.npz"
        if name in there or path.exists() or not set(atoms.numbers) <= set(calc.potential.numbers):
            continue
        density = exact_density(atoms, calc)
        save(path, shares=data.shares_of(density).astype(np.float32), **unstable(name, density.imaginary))


def more(options: argparse.Namespace) -> None:
    """Crystals made of those to learn from, relaxed by the teacher, and what it says of them: MORE, or till stopped."""
    import data
    import numpy as np
    from substituted import formula, relaxed, substituted

    from ase_phonax import PhonaxCalculator, exact_density

    folder = options.output / "more"
    folder.mkdir(parents=True, exist_ok=True)
    calc = PhonaxCalculator(options.teacher, dtype="float32")
    published = data.crystals(options.quick)
    kept = {formula(atoms) for _, _, atoms, _ in published}
    learned = [atoms for part, _, atoms, _ in published if part == "train"]
    rng = np.random.default_rng(options.seed)
    for k, atoms in enumerate(substituted(learned, kept, set(calc.potential.numbers), options.most_atoms, rng)):
        path = folder / f"{options.seed}-{k}.npz"
        if k == (3 if options.quick else MORE):
            break
        if path.exists():
            continue
        own: dict = {}
        if (rest := relaxed(atoms, calc)) is not None:
            density = exact_density(rest, calc, mesh_length=MORE_LENGTH)
            own = {"numbers": rest.numbers, "positions": rest.positions, "cell": rest.cell.array}
            own |= {"unstable": density.imaginary, "shares": data.shares_of(density).astype(np.float32)}
        save(path, **own)


def unstable(name: str, imaginary: float) -> dict:
    """What is noted of crystals that nobody has shown to be stable: the published ones are."""
    return {} if name.isdigit() else {"unstable": imaginary}


def save(path: Path, **arrays) -> None:
    """Whole or not at all."""
    import numpy as np

    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(path)


def pack(options: argparse.Namespace) -> None:
    """What the teacher has said into data/teacher.npz."""
    import data

    data.pack(options)


def member(options: argparse.Namespace, k: int) -> Path:
    """Folder of a run."""
    return options.output / f"{'chosen' if options.choose else 'member'}-{k + 1}"


def train(options: argparse.Namespace) -> None:
    """Each member, from nothing."""
    import data

    from ase_phonax import train as run
    from ase_phonax.base.settings import read_yaml

    for k in range(options.members):
        folder = member(options, k)
        if (folder / "model.h5").exists():
            continue
        settings = read_yaml(options.settings)
        settings["run"] |= {"output": str(folder), "devices": "all", "seed": k}
        settings["data"] = {"valid": 0}
        if options.quick:
            settings["network"] |= SMALL
            settings["optimiser"]["epochs"] = 2
            settings["loss"]["partial_densities"] = 0.0
        parts = ("train",) if options.choose else ("train", "valid")
        learned = data.frames(options, parts, seed=None if options.plain else k)
        valid = data.frames(options, ("valid",)) if options.choose else []
        resume = (folder / "checkpoint.h5").exists()
        run(settings, frames=(learned, valid), resume=resume, report=show)


def show(row: dict) -> None:
    """One line an epoch."""
    names = ("density_of_states_mae", "partial_densities_mae")
    shown = [f"epoch {row['epoch']:3d}", *(f"{name} {row[name]:.4f}" for name in ("loss", *names) if name in row)]
    print("  ".join([*shown, f"{row.get('seconds', 0):.0f} s"]), flush=True)


def measure(options: argparse.Namespace) -> None:
    """Errors on the test part, or on that to validate with --choose."""
    import measure as of_all

    of_all.run(options, [member(options, k) / "model.h5" for k in range(options.members)])


def figures(options: argparse.Namespace) -> None:
    """What `measure` has found, drawn."""
    import figures as drawn

    drawn.run(options, [member(options, k) / "model.h5" for k in range(options.members)])


def card(options: argparse.Namespace) -> None:
    """The networks and what is known of them, where named models lie; quick ones stay in the output folder."""
    from ase.data import chemical_symbols

    from ase_phonax import load_model
    from ase_phonax.base.units import CM1_PER_THZ
    from ase_phonax.models.committee import save_committee

    measured = json.loads((options.output / "measured_test.json").read_text())
    del measured["rows"]
    members = [load_model(member(options, k) / "model.h5") for k in range(options.members)]
    known = {
        "name": NAME,
        "elements": [chemical_symbols[z] for z in members[0].numbers],
        "level_of_theory": "imitates PBEsol DFPT (ABINIT)",
        "n_parameters": members[0].n_parameters,
        "n_members": len(members),
        "training_set": "densities of states of 1332 crystals by DFPT, and partial densities of these and of crystals"
        " made of them by nequix-mp-1-pft",
        "licence": "MIT",
        "citation": "its labels: G. Petretto, S. Dwaraknath, H. P. C. Miranda, D. Winston et al., Scientific Data 5,"
        " 180065 (2018); the split: Z. Chen et al., Adv. Sci. 8, 2004214 (2021); its teacher: T. Koker et al.,"
        " arXiv:2601.07742",
        "purpose": "densities",
        "summary": "densities of states of crystals from their structure, total and by atom; no energies",
        "errors": f"on {measured['crystals']} crystals it never saw: {100 * measured['misplaced']:.0f} % of the modes"
        f" at other frequencies ({measured['mae']:.3f} of the highest peak); heat capacity at 300 K"
        f" {measured['heat_capacity_300K_mae']:.2f} J/K/mol, mean frequency"
        f" {measured['mean_frequency_cm1_mae'] / CM1_PER_THZ:.2f} THz",
        "how_to_make_it_again": "PHONAX_DATA=... python examples/density_of_states/make.py",
        "measured": measured,
    }
    size = save_committee(members, known, options.output if options.quick else MODELS)
    print(f"{NAME}: {len(members)} networks of {members[0].n_parameters:,} parameters, {size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join((*STEPS, *LABELLING))}; default: {STEPS}")
    parser.add_argument("--quick", action="store_true", help="two epochs on a few crystals")
    parser.add_argument("--choose", action="store_true", help="validate, and leave the test part alone")
    parser.add_argument("--settings", type=Path, default=HERE / "train.yaml", help="default: train.yaml")
    parser.add_argument("--plain", action="store_true", help="learn from DFT alone, each crystal as it is")
    parser.add_argument("--members", type=int, default=MEMBERS, help="networks; default: %(default)s")
    parser.add_argument("--teacher", default="nequix-mp-1-pft", help="default: %(default)s")
    parser.add_argument("--potentials", nargs="*", default=["nequix-mp-1-pft", "nequix-mp-1"], help="to compare with")
    parser.add_argument("--output", type=Path, default=Path("runs/dos"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the crystals that are made; default: 0")
    parser.add_argument("--most-atoms", type=int, default=8, help="of these crystals; default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="devices to train on; default: all cores")
    options = parser.parse_args()
    if options.quick:
        options.teacher, options.potentials, options.members = "phonax-small", ["phonax-small"], 2
    if unknown := set(options.steps) - {*STEPS, *LABELLING}:
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join((*STEPS, *LABELLING))}")
    # JAX takes a processor for one device unless told; set before it is imported.
    count = f"--xla_force_host_platform_device_count={options.workers}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {count}".strip()
    options.output.mkdir(parents=True, exist_ok=True)
    for step in options.steps or STEPS:
        globals()[step](options)


if __name__ == "__main__":
    main()
