"""What a row of the table of labels says; the rows are in `targets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.outputs import Output
from . import answers, comparisons, consistency
from .directions import KINDS

if TYPE_CHECKING:
    from .labels.frames import Frame


@dataclass(frozen=True)
class Part:
    """One array of a label.

    Attributes:
        words: what it is called where its shape is wrong.
        shape: of n atoms at m wave vectors.
        name: of the attribute that holds it, and of its array in files; "" where the label is this array.
        dtype: in files.
        may_lack: None where there is nothing to say.
        since: version of files that has it first.
    """

    words: str
    shape: Callable[[int, int], tuple[int, ...]]
    name: str = ""
    dtype: type = float
    may_lack: bool = False
    since: int = 1

    def of(self, value: Any) -> Any:
        """The array of a label that is this part."""
        return getattr(value, self.name) if self.name else value


@dataclass(frozen=True)
class Source:
    """Where a label stands in what ASE reads.

    Attributes:
        key: in results, `info` or `arrays`.
        words: of a frame that has none: "no forces".
        make: (numbers, number of atoms, origin) -> the label of a frame.
        alike: parts of names under which others write it.
        sizes: how many numbers it then has, of n atoms.
    """

    key: str
    words: str
    make: Callable[[np.ndarray, int, str], Any]
    alike: tuple[str, ...]
    sizes: Callable[[int], tuple[int, ...]]


@dataclass(frozen=True)
class Limits:
    """Sizes that nothing has, per atom where the label grows with the atoms.

    Attributes:
        largest: of any number.
        farthest: from the median of frames of the same composition.
        many_are_a_unit: many that are too large are in another unit, which one of the checks says.
    """

    largest: float = np.inf
    farthest: float = np.inf
    many_are_a_unit: bool = False


@dataclass(frozen=True)
class Term:
    """A part of the loss.

    Attributes:
        name: of its weight in `config.LossConfig`.
        compare: the part of each frame (`comparisons`).
        taken_from: names of targets it is computed from, any of them.
        may_lack: counts by default, and does nothing where no frame has the label; without, that is refused.
        slope: name of the label whose prediction it is computed from beside its own; "" for none.
    """

    name: str
    compare: Callable[..., Any]
    taken_from: tuple[str, ...]
    may_lack: bool = False
    slope: str = ""


@dataclass(frozen=True)
class Quantity:
    """Errors of a label, as they are shown.

    Attributes:
        name: in results, histories and files.
        words, printed, factor: as printed: name, unit, and how many of these the unit of results is.
        unit: of results.
        heading, digits: in the table of epochs.
    """

    name: str
    words: str
    unit: str
    printed: str
    factor: float
    heading: str
    digits: int


def _as_it_is(components: Any) -> Any:
    return components


@dataclass(frozen=True)
class Target:
    """A kind of label.

    Attributes:
        name: of weights of frames, of scales, of arrays in a batch.
        attribute: of `Frame`.
        words, singular: in messages.
        unit: of the label.
        per: "structure", "atom", or "wave": one array of a structure, one row for each atom, arrays at wave vectors.
        parts: its arrays, one but for those at wave vectors.
        make: the label from its parts.
        stored: array or group in files of `save_frames`.
        since: version of these files that has it first.
        source: where ASE has it; None where only our own files do.
        limits: sizes that are refused (`labels.sizes`).
        checks: what else is refused (`consistency`).
        kinds: of the batches that carry it.
        predicted: attribute of `answers.Answers`, and of `predictions.Prediction` where no output is needed; "" where
            products or outputs are.
        output: the network's output that is compared with it, given to networks that are trained on it.
        of_components: the label of the components of that output, or of the output it is a derivative of.
        needs: output whose derivative by positions it is, where it is none itself.
        extensive: grows with the atoms: compared per atom, its size taken less what a sum over elements explains.
        typical: numbers whose root mean square is its scale.
        smallest: scale, at least.
        terms: parts of the loss.
        errors: errors and weights in a batch (`comparisons`); None: none are counted there.
        score: errors of a model on a frame (`answers`).
        quantity: how errors are shown.
    """

    name: str
    attribute: str
    words: str
    singular: str
    unit: str
    per: str
    parts: tuple[Part, ...]
    stored: str
    smallest: float
    terms: tuple[Term, ...]
    quantity: Quantity
    source: Source | None = None
    limits: Limits = Limits()
    checks: tuple[Callable[[Sequence[Frame]], None], ...] = ()
    kinds: tuple[str, ...] = KINDS
    predicted: str = ""
    output: Output | None = None
    of_components: Callable[[Any], Any] = _as_it_is
    needs: Output | None = None
    extensive: bool = False
    typical: Callable[[Any], np.ndarray] = np.ravel
    errors: Callable[..., Any] | None = comparisons.value_errors
    score: Callable[..., dict[str, np.ndarray]] = answers.value_errors
    make: Callable[..., Any] = np.asarray
    since: int = 1

    def of(self, frame: Frame) -> Any:
        """The label of a frame, None where it has none."""
        return getattr(frame, self.attribute)

    @property
    def of_molecules(self) -> bool:
        """Whether periodic structures have none."""
        return consistency.check_molecules in self.checks

    @property
    def of_crystals(self) -> bool:
        """Whether only structures that are periodic in three directions have one."""
        return consistency.check_crystals in self.checks

    def parts_of(self, value: Any) -> tuple[Part, ...]:
        """Those that a label has."""
        return tuple(part for part in self.parts if not part.may_lack or part.of(value) is not None)

    def at_wave(self, value: Any, which: int) -> Any:
        """The label at one of its wave vectors."""
        parts = [part.of(value) for part in self.parts]
        return self.make(*(None if part is None else part[which : which + 1] for part in parts))

    def n_waves(self, value: Any) -> int:
        """How many wave vectors a label has."""
        return len(value.qpoints) if self.per == "wave" else 0
