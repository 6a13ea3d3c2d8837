"""Bulk and shear moduli of binary crystals against PBE's of the Materials Project.

    PHONAX_DATA=... python benchmarks/elastic_moduli.py [--models phonax-small nequix-mp-1-pft] [--crystals 200]

The published set holds mistakes, and crystals that PBE itself does not hold in place: medians are what counts. Crystals
are drawn by a fixed seed among those whose moduli are positive; each is relaxed by the model. Every crystal is kept as
it is finished, so that a second start goes on.
"""

import argparse
import gzip
import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms

from ase_phonax import PhonaxCalculator, elastic_constants, relax
from ase_phonax.base.errors import PhonaxError, UnstableWarning

SEED = 0
MOST_ATOMS = 12


def crystals(n: int) -> list[tuple[str, Atoms, float, float]]:
    """Number, structure, K and G [GPa] of crystals drawn at random."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/elastic_moduli_pbe.json.gz")
    with gzip.open(Path(os.environ["PHONAX_DATA"]) / "data/elastic_moduli_pbe.json.gz", "rt") as file:
        rows = json.load(file)
    rows = [row for row in rows if min(row["bulk_modulus_vrh"], row["shear_modulus_vrh"]) > 0]
    rows = [row for row in rows if len(row["symbols"]) <= MOST_ATOMS]
    chosen = np.random.default_rng(SEED).permutation(len(rows))[:n]
    return [
        (
            row["mp_id"],
            Atoms(row["symbols"], scaled_positions=row["scaled_positions"], cell=row["cell"], pbc=True),
            row["bulk_modulus_vrh"],
            row["shear_modulus_vrh"],
        )
        for row in (rows[k] for k in chosen)
    ]


def moduli(atoms: Atoms, calc: PhonaxCalculator) -> list[float] | str:
    """K and G of Hill [GPa], or why there are none."""
    try:
        found = elastic_constants(relax(atoms, calc)[0], calc)
        return [found.hill.bulk, found.hill.shear]
    except PhonaxError as error:
        return error.what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["phonax-small", "nequix-mp-1-pft", "nequix-mp-1"])
    parser.add_argument("--crystals", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("runs/elastic_moduli"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)  # of volumes and symmetries that change
    options.output.mkdir(parents=True, exist_ok=True)
    for model in options.models:
        calc = PhonaxCalculator(model)
        path = options.output / f"{Path(model).stem}.json"
        done = json.loads(path.read_text()) if path.exists() else {}
        known = [own for own in crystals(options.crystals) if set(own[1].numbers) <= set(calc.potential.numbers)]
        for name, atoms, _, _ in known:
            if name not in done:
                done[name] = moduli(atoms, calc)
                path.with_suffix(".part").write_text(json.dumps(done, indent=0))
                path.with_suffix(".part").replace(path)
        pairs = [(done[name], (k, g)) for name, _, k, g in known if not isinstance(done[name], str)]
        found, published = (np.array(own) for own in zip(*pairs, strict=True))
        errors = np.abs(found / published - 1)
        medians = " and ".join(f"{100 * x:.1f} %" for x in np.median(errors, axis=0))
        signed = " and ".join(f"{100 * x:+.1f} %" for x in np.median(found / published - 1, axis=0))
        print(
            f"{Path(model).stem}: {len(pairs)} of {len(known)} crystals; K and G off by {medians} (medians; {signed})"
        )


if __name__ == "__main__":
    main()
