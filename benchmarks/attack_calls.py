"""The command line and functions of the library, run in this process; cut short where reading and checking are over."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attack_inputs as inputs

from ase_phonax.base.errors import PhonaxError

QUICK = ("--no-relax", "--supercell", "1", "--mesh", "2", "2", "2", "--temperatures", "0", "300", "300")


class FarEnough(PhonaxError):
    """Raised where reading and checking are over and only computing is left."""

    exit_code = 0

    def __init__(self) -> None:
        super().__init__("far enough", "the rest is computing", "nothing")


def command(*argv: str) -> Callable[[], int]:
    """The command line, run in this process; exit code as the shell would have it."""

    def run() -> int:
        from ase_phonax.cli import main

        return main(list(argv))

    return run


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def cut(run: Callable[[], int], numbers: list[Any] | None = None) -> Callable[[], int]:
    """The same without force constants, comparisons with labels, and steps of training: one energy at most."""

    def stop_at_constants(atoms: Any, calc: Any, *_: Any, **__: Any) -> None:
        calc.get_potential_energy(atoms)
        if numbers is not None:
            numbers.append(inputs.model_numbers(calc.potential))
        raise FarEnough

    def stop_at_scores(model: Any, frames: Any, **_: Any) -> None:
        from ase_phonax import load_model
        from ase_phonax.training.labels.frames import fingerprint

        load_model(model)
        if numbers is not None:
            numbers.append(fingerprint(frames))
        raise FarEnough

    def stop_at_steps(self: Any, *_: Any) -> None:
        if numbers is not None:
            numbers.append(state_numbers(self))
        raise FarEnough

    def shortened() -> int:
        from ase_phonax import training
        from ase_phonax.phonons.supercell import objects
        from ase_phonax.phonons.volumes import points
        from ase_phonax.training.loop import Run

        with (
            _replaced(objects, "get_phonopy", stop_at_constants),
            _replaced(points, "get_phonopy", stop_at_constants),
            _replaced(training, "evaluate", stop_at_scores),
            _replaced(Run, "go", stop_at_steps),
        ):
            return run()

    return shortened


def state_numbers(run: Any) -> str:
    """What a checkpoint has put into a training run."""
    import jax
    import numpy as np

    digest = hashlib.sha256(json.dumps([run.rows, run.epoch, run.position, run.sums], default=str).encode())
    for leaf in jax.tree.leaves((run.state, run.best)):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def in_words(run: Callable[[], int]) -> Callable[[], int]:
    """A function of the library, its errors reported as the command line does."""

    def reporting() -> int:
        try:
            return run()
        except PhonaxError as error:
            print(f"error: {error}")
            return error.exit_code

    return reporting
