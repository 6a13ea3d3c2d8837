"""The labels that can be learned, one row for each.

A row says how a label is called and measured, where it is read and stored, what of it is checked, how it travels in a
batch, and how it is predicted, compared and shown.

No other list of labels exists. Beside its row a label has a field of `labels.frames.Frame`, and each part of the loss a
weight in `config.LossConfig`: there they are documented and typed, and a test holds them equal to this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.outputs import Output
from . import answers, comparisons, consistency, values
from .directions import KINDS

if TYPE_CHECKING:
    from .config import LossConfig
    from .labels.frames import Frame


@dataclass(frozen=True)
class Part:
    """One array of a label.

    Attributes:
        words: what it is called where its shape is wrong.
        shape: of n atoms at m wave vectors.
        name: of the attribute that holds it, and of its array in files; "" where the label is this array.
        dtype: in files.
    """

    words: str
    shape: Callable[[int, int], tuple[int, ...]]
    name: str = ""
    dtype: type = float

    def of(self, value: Any) -> Any:
        """The array of a label that is this part."""
        return getattr(value, self.name) if self.name else value


@dataclass(frozen=True)
class Source:
    """Where a label stands in what ASE reads.

    Attributes:
        key: in results, `info` or `arrays`.
        words: of a frame that has none: "no forces".
        make: (numbers, number of atoms, origin) -> the field of a frame.
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
    """

    name: str
    compare: Callable[..., Any]
    taken_from: tuple[str, ...]
    may_lack: bool = False


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


@dataclass(frozen=True)
class Target:
    """A kind of label.

    Attributes:
        name: of weights of frames, of scales, of arrays in a batch.
        field: of `Frame`.
        words, singular: in messages.
        unit: of the label.
        per: "structure", "atom", or "wave": one array of a structure, one row for each atom, arrays at wave vectors.
        parts: its arrays, one but for those at wave vectors.
        make: the field from its parts.
        stored: array or group in files of `save_frames`.
        since: version of these files that has it first.
        source: where ASE has it; None where only our own files do.
        limits: sizes that are refused (`labels.sizes`).
        checks: what else is refused (`consistency`).
        kinds: of the batches that carry it.
        predicted: attribute of `predictions.Prediction` and `answers.Answers`; "" where products or outputs are.
        output: the network's output that is compared with it, given to networks that are trained on it.
        extensive: grows with the atoms: compared per atom, its size taken less what a sum over elements explains.
        typical: numbers whose root mean square is its scale.
        smallest: scale, at least.
        terms: parts of the loss.
        errors: errors and weights in a batch (`comparisons`); None: none are counted there.
        score: errors of a model on a frame (`answers`).
        quantity: how errors are shown.
    """

    name: str
    field: str
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
    extensive: bool = False
    typical: Callable[[Any], np.ndarray] = np.ravel
    errors: Callable[..., Any] | None = comparisons.value_errors
    score: Callable[..., dict[str, np.ndarray]] = answers.value_errors
    make: Callable[..., Any] = np.asarray
    since: int = 1

    def of(self, frame: Frame) -> Any:
        """The label of a frame, None where it has none."""
        return getattr(frame, self.field)

    def n_waves(self, value: Any) -> int:
        """How many wave vectors a label has."""
        return len(value.qpoints) if self.per == "wave" else 0


def _size_of_products(second: values.SecondOrder) -> np.ndarray:
    """Root mean square of products with directions whose components have mean square 1, at each wave vector."""
    m = second.matrices
    return np.sqrt(np.sum(np.abs(m) ** 2, (1, 2)) / m.shape[1])


ENERGY = Target(
    name="energy",
    field="energy",
    words="energy",
    singular="an energy",
    unit="eV",
    per="structure",
    parts=(Part("energy", lambda n, m: ()),),
    stored="energy",
    source=Source("energy", "energy", values.as_scalar, ("energy",), lambda n: (1,)),
    # With all electrons the heaviest atom that there is has -1.5e6 eV. Nothing that holds together differs by 1e3 eV.
    limits=Limits(largest=3e6, farthest=1e3),
    predicted="energy",
    extensive=True,
    smallest=1e-3,
    terms=(Term("energy", comparisons.values, ("energy",)),),
    quantity=Quantity("energy", "energy", "eV/atom", "meV/atom", 1e3, "E meV/at", 2),
)

FORCES = Target(
    name="forces",
    field="forces",
    words="forces",
    singular="a force",
    unit="eV/Å",
    per="atom",
    parts=(Part("forces", lambda n, m: (n, 3)),),
    stored="forces",
    source=Source("forces", "forces", values.as_array, ("force", "gradient"), lambda n: (3 * n,)),
    limits=Limits(largest=1e4),  # of atoms that all but coincide
    checks=(consistency.check_forces,),
    predicted="forces",
    smallest=0.05,
    terms=(Term("forces", comparisons.values, ("forces",)),),
    quantity=Quantity("forces", "forces", "eV/Å", "meV/Å", 1e3, "F meV/Å", 1),
)

STRESS = Target(
    name="stress",
    field="stress",
    words="stress",
    singular="a stress",
    unit="eV/Å³",
    per="structure",
    parts=(Part("stress", lambda n, m: (3, 3)),),
    stored="stress",
    source=Source("stress", "stress", values.as_symmetric_tensor, ("stress", "virial"), lambda n: (6, 9)),
    limits=Limits(largest=300.0, many_are_a_unit=True),  # 48 TPa; 1602 kbar to an eV/Å³
    checks=(consistency.check_stresses,),
    predicted="stress",
    smallest=1e-3,
    terms=(Term("stress", comparisons.values, ("stress",), may_lack=True),),
    quantity=Quantity("stress", "stress", "eV/Å³", "meV/Å³", 1e3, "S meV/Å³", 2),
)

CURVATURE = Target(
    name="curvature",
    field="second",
    words="second derivatives",
    singular="a second derivative",
    unit="eV/Å²",
    per="wave",
    parts=(
        Part("wave vectors", lambda n, m: (m, 3), "qpoints"),
        Part("second derivatives", lambda n, m: (m, 3 * n, 3 * n), "matrices", complex),
    ),
    make=values.SecondOrder,
    stored="second",
    source=Source("hessian", "Hessian", values.as_second_order, ("hessian", "force_constants"), lambda n: (9 * n**2,)),
    checks=(consistency.check_sign, consistency.check_matrices, consistency.check_hessians),
    kinds=KINDS[1:],
    typical=_size_of_products,
    smallest=0.1,
    terms=(
        Term("curvature", comparisons.products, ("curvature",), may_lack=True),
        Term("projections", comparisons.projections, ("curvature",)),
    ),
    errors=comparisons.product_errors,
    score=answers.matrix_errors,
    quantity=Quantity("curvature", "second derivatives", "eV/Å²", "eV/Å²", 1.0, "H eV/Å²", 3),
)

SPECTRUM = Target(
    name="spectrum",
    field="spectrum",
    words="spectrum",
    singular="a frequency",
    unit="THz",
    per="wave",
    parts=(
        Part("wave vectors of the spectrum", lambda n, m: (m, 3), "qpoints"),
        Part("frequencies", lambda n, m: (m, 3 * n), "frequencies"),
    ),
    make=values.Spectrum,
    stored="spectra",
    checks=(consistency.check_spectra,),
    kinds=("spectrum",),
    typical=lambda spectrum: spectrum.frequencies.ravel(),
    smallest=1.0,
    terms=(Term("spectrum", comparisons.spectra, ("curvature", "spectrum")),),
    errors=None,
    score=answers.frequency_errors,
    quantity=Quantity("frequency", "frequencies", "THz", "THz", 1.0, "ν THz", 3),
)

# In this order they are hashed, and parts of the loss are summed.
TARGETS: tuple[Target, ...] = (ENERGY, FORCES, STRESS, CURVATURE, SPECTRUM)

LABELS = tuple(target.name for target in TARGETS)
TERMS = tuple(term for target in TARGETS for term in target.terms)
QUANTITIES = tuple(target.quantity for target in TARGETS)


def wanted_outputs(loss: LossConfig) -> tuple[Output, ...]:
    """Outputs that a network needs for the parts of the loss that count."""
    return tuple(t.output for t in TARGETS if t.output and any(getattr(loss, term.name) for term in t.terms))
