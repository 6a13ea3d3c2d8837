"""Epochs of steps, validation and checkpoints: of any loss, whatever it teaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import InputError, TrainingError
from ..base.progress import Progress
from ..derivatives.compiled.responses import Tree
from . import placement
from .batches import Planner, iterate
from .checkpoints import PREVIOUS, read_checkpoint, save_checkpoint
from .config import OptimiserConfig, RunConfig
from .first_parameters import Parameters
from .folders import make_way
from .history import write_csv

if TYPE_CHECKING:
    from .steps import State

# Learning rates where none is given.
FROM_NOTHING, FROM_A_MODEL = 1e-2, 2e-5
# May differ between a run and its continuation.
FREE = {("run", "output"), ("run", "checkpoint_seconds"), ("run", "name"), ("run", "keep")}

Report = Callable[[Mapping[str, Any]], None]
# kind of a batch -> compiled (state, batch, rate, scales) -> state, loss, parts, norm
Step = Callable[[str], Callable[..., Any]]
# parameters -> "valid_loss" and whatever else a row of the history tells
Judge = Callable[[Tree], Mapping[str, float]]


class Trainer:
    """What is fixed is given here, what changes is `state` and a few counters.

    Args:
        step: gives what makes one step on a batch of a kind (`Step`).
        planner: of the training batches.
        rates: (steps,) learning rate of each step, all epochs after each other.
        judge: of the running average of the parameters; None where there is no validation.
        state: of `steps.start`.
        scales: what residuals are divided by.
        identity: what a checkpoint must have in common with a run that goes on from it: "config" (sections of
            settings), "base" (of the model one starts from) and "data".
        with_parts: rows tell the parts of the training loss, too.
    """

    def __init__(
        self,
        step: Step,
        planner: Planner,
        rates: np.ndarray,
        judge: Judge | None,
        *,
        state: State,
        scales: Mapping[str, Any],
        optimiser: OptimiserConfig,
        run: RunConfig,
        n_devices: int,
        identity: Mapping[str, Any],
        with_parts: bool = False,
    ) -> None:
        self.step, self.planner, self.rates, self.judge = step, planner, rates, judge
        self.state, self.scales = state, scales
        self.optimiser, self.settings = optimiser, run
        self.n_devices, self.identity, self.with_parts = n_devices, identity, with_parts
        self.per_epoch = len(planner.epoch(run.seed, 0))
        self.best = _copy(state.average)
        self.best_loss, self.best_epoch = float("inf"), 0
        self.epoch, self.position, self.sums = 0, 0, [0.0, 0]
        self.parts: dict[str, float] = {}
        self.rows: list[dict[str, Any]] = []
        self.replaces = False  # an earlier run lies in the folder still

    def go(self, folder: Path | None, report: Report | None, progress: Progress | None, knows: bool = False) -> None:
        """Epochs until the end or until validation stops improving.

        Args:
            folder: of history and checkpoints; None for neither.
            knows: the parameters at the start are the first candidate for the best.
        """
        written = time.monotonic()
        if knows and self.judge is not None and not self.rows:
            judged = self.judge(self.state.average)
            self.best_loss = judged["valid_loss"]
            self.rows.append({"epoch": 0, **judged, "seconds": round(time.monotonic() - written, 3)})
            if report:
                report(self.rows[-1])
        while self.epoch < self.optimiser.epochs and not self._has_stalled():
            began = time.monotonic()
            for done in self._epoch():
                if progress:
                    progress(self.epoch * self.per_epoch + done, len(self.rates))
                if folder and time.monotonic() - written > self.settings.checkpoint_seconds:
                    self.save(folder)
                    written = time.monotonic()
            row = self._close_epoch(time.monotonic() - began)
            over = self.epoch == self.optimiser.epochs or self._has_stalled()
            late = time.monotonic() - written > self.settings.checkpoint_seconds
            if folder and (late or over or self.replaces):
                self.save(folder)
                written = time.monotonic()
            if folder:
                write_csv(folder, self.rows)
            if report:
                report(row)

    def chosen(self) -> tuple[Tree, int]:
        """The parameters that are kept, and their epoch: the best by validation, or the average at the end."""
        if self.settings.keep == "best" and self.judge is not None and np.isfinite(self.best_loss):
            return self.best, self.best_epoch
        return self.state.average, self.epoch

    def _has_stalled(self) -> bool:
        patience = self.optimiser.patience
        return bool(patience) and self.judge is not None and self.epoch - self.best_epoch >= patience

    def _epoch(self) -> Iterator[int]:
        """Steps of the epoch from where it stands; yields how many are done."""
        seed = self.settings.seed
        plan = self.planner.epoch(seed, self.epoch)
        place, copy = placement.places(self.n_devices)
        self.state = copy(self.state)
        for shape, members, batch in iterate(self.planner, plan, (seed, self.epoch), self.position):
            rate = self.rates[self.epoch * self.per_epoch + self.position]
            self.state, loss, parts, norm = self.step(shape.kind)(self.state, place(batch), rate, self.scales)
            loss, norm = float(loss), float(norm)
            if not (np.isfinite(loss) and np.isfinite(norm)):
                self._report_nan(loss, norm, parts, members)
            self.sums = [self.sums[0] + loss * len(members), self.sums[1] + len(members)]
            for name, value in parts.items() if self.with_parts else ():
                self.parts[name] = self.parts.get(name, 0.0) + float(value) * len(members)
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
        count = max(self.sums[1], 1)
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "learning_rate": float(self.rates[(self.epoch + 1) * self.per_epoch - 1]),
            "loss": self.sums[0] / count,
            **{name: value / count for name, value in self.parts.items()},
        }
        self.epoch, self.position, self.sums, self.parts = self.epoch + 1, 0, [0.0, 0], {}
        last = self.epoch == self.optimiser.epochs
        if self.judge is not None and (self.epoch % self.settings.validate_every == 0 or last):
            judged = self.judge(self.state.average)
            row |= judged
            if not np.isfinite(judged["valid_loss"]):
                raise TrainingError(
                    f"the validation loss after epoch {self.epoch} is {judged['valid_loss']}",
                    "the model gives no numbers on frames it never saw; the last checkpoint is intact",
                    "look at the validation frames, or lower optimiser.learning_rate",
                )
            if judged["valid_loss"] < self.best_loss:
                self.best_loss, self.best_epoch = judged["valid_loss"], self.epoch
                self.best = _copy(self.state.average)
        row["seconds"] = round(seconds, 3)
        self.rows.append(row)
        return row

    def _trees(self) -> dict[str, Tree]:
        return {"state": self.state, "best": self.best}

    def save(self, folder: Path) -> None:
        """Write a checkpoint of this moment."""
        header = {
            **self.identity,
            "epoch": self.epoch,
            "position": self.position,
            "sums": self.sums,
            "parts": self.parts,
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
        from .steps import owned

        header, trees = read_checkpoint(folder, self._trees())
        here, there = self.identity["config"], header["config"]
        differing = [
            f"{section}.{name} ({there.get(section, {}).get(name)!r} then, {value!r} now)"
            for section, values in here.items()
            for name, value in values.items()
            if (section, name) not in FREE and _plain(value) != _plain(there.get(section, {}).get(name))
        ]
        if differing or header["base"] != self.identity["base"]:
            raise InputError(
                f"the checkpoint in {folder} was made with other settings: {'; '.join(differing) or 'another model'}",
                "going on would be neither the old run nor a new one",
                "restore the settings, or start anew in another folder",
            )
        if header["data"] != self.identity["data"]:
            raise InputError(
                f"the frames differ from those the checkpoint in {folder} was made with",
                "going on would mix two training sets unseen",
                "restore the files, or start anew in another folder",
            )
        self.state, self.best = owned(trees["state"]), trees["best"]
        self.epoch, self.position, self.sums = header["epoch"], header["position"], header["sums"]
        self.parts = header.get("parts", {})
        self.best_loss = float("inf") if header["best_loss"] is None else header["best_loss"]
        self.best_epoch, self.rows = header["best_epoch"], header["rows"]


def as_arrays(parameters: Mapping[str, Mapping[str, Any]]) -> Parameters:
    """A tree of parameters as arrays of NumPy."""
    return {m: {k: np.asarray(x) for k, x in arrays.items()} for m, arrays in parameters.items()}


def _copy(tree: Tree) -> Tree:
    """The state is given away to the next step (donated), so what is kept is copied."""
    import jax

    return jax.tree.map(np.array, tree)


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
