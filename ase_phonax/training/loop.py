"""Training: epochs of steps, validation, checkpoints, and the model at the end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import InputError, TrainingError
from ..models.potential import Potential, Provenance
from . import partition, placement, setup
from .batches import Item, Planner, iterate, prepare
from .checkpoints import PREVIOUS, read_checkpoint, save_checkpoint
from .config import Config, NetworkConfig, TrainingConfig, as_config, as_dict
from .folders import MODEL, make_way, working_in
from .history import FIGURE, draw, write_csv
from .labels.frames import Frame, count_labels, fingerprint

# Learning rates where none is given.
FROM_NOTHING, FROM_A_MODEL = 1e-2, 2e-5
# May differ between a run and its continuation.
FREE = {("run", "output"), ("run", "checkpoint_seconds"), ("run", "name"), ("run", "keep")}


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves behind.

    Attributes:
        potential: the best by validation, or the last without one or by `run.keep`; also in `folder/model.h5`.
        history: a row for each epoch.
        folder: of model, log, figure and checkpoint.
    """

    potential: Potential
    history: tuple[Mapping[str, Any], ...]
    folder: Path


Report = Callable[[Mapping[str, Any]], None]
Progress = Callable[[int, int], None]


def train(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a potential from nothing.

    Args:
        config: a `TrainingConfig`, the same as nested mappings, or the path of a YAML file.
        resume: go on from the last checkpoint in the output folder; the result is the same, bit for bit on the same
            machine, versions and number of threads, as if it had never stopped.
        overwrite: start anew where the folder holds an earlier run.
        frames: training and validation frames in place of the files of `config.data`.
        report: called with the row of each epoch.
        progress: progress(steps done, all steps).

    Raises:
        InputError: configuration, data or checkpoint cannot be used; nothing was changed.
        TrainingError: loss or gradient not finite; the frames of the batch are named.
        OutputError: the folder holds an earlier run, cannot be written, or another run is writing there.
    """
    return _run(as_config(config), None, None, resume, overwrite, frames, report, progress)


def fine_tune(
    model: Any,
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train on from any model that can be loaded; the network is the model's: leave `config.network` out.

    Args:
        model: a `Potential`, a registered name, or a model file (Nequix checkpoints included).

    The others, and what is raised, are those of `train`.
    """
    from ..models.loading import load_model

    potential = load_model(model)
    if potential.architecture is None:
        raise InputError(
            f"the potential {potential.name!r} is a plain function",
            "its parameters are not known by name, and the result could not be stored",
            "start from a model file",
        )
    found = as_config(config)
    if found.network != NetworkConfig():
        raise InputError(
            "the configuration describes a network",
            f"in fine-tuning the network is that of {potential.name}, and the description would be ignored",
            "leave out the section network; `ase-phonax fine-tune MODEL --template` prints what counts",
        )
    return _run(found, potential, model, resume, overwrite, frames, report, progress)


def _run(
    config: TrainingConfig,
    base: Potential | None,
    model: Any,
    resume: bool,
    overwrite: bool,
    frames: tuple[Sequence[Frame], Sequence[Frame]] | None,
    report: Report | None,
    progress: Progress | None,
) -> TrainingResult:
    import jax

    folder = Path(config.run.output)
    with working_in(folder, model, resume=resume, overwrite=overwrite) as replaces:
        training, valid = frames or partition.load_frames(config.data, config.run.seed)
        if not training:
            raise InputError("there are no training frames", "there is nothing to learn from", "check data.train")
        setup.check_labels(training, config.loss)
        with jax.enable_x64(config.run.precision == "float64"):
            run = Run(config, base, list(training), list(valid))
            run.replaces = replaces
            if resume:
                run.load(folder)
            return run.go(folder, report, progress)


class Run:
    """One training run: what is fixed is made here, what changes is `state` and a few counters."""

    def __init__(self, config: TrainingConfig, base: Potential | None, training: list[Frame], valid: list[Frame]):
        from . import steps

        self.config, self.training = config, training
        dtype = np.dtype(config.run.precision)
        self.start = None if base is None else base.fingerprint()
        if base is not None and config.fine_tune.energies == "shift":
            base = setup.shifted(base, training)
        elif base is not None and config.loss.energy:
            setup.check_references(base, training)
        self.potential = base or setup.new_potential(config, training)
        self.base = None if base is None else base.name
        frozen = setup.frozen_names(config.fine_tune.frozen, self.potential.parameters)
        scales = setup.label_scales(config.loss, training, self.potential.numbers)
        self.scales = {name: dtype.type(value) for name, value in scales.items()}
        self.n_devices = placement.n_devices(config.run.devices)
        items = self._items(training)
        pieces = placement.n_pieces(config.optimiser, items, self.n_devices)
        self.rules = steps.Rules.of(config.loss, config.optimiser, frozen, pieces)
        self.planner = self._planner(items, dtype, self.n_devices * pieces)
        self.valid = self._planner(self._items(partition.validated(valid)), dtype, 1) if valid else None
        self.per_epoch = len(self.planner.epoch(config.run.seed, 0))
        high = config.optimiser.learning_rate
        if high == "auto":
            high = FROM_NOTHING if base is None else FROM_A_MODEL
        total = self.per_epoch * config.optimiser.epochs
        self.rates = steps.learning_rates(config.optimiser, float(high), total, dtype)
        self.data = fingerprint([*training, *valid])
        self.counts = {"train": count_labels(training), "valid": count_labels(valid)}
        from ..derivatives.compiled.responses import cast

        self.state = steps.start(self.rules, cast(self.potential.parameters, dtype))
        self.best = _copy(self.state.average)
        self.best_loss, self.best_epoch = float("inf"), 0
        self.epoch, self.position, self.sums = 0, 0, [0.0, 0]
        self.rows: list[dict[str, Any]] = []
        self.replaces = False  # an earlier run lies in the folder still

    def _items(self, frames: Sequence[Frame]) -> list[Item]:
        loss = self.config.loss
        return prepare(
            frames,
            self.potential.cutoff,
            self.potential.numbers,
            self.potential.name,
            curvature=bool(loss.curvature or loss.projections),
            spectrum=bool(loss.spectrum),
        )

    def _planner(self, items: list[Item], dtype: np.dtype, n_stacked: int) -> Planner:
        loss, run = self.config.loss, self.config.run
        return Planner(
            items,
            self.config.optimiser.batch_size,
            n_shapes=run.n_shapes,
            n_columns=loss.columns,
            directions=loss.directions,
            dtype=dtype,
            n_stacked=n_stacked,
        )

    def go(self, folder: Path, report: Report | None, progress: Progress | None) -> TrainingResult:
        """Epochs until the end or until validation stops improving; then the model."""
        optimiser = self.config.optimiser
        written = time.monotonic()
        if self.base is not None and self.valid is not None and not self.rows:
            # What it knew already is the first candidate for the best.
            found = self._validate()
            self.best_loss = found["valid_loss"]
            self.rows.append({"epoch": 0, **found, "seconds": round(time.monotonic() - written, 3)})
            if report:
                report(self.rows[-1])
        while self.epoch < optimiser.epochs and not self._has_stalled():
            began = time.monotonic()
            for done in self._epoch():
                if progress:
                    progress(self.epoch * self.per_epoch + done, len(self.rates))
                if time.monotonic() - written > self.config.run.checkpoint_seconds:
                    self.save(folder)
                    written = time.monotonic()
            row = self._close_epoch(time.monotonic() - began)
            over = self.epoch == optimiser.epochs or self._has_stalled()
            if time.monotonic() - written > self.config.run.checkpoint_seconds or over or self.replaces:
                self.save(folder)
                written = time.monotonic()
            write_csv(folder, self.rows)
            if report:
                report(row)
        return self._finish(folder)

    def _has_stalled(self) -> bool:
        patience = self.config.optimiser.patience
        return bool(patience) and self.valid is not None and self.epoch - self.best_epoch >= patience

    def _epoch(self) -> Iterator[int]:
        """Steps of the epoch from where it stands; yields how many are done."""
        from . import steps

        seed = self.config.run.seed
        plan = self.planner.epoch(seed, self.epoch)
        place, copy = placement.places(self.n_devices)
        self.state = copy(self.state)
        for shape, members, batch in iterate(self.planner, plan, (seed, self.epoch), self.position):
            step = steps.training_step(self.potential.node_energies, self.potential.cutoff, self.rules, shape.kind)
            rate = self.rates[self.epoch * self.per_epoch + self.position]
            self.state, loss, parts, norm = step(self.state, place(batch), rate, self.scales)
            loss, norm = float(loss), float(norm)
            if not (np.isfinite(loss) and np.isfinite(norm)):
                self._report_nan(loss, norm, parts, members)
            self.sums = [self.sums[0] + loss * len(members), self.sums[1] + len(members)]
            self.position += 1
            yield self.position

    def _report_nan(self, loss: float, norm: float, parts: Mapping[str, Any], members: np.ndarray) -> None:
        frames = [self.planner.items[k].frame for k in members]
        bad = [name for name, value in parts.items() if not np.isfinite(float(value))]
        raise TrainingError(
            f"in epoch {self.epoch + 1}, step {self.position + 1}, the loss is {loss} and the norm of its gradient "
            f"{norm} (parts that are not finite: {', '.join(bad) or 'none'})",
            "the parameters would never recover; the last checkpoint is intact",
            "lower optimiser.learning_rate or optimiser.clip, or look at the frames of that batch: "
            + ", ".join(f.origin or f.atoms.get_chemical_formula() for f in frames),
        )

    def _close_epoch(self, seconds: float) -> dict[str, Any]:
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.per_epoch - 1]),
            "loss": self.sums[0] / max(self.sums[1], 1),
        }
        self.epoch, self.position, self.sums = self.epoch + 1, 0, [0.0, 0]
        last = self.epoch == self.config.optimiser.epochs
        if self.valid is not None and (self.epoch % self.config.run.validate_every == 0 or last):
            found = self._validate()
            row |= found
            if not np.isfinite(found["valid_loss"]):
                raise TrainingError(
                    f"the validation loss after epoch {self.epoch} is {found['valid_loss']}",
                    "the model gives no numbers on frames it never saw; the last checkpoint is intact",
                    "look at the validation frames, or lower optimiser.learning_rate",
                )
            if found["valid_loss"] < self.best_loss:
                self.best_loss, self.best_epoch = found["valid_loss"], self.epoch
                self.best = _copy(self.state.average)
        row["seconds"] = round(seconds, 3)
        self.rows.append(row)
        return row

    def _validate(self) -> dict[str, float]:
        """Weighted loss and errors of the running average over the validation frames, always in the same directions."""
        from . import steps

        assert self.valid is not None
        total, count = 0.0, 0
        sums: dict[str, np.ndarray] = {}
        plan = self.valid.in_order()
        for shape, members, batch in iterate(self.valid, plan, (self.config.run.seed, 2**31)):
            step = steps.validation_step(self.potential.node_energies, self.potential.cutoff, self.rules, shape.kind)
            loss, errors = step(self.state.average, batch, self.scales)
            total, count = total + float(loss) * len(members), count + len(members)
            for name, values in errors.items():
                sums[name] = sums.get(name, np.zeros(3)) + np.array([float(v) for v in values])
        result = {"valid_loss": total / count}
        for name, (absolute, square, n) in sums.items():
            if n:
                result |= {f"{name}_mae": absolute / n, f"{name}_rmse": float(np.sqrt(square / n))}
        return result

    def _trees(self) -> dict[str, Any]:
        return {"state": self.state, "best": self.best}

    def save(self, folder: Path) -> None:
        """A checkpoint of this moment."""
        header = {
            "config": as_dict(self.config),
            "base": self.start,
            "data": self.data,
            "epoch": self.epoch,
            "position": self.position,
            "sums": self.sums,
            "best_loss": self.best_loss if np.isfinite(self.best_loss) else None,
            "best_epoch": self.best_epoch,
            "rows": self.rows,
        }
        if self.replaces:
            make_way(folder)
        save_checkpoint(folder, header, self._trees())
        if self.replaces:
            (folder / PREVIOUS).unlink(missing_ok=True)
            self.replaces = False

    def load(self, folder: Path) -> None:
        """Go back to the last checkpoint.

        Raises:
            InputError: it belongs to other settings or other data.
        """
        from . import steps

        header, trees = read_checkpoint(folder, self._trees())
        here, there = as_dict(self.config), header["config"]
        differing = [
            f"{section}.{name} ({there.get(section, {}).get(name)!r} then, {value!r} now)"
            for section, values in here.items()
            for name, value in values.items()
            if (section, name) not in FREE and _plain(value) != _plain(there.get(section, {}).get(name))
        ]
        if differing or header["base"] != self.start:
            raise InputError(
                f"the checkpoint in {folder} was made with other settings: {'; '.join(differing) or 'another model'}",
                "going on would be neither the old run nor a new one",
                "restore the settings, or start anew in another folder",
            )
        if header["data"] != self.data:
            raise InputError(
                f"the frames differ from those the checkpoint in {folder} was made with",
                "going on would mix two training sets unseen",
                "restore the files, or start anew in another folder",
            )
        self.state, self.best = steps.owned(trees["state"]), trees["best"]
        self.epoch, self.position, self.sums = header["epoch"], header["position"], header["sums"]
        self.best_loss = float("inf") if header["best_loss"] is None else header["best_loss"]
        self.best_epoch, self.rows = header["best_epoch"], header["rows"]

    def _finish(self, folder: Path) -> TrainingResult:
        from ..models.files.native import save_model

        best = self.config.run.keep == "best" and self.valid is not None and np.isfinite(self.best_loss)
        chosen, epoch = (self.best, self.best_epoch) if best else (self.state.average, self.epoch)
        parameters = {m: {k: np.asarray(x) for k, x in arrays.items()} for m, arrays in chosen.items()}
        config = self.config
        base = f", from {self.base}" if self.base else ""
        described = ", ".join(f"{n} with {label}" for label, n in self.counts["train"].items() if n)
        provenance = Provenance(
            level_of_theory=config.run.level_of_theory,
            training_set=f"{len(self.training)} frames ({described}){base}",
            licence=config.run.licence,
            citation=config.run.citation,
            source="ase-phonax train" if self.base is None else "ase-phonax fine-tune",
            training={
                "configuration": as_dict(config),
                "data_sha256": self.data,
                "labels": self.counts,
                "scales": {name: float(value) for name, value in self.scales.items()},
                "best_epoch": epoch,
                "metrics": next((r for r in self.rows if r["epoch"] == epoch), self.rows[-1]),
            },
        )
        name = config.run.name or (f"{self.base}-tuned" if self.base else "trained")
        potential = replace(self.potential, parameters=parameters, name=name, provenance=provenance)
        save_model(potential, folder / MODEL, overwrite=True)
        write_csv(folder, self.rows)
        draw(self.rows, folder / FIGURE)
        return TrainingResult(potential, tuple(self.rows), folder)


def _copy(tree: Any) -> Any:
    """The state is given away to the next step (donated), so what is kept is copied."""
    import jax

    return jax.tree.map(np.array, tree)


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
