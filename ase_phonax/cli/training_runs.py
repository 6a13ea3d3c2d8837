"""What `train` and `fine-tune` share: options, the table of epochs, the closing lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import OutputError
from ..base.files import write_whole
from ..base.input_files import parse_json
from ..studies.notes import collected_warnings
from .arguments import add_options
from .options import QuietOptions
from .progress import print_above, progress_bar, without_progress
from .provenance import provenance
from .tables import width

if TYPE_CHECKING:
    from ..training import TrainingConfig, TrainingResult

    Checkpoint = tuple[int, int]  # inode and time of its file, which no other one has

_HEAD = """\
# Units: eV, Å. Paths are relative to this file. Whatever is left out has the default shown here.
data:
  train: [train.extxyz, phonopy_params.yaml]  # ASE formats, phonopy yaml (force constants), VibrationsData, HDF5
  valid: 0.1            # files, or the part of the training frames to hold out; 0 for none
"""
_NETWORK = """\
network:
  cutoff: 5.0
  hidden_irreps: 32x0e + 16x1o + 8x2e
  n_layers: 2
  l_max: 2
"""
_FINE_TUNE = """\
fine_tune:              # the network is the model's
  frozen: []            # parameters that keep their values, e.g. ["layer_0/*", "*/radial_*"]
  energies: keep        # or shift: move reference energies to the level of the labels first
"""
_REST = """\
loss:                   # residuals are divided by the size of their labels, so weights are comparable
  energy: 0.1
  forces: 1.0
  stress: 0.1
  curvature: 10.0       # products of second derivatives with random directions
optimiser:
  epochs: 100
  batch_size: 8
  learning_rate: auto   # 1e-2 from nothing, less from a model
  ema: 0.99
run:
  output: training      # model.h5, history.csv, history.png, checkpoint.h5
  precision: float32
  seed: 0
"""
TEMPLATE, FINE_TUNING_TEMPLATE = _HEAD + _NETWORK + _REST, _HEAD + _FINE_TUNE + _REST


def _columns() -> dict[str, tuple[str, float, int]]:
    """Heading, factor and digits of each column that a row may have."""
    from ..training.targets import QUANTITIES

    errors = {f"{shown.name}_mae": (shown.heading, shown.factor, shown.digits) for shown in QUANTITIES}
    loss = {"epoch": ("epoch", 1.0, 0), "loss": ("loss", 1.0, 5), "valid_loss": ("valid", 1.0, 5)}
    return loss | errors | {"learning_rate": ("rate", 1.0, 6), "seconds": ("s", 1.0, 1)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration, and options of how to start."""
    parser.add_argument("training", metavar="CONFIG.yaml", nargs="?", type=Path, help="settings; see --template")
    group = parser.add_argument_group("run")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--resume", action="store_true", help="go on from the last checkpoint, as if never stopped")
    either.add_argument("--overwrite", action="store_true", help="start anew where an earlier run lies")
    either.add_argument("--template", action="store_true", help="print a configuration to start from, and stop")
    add_options(parser, QuietOptions)


def run(
    arguments: argparse.Namespace,
    start: Callable[..., Any],
    template: str = TEMPLATE,
    *,
    read: Callable[[Path | None], TrainingConfig] | None = None,
    say: Callable[[], None] | None = None,
) -> int:
    """Train by `start(config, ...)`, print epochs as they come, and where the results are.

    Args:
        read: makes the configuration where one need not be given.
        say: prints what else came out.
    """
    if arguments.template:
        print(template, end="")
        return 0
    if arguments.training is None and read is None:
        print("error: no CONFIG.yaml; with --template one to start from is printed", file=sys.stderr)
        return 2
    from ..training import read_config

    config = read(arguments.training) if read else read_config(arguments.training)
    _keep_compiled()
    table, before = EpochTable(arguments.quiet), _checkpoint(config)
    try:
        with collected_warnings() as notes, without_progress(arguments.quiet), progress_bar("training") as bar:
            result = start(
                config, resume=arguments.resume, overwrite=arguments.overwrite, report=table.show, progress=bar
            )
    except KeyboardInterrupt:
        print(_after_interruption(config, before, _checkpoint(config), arguments.resume), file=sys.stderr)
        return 130
    try:
        _note_provenance(arguments, Path(result.folder))
    except OutputError as error:  # the model is in its place
        notes.append(error.what)
        if arguments.quiet:
            print(f"error: {error.what}", file=sys.stderr)
    if arguments.quiet:
        return 0
    for note in notes:
        print(f"note: {note}")
    print(_what_was_used(result))
    if say:
        say()
    print(f"\n{result.potential.name}: {result.potential.n_parameters:,} parameters, in {result.folder}:")
    print("  model.h5       the potential: --model, PhonaxCalculator(...)")
    print("  history.csv    every epoch; history.png the picture of it; provenance.json when and by what")
    print("  checkpoint.h5  where --resume would go on")
    return 0


def _checkpoint(config: TrainingConfig) -> Checkpoint | None:
    """Which checkpoint lies in the folder of a run; None where there is none."""
    from ..training.checkpoints import NAME

    try:
        state = (Path(config.run.output) / NAME).stat()
    except (OSError, ValueError):
        return None
    return state.st_ino, state.st_mtime_ns


def _after_interruption(
    config: TrainingConfig, before: Checkpoint | None, after: Checkpoint | None, resumed: bool
) -> str:
    """Say what there is to go on from; a checkpoint of an earlier run is none of this one.

    Args:
        before, after: the checkpoint at the beginning and at the end of this run.
    """
    folder = config.run.output
    if after is not None and (resumed or after != before):
        return f"interrupted; go on with --resume (checkpoint in {folder})"
    words = "interrupted before the first checkpoint, so there is nothing to --resume: start it again"
    words += f" (run.checkpoint_seconds is {config.run.checkpoint_seconds:g})"
    return words if after is None else f"{words}; the earlier run in {folder} is as it was"


def _note_provenance(arguments: argparse.Namespace, folder: Path) -> None:
    """Write beside the history what it came from: a block for each start that came to its end."""
    from ..training.folders import PROVENANCE

    path = folder / PROVENANCE
    try:
        earlier = parse_json(path.read_text(encoding="utf-8"))["runs"] if arguments.resume else []
    except (OSError, ValueError, KeyError, TypeError):
        earlier = []
    # What the data were, with their checksums, stands in the model itself.
    files = [path for path in (arguments.training, *(getattr(arguments, "spectrum", None) or ())) if path is not None]
    block = provenance(arguments, files, getattr(arguments, "model", None))
    write_whole(path, json.dumps({"runs": [*earlier, block]}, indent=2) + "\n")


def _what_was_used(result: TrainingResult) -> str:
    """Say which labels were trained and validated on, and which epoch was kept."""
    training = result.potential.provenance.training
    sides = {
        side: ", ".join(f"{n} {label}" for label, n in counts.items() if n)
        for side, counts in training["labels"].items()
    }
    lines = f"frames trained on: {sides['train']}"
    if not sides["valid"]:
        return lines + "; none to validate on, the last epoch is kept"
    kept = f"epoch {training['best_epoch']}" if training["best_epoch"] else "the model as it was: no epoch is better"
    return lines + f"; validated on: {sides['valid']}; kept is {kept}"


def _keep_compiled() -> None:
    """Compiled steps go to the user's cache folder: a second run, or --resume, starts in seconds.

    This is a setting of the whole process, so it is made here and not in the library.
    """
    import jax

    from ..base.caches import cache_folder

    folder = cache_folder("compiled")
    if jax.config.values.get("jax_compilation_cache_dir") is None:  # the user's own choice counts more
        jax.config.update("jax_compilation_cache_dir", str(folder))


class EpochTable:
    """A line for each epoch; columns are those of the first row with a validation, or of the first row.

    Those that the terminal has no room for are left out, the last first: history.csv has them all.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._names, self._gap = quiet, list[str](), "  "
        self._columns = _columns()

    def show(self, row: Mapping[str, Any]) -> None:
        """Print one row."""
        if self._quiet:
            return
        try:
            self._write(row)
        except OSError:  # whoever read the table has left; the training has not
            self._quiet = True

    def _write(self, row: Mapping[str, Any]) -> None:
        names = [name for name in self._columns if name in row]
        if not set(names) <= set(self._names):
            self._names = names
            self._begin()
        print_above(self._gap.join(self._cell(name, row) for name in self._shown))

    def _begin(self) -> None:
        """Choose the columns that fit, and print their headings."""
        self._shown, room = list(self._names), width()
        for self._gap in ("  ", " "):
            if self._line_width() <= room:
                break
        while self._line_width() > room:
            self._shown.pop()
        print_above(self._gap.join(f"{self._columns[name][0]:>{_width(name)}}" for name in self._shown))

    def _line_width(self) -> int:
        return sum(map(_width, self._shown)) + len(self._gap) * (len(self._shown) - 1)

    def _cell(self, name: str, row: Mapping[str, Any]) -> str:
        _, factor, digits = self._columns[name]
        if name not in row:
            return " " * _width(name)
        text = f"{factor * row[name]:.{digits}f}"
        return f"{text if len(text) <= _width(name) else f'{factor * row[name]:.1e}':>{_width(name)}}"


def _width(name: str) -> int:
    return 5 if name == "epoch" else 8
