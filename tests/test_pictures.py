"""Axes of every picture, read back from matplotlib's artists: what is drawn lies where labels and limits say."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.cell import Cell
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ase_phonax.base import drawing
from ase_phonax.base.errors import InputError, OutputError
from ase_phonax.calculator import PhonaxCalculator
from ase_phonax.molecules.pictures import NO_INTENSITIES, draw_sticks
from ase_phonax.molecules.stationary import stationary_modes
from ase_phonax.phonons import pictures
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.sampling import meshes
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.phonons.volumes import get_gruneisen, get_quasi_harmonic, phonons_at_volumes
from ase_phonax.phonons.volumes.pictures import draw_gruneisen, draw_quasi_harmonic
from ase_phonax.structures.formulas import crystal_formula, formula, molecular_formula
from ase_phonax.training import history

from .pair_potential import PairCalculator


def skewed_salt() -> Atoms:
    """Rock salt whose cell is no symmetric matrix, as readers of CIF files give it: a along x, b in the xy plane."""
    salt = bulk("NaCl", "rocksalt", a=5.65)
    salt.set_cell(Cell.fromcellpar(salt.cell.cellpar()), scale_atoms=True)
    return salt


@pytest.fixture(scope="module")
def salt_points():
    return phonons_at_volumes(skewed_salt(), PairCalculator(like=0.0), 2, [0.995, 1.0, 1.005])


@pytest.fixture(scope="module")
def gruneisen(salt_points):
    return get_gruneisen(salt_points, mesh_length=20.0)


@pytest.fixture(scope="module")
def salt(salt_points):
    phonopy = salt_points[1].phonopy
    get_band_structure(phonopy)
    meshes.get_mesh(phonopy, length=20.0)
    meshes.get_densities(phonopy, length=15.0)
    return phonopy


@pytest.fixture(scope="module")
def heated():
    copper = bulk("Cu", "fcc", a=3.85)
    return get_quasi_harmonic(
        phonons_at_volumes(copper, PairCalculator(), 2, np.linspace(0.95, 1.08, 6)), t_max=300, t_step=50
    )


def inside(axes, x, y):
    """Whether points lie within the limits of axes, to rounding."""
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x, y = np.ravel(x)[np.isfinite(np.ravel(y))], np.ravel(y)[np.isfinite(np.ravel(y))]
    slack = 1e-6  # the noise of acoustic modes at Γ
    return np.all((x >= left - slack) & (x <= right + slack) & (y >= bottom - slack) & (y <= top + slack))


def curves_inside(axes):
    for line in axes.lines:
        if line.get_transform() == axes.transData and line.get_linestyle() != "None":
            assert inside(axes, line.get_xdata(), line.get_ydata()), (axes.get_ylabel(), line)


def test_special_points_of_the_gruneisen_picture_stand_where_the_bands_have_them(gruneisen):
    """Kills: distances by the transposed cell, as phonopy 4.10 measures them. Acoustic branches reach zero at Γ."""
    left = draw_gruneisen(gruneisen, 300.0).axes[0]
    (drawn,) = [c for c in left.collections if isinstance(c, LineCollection)]
    ends = np.concatenate(drawn.get_segments())
    ticks = dict(zip(left.get_xticks(), [t.get_text() for t in left.get_xticklabels()], strict=True))
    assert left.get_xlim() == pytest.approx((ends[:, 0].min(), ends[:, 0].max()), abs=1e-9)
    assert inside(left, ends[:, 0], ends[:, 1] + 1e-6)
    at_zero = [x for x in ticks if np.abs(ends[np.abs(ends[:, 0] - x) < 1e-6, 1]).min() < 1e-3]
    assert at_zero == [x for x, name in ticks.items() if "Gamma" in name]
    assert len(at_zero) == 2


def test_gruneisen_files_and_bands_measure_alike_whatever_the_cell(gruneisen, tmp_path):
    """In 1/Å without 2π, as the band structure does."""
    inverse = np.linalg.inv(gruneisen.points[1].phonopy.primitive.cell)
    for qpoints, distances in zip(gruneisen.bands.get_qpoints(), gruneisen.bands.get_distances(), strict=True):
        steps = np.linalg.norm(np.diff(qpoints, axis=0) @ inverse.T, axis=1)
        np.testing.assert_allclose(np.diff(distances), steps, atol=1e-10)
    gruneisen.bands.write_yaml(filename=tmp_path / "gruneisen.yaml")
    lines = (tmp_path / "gruneisen.yaml").read_text().splitlines()
    written = np.array([float(line.split()[1]) for line in lines if line.strip().startswith("distance:")])
    expected = np.concatenate([d - d[0] for d in gruneisen.bands.get_distances()])
    np.testing.assert_allclose(written, expected, atol=1e-6)


def test_modes_outside_the_gruneisen_panel_are_counted(gruneisen):
    right = draw_gruneisen(gruneisen, 300.0).axes[1]
    low, high = right.get_ylim()
    gamma = gruneisen.gamma[np.isfinite(gruneisen.gamma)]
    n_beyond = np.count_nonzero((gamma < low) | (gamma > high))
    said = [text.get_text() for text in right.texts]
    assert said == ([] if n_beyond == 0 else [t for t in said if t.startswith(f"{n_beyond} modes")])


def test_ticks_of_the_band_picture_stand_at_the_ends_of_the_segments(salt):
    bands = pictures.bands_and_dos(salt).axes[0]
    ends = np.unique(np.round([x for d in salt.band_structure.distances for x in (d[0], d[-1])], 9))
    np.testing.assert_allclose(bands.get_xticks(), ends, atol=1e-8)
    curves_inside(bands)


def test_the_band_picture_says_whether_it_is_exact(salt):
    for exact, said in ((True, "bands exact"), (False, "bands interpolated from 16 atoms"), (None, "")):
        assert pictures.bands_and_dos(salt, bands_exact=exact).axes[0].get_title(loc="right") == said
    assert pictures.bands_and_dos(salt, unit="cm-1").axes[0].get_ylabel() == "Frequency (cm⁻¹)"


def test_densities_beside_exact_bands_say_what_they_are_off_by(salt):
    right = pictures.bands_and_dos(salt, unit="meV", bands_exact=True, densities_error_thz=0.5).axes[1]
    assert right.get_title(loc="right") == "interpolated, ±2.1 meV"  # 4.1357 meV is a THz
    assert pictures.bands_and_dos(salt, bands_exact=True).axes[1].get_title(loc="right") == ""


def test_peaks_of_the_densities_that_do_not_fit_are_named(salt):
    """A mode at one frequency for all q. Kills: a spike that is cut without a word."""
    fits = pictures.bands_and_dos(salt).axes[1]
    assert not [text for text in fits.texts if text.get_text() != "imaginary"]
    curves_inside(fits)
    projected = salt.projected_dos
    spiky = np.array(projected.projected_dos)
    spiky[0, 150] = 50 * spiky.sum(axis=0).max()

    class Spiky:
        frequency_points, projected_dos = projected.frequency_points, spiky

    class Holder:
        band_structure, projected_dos, primitive, supercell = salt.band_structure, Spiky, salt.primitive, salt.supercell
        calculator, unit_conversion_factor = salt.calculator, salt.unit_conversion_factor

    dos = pictures.bands_and_dos(Holder).axes[1]
    peak = spiky.sum(axis=0)[150]
    assert dos.get_xlim()[1] < peak
    assert [text.get_text() for text in dos.texts] == [f"{peak:.3g}"]
    assert dos.texts[0].xy == (dos.get_xlim()[1], projected.frequency_points[150])


def test_the_quasi_harmonic_picture_holds_its_curves_and_marks_doubtful_rows(heated):
    figure = draw_quasi_harmonic(heated, "Cu")
    assert len(figure.axes) == 6
    for axes in figure.axes:
        curves_inside(axes)
    doubtful = np.array([bool(verdict.doubts) for verdict in heated.verdicts])
    solid, dotted = figure.axes[1].lines
    assert dotted.get_linestyle() == ":"
    np.testing.assert_array_equal(np.isfinite(solid.get_ydata()), ~doubtful)
    assert np.all(np.isfinite(dotted.get_ydata())[doubtful])
    assert ("dotted" in figure.axes[2].get_title(loc="right")) == doubtful.any()


def test_sticks_stand_at_their_wavenumbers_and_claim_no_intensities():
    modes, _ = stationary_modes(molecule("H2O"), PhonaxCalculator("phonax-molecules"))
    figure = draw_sticks(modes)
    assert figure.axes[0].get_title(loc="right") == NO_INTENSITIES
    for axes in figure.axes:
        assert len(axes.get_yticks()) == 0
        curves_inside(axes)
    sticks = [line for line in figure.axes[0].lines if list(line.get_ydata()) == [0, 1.0]]
    np.testing.assert_allclose(sorted(line.get_xdata()[0] for line in sticks), modes.wavenumbers, rtol=1e-12)


def test_the_history_of_a_training_counts_whole_epochs(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(history, "save_figure", lambda figure, path, dpi: kept.append((figure, path)))
    rows = [{"epoch": i, "loss": 1 / i, "valid_loss": 2 / i, "energy_mae": 0.1 / i} for i in range(1, 6)]
    history.draw(rows, tmp_path / history.FIGURE)
    ((figure, path),) = kept
    assert path == tmp_path / "history.png"
    for axes in figure.axes:
        curves_inside(axes)
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
    errors = figure.axes[1]
    np.testing.assert_allclose(errors.lines[0].get_ydata(), [100 / i for i in range(1, 6)])
    assert errors.get_legend().get_texts()[0].get_text() == "energy [meV/atom]"


@pytest.mark.parametrize(
    ("name", "written"),
    [("a.png", ["a.png"]), ("a.pdf", ["a.pdf"]), ("a.PNG", ["a.PNG"]), ("a.svg", ["a.svg"]),
     ("a", ["a.png", "a.pdf"]), ("Si-0.5", ["Si-0.5.png", "Si-0.5.pdf"])],
)  # fmt: skip
def test_a_figure_is_written_under_the_name_that_was_given(salt, tmp_path, name, written):
    assert drawing.save_figure(pictures.bands_and_dos(salt), tmp_path / name) == [str(tmp_path / w) for w in written]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)
    heads = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xm"}
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:4] == heads[path.suffix[1:].lower()]


def test_a_figure_that_cannot_be_written_leaves_nothing_behind(salt, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="No space"):
        drawing.save_figure(pictures.bands_and_dos(salt), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("given", "printed"),
    [("O2Si", "SiO2"), ("ClNa", "NaCl"), ("O3TiBa", "BaTiO3"), ("As2Ga2", "GaAs"), ("O6Al4", "Al2O3"),
     ("S2Mo", "MoS2"), ("P4FeSi4", "FeSi4P4"), ("O3LiNb", "LiNbO3"), ("NB", "BN"), ("OH2", "H2O"), ("CSi", "SiC"),
     ("O4Zr2", "ZrO2"), ("Si8", "Si")],
)  # fmt: skip
def test_formulas_of_crystals_begin_with_what_is_more_electropositive(given, printed):
    assert crystal_formula(Atoms(given)) == printed


def test_formulas_count_the_cell_where_asked_and_are_hills_for_molecules():
    assert crystal_formula(Atoms("O4Zr2"), reduced=False) == "Zr2O4"
    assert molecular_formula(molecule("CH3CH2OH")) == formula(molecule("CH3CH2OH")) == "C2H6O"
    assert formula(bulk("NaCl", "rocksalt", a=5.6, cubic=True)) == "Na4Cl4"
    assert pictures.crystal_title("SiO2", "P3_221", "a$b").startswith(r"$\mathrm{Si}\mathrm{O}_{2}$    $P3_{2}21$")


def test_bands_and_densities_are_drawn_on_axes_that_are_given(salt):
    """Kills: a unit left out, a second object that wipes the first, an entry of the legend for every branch."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert pictures.draw_bands(salt, left, unit="cm-1", color="tab:green", label="pairs") is left
    pictures.draw_bands(salt, left, unit="cm-1", label="once more")
    assert [text.get_text() for text in left.legend().get_texts()] == ["pairs", "once more"]
    first = [line for line in left.get_lines() if line.get_color() == "tab:green"]
    drawn = np.concatenate([line.get_ydata() for line in first])
    bands = np.concatenate([np.ravel(f.T) for f in salt.band_structure.frequencies])
    np.testing.assert_allclose(np.sort(drawn), np.sort(bands) * (1e10 / 299792458), rtol=1e-10)
    pictures.draw_densities(salt, right)
    total = next(line for line in right.get_lines() if line.get_label() == "total")
    np.testing.assert_allclose(total.get_xdata(), np.sum(salt.projected_dos.projected_dos, axis=0))


def test_what_has_not_been_computed_is_not_drawn():
    bare = get_phonopy(skewed_salt(), PairCalculator(like=0.0), 2)
    ax = Figure().subplots()
    with pytest.raises(InputError, match="has no bands"):
        pictures.draw_bands(bare, ax)
    with pytest.raises(InputError, match="no projected densities"):
        pictures.draw_densities(bare, ax)
    with pytest.raises(InputError, match="has no bands"):
        pictures.bands_and_dos(bare)
    get_band_structure(bare, "GX", spacing=1.0)
    with pytest.raises(InputError, match="no projected densities"):
        pictures.bands_and_dos(bare)


def test_bands_along_another_path_are_not_drawn_over_those_that_are_there(salt):
    ax = Figure().subplots()
    pictures.draw_bands(salt, ax)
    other = get_phonopy(bulk("NaCl", "rocksalt", a=4.5), PairCalculator(like=0.0), 2)
    get_band_structure(other)
    with pytest.raises(InputError, match="the axes hold bands along"):
        pictures.draw_bands(other, ax)
    with pytest.raises(InputError, match="is a Figure") as caught:
        pictures.draw_bands(Figure(), ax)
    assert "attribute `phonopy` of a study" in caught.value.remedy
