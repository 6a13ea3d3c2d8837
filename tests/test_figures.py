"""Pictures that say what the numbers say; whether they are beautiful is for eyes."""

import matplotlib
import numpy as np
import pytest
from ase.build import bulk

from ase_phonax.base import drawing
from ase_phonax.phonons import pictures
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.sampling import meshes
from ase_phonax.phonons.supercell.objects import get_phonopy

from .pair_potential import PairCalculator


def finished(atoms, calc):
    phonopy = get_phonopy(atoms, calc, 3)
    get_band_structure(phonopy)
    meshes.get_mesh(phonopy, length=20.0)
    meshes.get_densities(phonopy, length=15.0)
    return phonopy


@pytest.fixture(scope="module")
def stable():
    return finished(bulk("NaCl", "rocksalt", a=5.65), PairCalculator(like=0.0))


@pytest.fixture(scope="module")
def unstable():
    return finished(bulk("Po", "sc", a=2.6), PairCalculator())


def test_bands_stand_beside_densities_on_one_axis_with_greek_labels(stable):
    figure = pictures.bands_and_dos(stable, "NaCl")
    bands, dos = figure.axes
    assert bands.get_ylim() == dos.get_ylim()
    assert [label.get_text().replace(r"\mathrm", "") for label in bands.get_xticklabels()] == [
        r"$\Gamma$",
        "${X}$",
        "${U}$|${K}$",
        r"$\Gamma$",
        "${L}$",
        "${W}$",
        "${X}$",
    ]
    assert [text.get_text() for text in dos.get_legend().get_texts()] == ["total", "Na", "Cl"]
    assert figure.get_suptitle() == "NaCl"


def test_no_band_is_drawn_across_a_jump(stable):
    bands = pictures.bands_and_dos(stable).axes[0]
    drawn = [line for line in bands.lines if len(line.get_xdata()) > 2]
    assert len(drawn) == 6 * 6  # segments times bands


def test_a_stable_crystal_starts_at_zero_and_has_nothing_marked(stable):
    bands, dos = pictures.bands_and_dos(stable).axes
    assert bands.get_ylim()[0] == 0.0
    assert not [text for text in dos.texts if text.get_text() == "imaginary"]


def test_imaginary_modes_are_drawn_below_zero_and_marked(unstable):
    bands, dos = pictures.bands_and_dos(unstable).axes
    lowest = min(frequencies.min() for frequencies in unstable.band_structure.frequencies)
    assert bands.get_ylim()[0] < lowest < -1.0
    assert [text for text in dos.texts if text.get_text() == "imaginary"]
    marked = [line for line in bands.lines if line.get_color() == drawing.IMAGINARY]
    assert marked
    for line in marked:  # whole branches, of which what lies below zero is seen
        assert line.get_ydata().min() < -pictures.VISIBLY_IMAGINARY_THZ
        below = line.get_clip_box().transformed(bands.transData.inverted())
        assert below.y1 == pytest.approx(0.0, abs=1e-9)
        assert below.y0 < line.get_ydata().min()


def test_projections_add_up_to_the_outline(stable):
    dos = pictures.bands_and_dos(stable).axes[1]
    total, sodium, chlorine = (line.get_xdata() for line in dos.lines[:3])
    np.testing.assert_allclose(total, sodium + chlorine, atol=1e-12)


def test_crowded_labels_step_down_instead_of_touching():
    assert pictures._label_rows(np.array([0.0, 0.5, 1.0]), [1, 3, 1]) == [0, 0, 0]
    assert pictures._label_rows(np.array([0.0, 0.01, 0.02, 0.5]), [1, 1, 1, 1]) == [0, 1, 2, 0]


def test_saving_touches_no_global_state_and_gives_the_same_pdf_twice(stable, tmp_path):
    before = dict(matplotlib.rcParams)
    for name in ("first", "second"):
        written = drawing.save_figure(pictures.bands_and_dos(stable, "NaCl"), tmp_path / name)
        assert written == [str(tmp_path / f"{name}.png"), str(tmp_path / f"{name}.pdf")]
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "first.pdf").read_bytes() == (tmp_path / "second.pdf").read_bytes()
    assert (tmp_path / "first.png").stat().st_size > 10_000


def test_formulas_and_space_groups_are_set_as_they_are_printed():
    assert drawing.formula_in_mathtext("Al2O3") == r"$\mathrm{Al}_{2}\mathrm{O}_{3}$"
    assert drawing.space_group_in_mathtext("P6_3/mmc") == "$P6_{3}/mmc$"
    assert drawing.space_group_in_mathtext("Fm-3m") == r"$Fm\bar{3}m$"
