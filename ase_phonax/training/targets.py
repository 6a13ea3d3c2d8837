"""The labels that can be learned, one row for each.

A row says how a label is called and measured, where it is read and stored, what of it is checked, how it travels in a
batch, and how it is predicted, compared and shown.

No other list of labels exists. Beside its row a label has a field of `labels.frames.Frame`, and each part of the loss a
weight in `config.LossConfig`: there they are documented and typed, and a test holds them equal to this table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..models import fields, polarity
from ..models.outputs import Output
from . import answers, comparisons, consistency, field_checks, response_checks, values
from .density_targets import DENSITY_OF_STATES, PARTIAL_DENSITIES
from .directions import KINDS, WHOLE
from .target import Limits, Part, Quantity, Source, Target, Term

if TYPE_CHECKING:
    from .config import LossConfig


def _size_of_products(second: values.SecondOrder) -> np.ndarray:
    """Root mean square of products with directions whose components have mean square 1, at each wave vector."""
    m = second.matrices
    return np.sqrt(np.sum(np.abs(m) ** 2, (1, 2)) / m.shape[1])


ENERGY = Target(
    name="energy",
    attribute="energy",
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
    attribute="forces",
    words="forces",
    singular="a force",
    unit="eV/Å",
    per="atom",
    parts=(Part("forces", lambda n, m: (n, 3)),),
    stored="forces",
    source=Source("forces", "forces", values.as_array, ("force", "gradient"), lambda n: (3 * n,)),
    limits=Limits(largest=1e4),  # of atoms that all but coincide
    checks=(consistency.check_forces, field_checks.check_neutral),
    predicted="forces",
    smallest=0.05,
    terms=(Term("forces", comparisons.values, ("forces",)),),
    quantity=Quantity("forces", "forces", "eV/Å", "meV/Å", 1e3, "F meV/Å", 1),
)

STRESS = Target(
    name="stress",
    attribute="stress",
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
    attribute="second",
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
    attribute="spectrum",
    words="spectrum",
    singular="a frequency",
    unit="THz",
    per="wave",
    parts=(
        Part("wave vectors of the spectrum", lambda n, m: (m, 3), "qpoints"),
        Part("frequencies", lambda n, m: (m, 3 * n), "frequencies"),
        Part("weights of frequencies", lambda n, m: (m, 3 * n), "weights", may_lack=True, since=5),
        Part("species", lambda n, m: (m, 3 * n, 3 * n), "species", complex, may_lack=True, since=5),
        Part("intensities", lambda n, m: (m, 3 * n), "intensities", may_lack=True, since=5),
        Part("weights of intensities", lambda n, m: (m, 3 * n), "intensity_weights", may_lack=True, since=5),
    ),
    make=values.Spectrum,
    stored="spectra",
    checks=(consistency.check_spectra,),
    kinds=WHOLE,
    typical=lambda spectrum: spectrum.frequencies[spectrum.is_known],
    smallest=1.0,
    terms=(
        Term("spectrum", comparisons.spectra, ("curvature", "spectrum")),
        Term("intensities", comparisons.intensities, ("spectrum",), slope="born_charges"),
    ),
    errors=None,
    score=answers.frequency_errors,
    quantity=Quantity("frequency", "frequencies", "THz", "THz", 1.0, "ν THz", 3),
)

DIPOLE = Target(
    name="dipole",
    attribute="dipole",
    words="dipole",
    singular="a dipole",
    unit="eÅ",
    per="structure",
    parts=(Part("dipole", lambda n, m: (3,)),),
    stored="dipole",
    since=2,
    source=Source("dipole", "dipole", values.as_array, ("dipole",), lambda n: (3,)),
    limits=Limits(largest=1e3),
    checks=(
        consistency.check_molecules,
        field_checks.check_dipoles,
        response_checks.check_slopes_of_dipoles,
        response_checks.check_sizes_of_dipoles,
    ),
    output=fields.DIPOLE,
    smallest=0.01,
    terms=(Term("dipole", comparisons.values, ("dipole",)),),
    quantity=Quantity("dipole", "dipole", "eÅ", "10⁻³ eÅ", 1e3, "μ 10⁻³eÅ", 2),
)

POLARIZABILITY = Target(
    name="polarizability",
    attribute="polarizability",
    words="polarizability",
    singular="a polarizability",
    unit="e²Å²/eV",
    per="structure",
    parts=(Part("polarizability", lambda n, m: (3, 3)),),
    stored="polarizability",
    since=2,
    source=Source("polarizability", "polarizability", values.as_symmetric_tensor, ("polarizab",), lambda n: (6, 9)),
    limits=Limits(largest=1e3, many_are_a_unit=True),
    checks=(
        consistency.check_molecules,
        response_checks.check_induced_dipoles,
        response_checks.check_polarizabilities,
    ),
    output=fields.POLARIZABILITY,
    of_components=fields.as_tensor,
    smallest=0.01,
    terms=(Term("polarizability", comparisons.values, ("polarizability",)),),
    quantity=Quantity("polarizability", "polarizability", "e²Å²/eV", "Å³", fields.CUBIC_ANGSTROM, "α Å³", 4),
)

BORN_CHARGES = Target(
    name="born_charges",
    attribute="born_charges",
    words="Born charges",
    singular="a Born charge",
    unit="e",
    per="atom",
    parts=(Part("Born charges", lambda n, m: (n, 3, 3)),),
    stored="born_charges",
    since=2,
    source=Source(
        "born_effective_charges", "Born charges", values.as_atomic_tensors, ("born", "becs"), lambda n: (9 * n,)
    ),
    limits=Limits(largest=50.0),
    checks=(consistency.check_molecules, response_checks.check_born_charges),
    kinds=KINDS[:2],
    predicted="born_charges",
    needs=fields.DIPOLE,
    smallest=0.05,
    terms=(Term("born_charges", comparisons.values, ("born_charges",)),),
    quantity=Quantity("born_charges", "Born charges", "e", "e", 1.0, "Z* e", 4),
)

POLARIZABILITY_GRADIENT = Target(
    name="polarizability_gradient",
    attribute="polarizability_gradient",
    words="derivatives of the polarizability",
    singular="a derivative of the polarizability",
    unit="e²Å/eV",
    per="atom",
    parts=(Part("derivatives of the polarizability", lambda n, m: (n, 3, 3, 3)),),
    stored="polarizability_gradient",
    since=4,
    limits=Limits(largest=1e2),
    checks=(
        consistency.check_molecules,
        response_checks.check_slopes_of_polarizabilities,
        response_checks.check_gradients_of_polarizabilities,
    ),
    kinds=KINDS[:2],
    predicted="polarizability_gradient",
    needs=fields.POLARIZABILITY,
    of_components=fields.as_tensor,
    smallest=0.01,
    terms=(Term("polarizability_gradient", comparisons.values, ("polarizability_gradient",)),),
    quantity=Quantity(
        name="polarizability_gradient",
        words="derivatives of the polarizability",
        unit="e²Å/eV",
        printed="Å²",
        factor=fields.CUBIC_ANGSTROM,
        heading="α' Å²",
        digits=4,
    ),
)

CRYSTAL_CHARGES = Target(
    name="crystal_charges",
    attribute="crystal_charges",
    words="Born charges of crystals",
    singular="a Born charge",
    unit="e",
    per="atom",
    parts=(Part("Born charges of crystals", lambda n, m: (n, 3, 3)),),
    stored="crystal_charges",
    since=6,
    source=Source("crystal_charges", "Born charges", values.as_atomic_tensors, ("crystal_charge",), lambda n: (9 * n,)),
    limits=Limits(largest=50.0),
    checks=(consistency.check_crystals, response_checks.check_crystal_charges),
    output=polarity.CHARGES,
    of_components=polarity.as_charges,
    smallest=0.05,
    terms=(Term("crystal_charges", comparisons.values, ("crystal_charges",)),),
    quantity=Quantity("crystal_charges", "Born charges of crystals", "e", "e", 1.0, "Z e", 4),
)

LOG_SUSCEPTIBILITY = Target(
    name="log_susceptibility",
    attribute="log_susceptibility",
    words="logarithm of the susceptibility",
    singular="a logarithm of the susceptibility",
    unit="1",
    per="structure",
    parts=(Part("logarithm of the susceptibility", lambda n, m: (3, 3)),),
    stored="log_susceptibility",
    since=6,
    source=Source(
        "dielectric_tensor", "dielectric tensor", values.as_log_susceptibility, ("dielectric",), lambda n: (6, 9)
    ),
    limits=Limits(largest=10.0),
    checks=(consistency.check_crystals,),
    output=polarity.SUSCEPTIBILITY,
    of_components=fields.as_tensor,
    smallest=0.05,
    terms=(Term("log_susceptibility", comparisons.values, ("log_susceptibility",)),),
    quantity=Quantity("log_susceptibility", "logarithm of the susceptibility", "1", "1", 1.0, "ln(ε-1)", 4),
)

# In this order they are hashed, and parts of the loss are summed.
TARGETS: tuple[Target, ...] = (
    ENERGY,
    FORCES,
    STRESS,
    CURVATURE,
    SPECTRUM,
    DIPOLE,
    POLARIZABILITY,
    BORN_CHARGES,
    POLARIZABILITY_GRADIENT,
    CRYSTAL_CHARGES,
    LOG_SUSCEPTIBILITY,
    PARTIAL_DENSITIES,
    DENSITY_OF_STATES,
)

LABELS = tuple(target.name for target in TARGETS)
TERMS = tuple(term for target in TARGETS for term in target.terms)
QUANTITIES = tuple(target.quantity for target in TARGETS)


def wanted_outputs(loss: LossConfig, in_fields: bool = False) -> tuple[Output, ...]:
    """Outputs that a network needs for the parts of the loss that count, and for frames in electric fields."""
    of_fields = (fields.DIPOLE, fields.POLARIZABILITY) if in_fields else ()
    counting = [term for term in TERMS if getattr(loss, term.name)]
    slopes = {term.slope for term in counting}
    targets = (t for t in TARGETS if t.name in slopes or any(term in counting for term in t.terms))
    of_labels = (output for t in targets if (output := t.output or t.needs) is not None)
    return tuple(dict.fromkeys((*of_labels, *of_fields)))
