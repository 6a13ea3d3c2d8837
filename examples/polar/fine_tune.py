"""Force constants of NaCl and anatase by DFT, learned with and without the interaction of dipoles in them.

    PHONAX_DATA=... python examples/polar/fine_tune.py [--model MODEL] [--epochs N]

The matrices D(q) of DFT's supercells contain dipoles at every distance, which no potential of finite range can have.
Taken off (`without_dipoles`), they are short-ranged; the model that learned them is used with the same charges and the
same L. For comparison the same training on matrices as DFT gives them. Judged on two lines from Gamma, at wave vectors
of which the supercells have one in ten at most, against DFT with Gonze and Lee's method.
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from bands import LINES, STEPS, along, reference

from ase_phonax import PhonaxCalculator, PolarCalculator, fine_tune, load_model, read_frames, without_dipoles
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.polar import width_of

CRYSTALS = ("NaCl", "TiO2-anatase")


def measured(model, width: float) -> dict[tuple[str, bool], tuple[float, float]]:
    """(Crystal, with dipoles) -> mean errors of the highest branch and of the others [THz]."""
    calc, found = PhonaxCalculator(model), {}
    for name in CRYSTALS:
        dft = reference(name)
        cell, nac = dft.primitive, dft.nac_params
        atoms = Atoms(cell.symbols, cell.positions, cell=cell.cell, masses=cell.masses, pbc=True)
        born = {key: np.array(nac[key]) for key in ("born", "dielectric")}
        polar = PolarCalculator(calc, atoms, born, width)
        qpoints = along(LINES[name], STEPS)
        theirs = dft.run_qpoints(qpoints).frequencies
        for own in (calc, polar):
            off = np.abs(frequencies_thz(own.get_dynamical_matrix(atoms, qpoints)) - theirs)
            found[name, own is polar] = float(off[:, -1].mean()), float(off[:, :-1].mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phonax-small", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("runs/polar_fine_tuned"), help="default: %(default)s")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    base = load_model(options.model)
    width = width_of(base)
    assert width is not None, f"the reach of {base.name} was not measured: widths.py does it"
    whole, short = [], []
    for name in CRYSTALS:
        folder = Path(os.environ["PHONAX_DATA"]) / "data/phonopy" / name
        frame = next(f for f in read_frames(folder / "phonopy_disp.yaml") if f.second is not None)
        dft = reference(name)
        born = {key: np.array(dft.nac_params[key]) for key in ("born", "dielectric")}
        whole.append(frame)
        short.append(without_dipoles(frame, born, width))
    models = {"before": base}
    for name, frames in (("learned without dipoles", short), ("learned with them", whole)):
        settings = {
            "data": {"valid": 0},
            "loss": {"curvature": 1.0, "energy": 0.0, "forces": 0.0, "stress": 0.0},
            "optimiser": {"epochs": options.epochs, "batch_size": 2, "learning_rate": options.learning_rate},
            "run": {"output": str(options.output / name.replace(" ", "_")), "dipole_width": width, "keep": "last"},
        }
        result = fine_tune(base, settings, frames=(frames, []), overwrite=True)
        print(f"{name}: loss {result.history[0]['loss']:.4f} to {result.history[-1]['loss']:.5f}", flush=True)
        models[name] = result.potential
    print(f"\n{'':24s} {'used':16s}" + "".join(f"{name + ': highest, others':>34s}" for name in CRYSTALS))
    for words, model in models.items():
        errors = measured(model, width)
        for dipoles in (False, True):
            row = "".join(f"{errors[name, dipoles][0]:26.3f}{errors[name, dipoles][1]:8.3f}" for name in CRYSTALS)
            print(f"{words:24s} {'with dipoles' if dipoles else 'without':16s}{row}")


if __name__ == "__main__":
    main()
