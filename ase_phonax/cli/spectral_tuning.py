"""`ase-phonax fine-tune MODEL --spectrum FILE`: a model corrected by spectra."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import training_runs

if TYPE_CHECKING:
    from ..training.spectral_tuning import SpectralResult

MOST_LINES = 60  # that are printed; lines.csv has all
TEMPLATE = """\
# fine-tune MODEL --spectrum LINES.yaml needs no configuration; these are its defaults.
loss:
  energy: 1.0           # of the replay: what the model says of other structures is kept
  forces: 10.0
  curvature: 20.0
  spectrum: 1.0         # of the lines, in units of scales.spectrum [THz]
  scales: {spectrum: 0.6, forces: 1.0}
optimiser:
  epochs: 8
  learning_rate: 1e-3
run:
  output: training      # model.h5, lines.csv, lines.png, history.csv, history.png, checkpoint.h5

# LINES.yaml:
#   structure: benzene.xyz     # relaxed by the model first; relax: false takes it as measured
#   unit: cm-1                 # or THz, meV
#   uncertainty: 5             # of lines that state none; lines weigh by its inverse square
#   assign: species            # or transport: lines that name nothing go to the nearest modes that are left
#   lines:
#   - {at: 3073.9, species: A1g}
#   - {at: 992, species: A1g, uncertainty: 2}
#   - {at: 673, mode: 5, intensity: 88}        # km/mol, of models with a dipole; modes are counted from 1
#   - {at: 4.49, q: [0.5, 0.0, 0.5], mode: 1}  # of a crystal, q in the cell of the structure
"""


def run(arguments: argparse.Namespace) -> int:
    """Train on, print each line before and after, and how far the rest has drifted."""
    results: list[SpectralResult] = []

    def start(config: Any, **options: Any) -> Any:
        from ..training.line_files import write_lines
        from ..training.spectral_tuning import fine_tune_to_spectra

        found = fine_tune_to_spectra(arguments.model, arguments.spectrum, config, replay=_replay(arguments), **options)
        write_lines(found, Path(found.training.folder))
        results.append(found)
        return found.training

    return training_runs.run(arguments, start, TEMPLATE, read=_settings, say=lambda: _say(results[0]))


def _settings(path: Path | None) -> Any:
    from ..training.spectral_tuning import settings_of

    return settings_of(path)


def _replay(arguments: argparse.Namespace) -> Any:
    from ..structures.files import read_structures

    if arguments.replay is None:
        return None
    return [atoms for path in arguments.replay for atoms in read_structures(str(path))]


def _say(result: SpectralResult) -> None:
    print(f"\n{'structure':12s} {'species':>8s} {'modes':>9s} {'line':>9s} {'before':>9s} {'after':>9s}  cm⁻¹")
    for row in result.lines[:MOST_LINES]:
        first, last = row.modes[0], row.modes[-1]
        modes = f"{first}" if first == last else f"{first}–{last}"
        numbers = "".join(f"{x:10.1f}" for x in (row.known, row.before, row.after))
        print(f"{row.structure:12s} {row.species:>8s} {modes:>9s}{numbers}")
    if len(result.lines) > MOST_LINES:
        print(f"... and {len(result.lines) - MOST_LINES} more in lines.csv")
    print(f"{len(result.lines)} lines: {result.rms('before'):.1f} cm⁻¹ RMS before, {result.rms('after'):.1f} after")
    learned, held = result.n_replayed
    if not learned:
        print("nothing else was learned beside: what the model says of other structures may be anything now (--replay)")
        return
    if not result.drift:
        print(f"beside them a replay of {learned} structure was learned; none was held out to see how far it drifts")
        return
    drift = result.drift
    print(
        f"drift on {held} structures held out from the replay of {learned + held}: energies "
        f"{1000 * drift['energy_mae']:.2f} meV/atom, forces {1000 * drift['forces_mae']:.1f} meV/Å "
        f"(their size {1000 * drift['forces_rms']:.0f})"
    )
