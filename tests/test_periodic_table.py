"""Elements in their places, and first parameters that are alike where elements are."""

import numpy as np
import pytest
from ase.data import atomic_numbers

from ase_phonax.structures.periodic_table import likeness, place
from ase_phonax.training.config import NetworkConfig, TrainingConfig
from ase_phonax.training.setup import new_potential

from .labelled import moved_clusters


def places(symbols: str):
    return [place(atomic_numbers[s]) for s in symbols.split()]


SYMBOLS = ["H", "Li", "Na", "K", "Mg", "Zn", "Ti", "Zr", "C", "Si", "O", "S", "F", "Cl"]
COLUMNS = (
    *("H Li Na K Rb Cs Fr", "Be Mg Ca Sr Ba", "Sc Y La Lu Ac", "Ti Zr Hf Rf", "Zn Cd Hg", "B Al Ga In Tl"),
    *("C Si Ge Sn Pb", "O S Se Te Po", "F Cl Br I At", "He Ne Ar Kr Xe Rn Og"),
)


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_the_periodic_table_stand_in_line(column):
    periods, positions = zip(*places(column), strict=True)
    assert len(set(positions)) == 1
    assert sorted(periods) == list(periods)


def test_a_period_runs_from_alkali_metal_to_noble_gas():
    periods, positions = zip(*(place(z) for z in range(37, 55)), strict=True)
    assert set(periods) == {5}
    assert np.all(np.diff(positions) > 0)


def test_rows_of_similar_elements_are_alike_and_distributed_as_before():
    root = likeness(tuple(atomic_numbers[s] for s in SYMBOLS), 0.9)
    correlation = root @ root.T
    np.testing.assert_allclose(np.diag(correlation), 1, rtol=1e-12)
    of = {s: k for k, s in enumerate(SYMBOLS)}

    def alike(a, b):
        return correlation[of[a], of[b]]

    assert alike("Na", "K") > alike("Li", "K") > 0.5 > alike("Na", "Ti") > alike("Na", "Cl")
    assert alike("Cl", "F") > 0.7
    assert alike("O", "S") > alike("C", "S")
    assert alike("Na", "Cl") < 1e-3
    np.testing.assert_allclose(likeness((3, 11), 0.0), np.eye(2), atol=1e-15)


@pytest.mark.parametrize("architecture", ["nequip", "mace"])
def test_a_network_starts_with_elements_alike(architecture):
    """All that an element has of its own, of other sizes than before by chance alone; what is shared is untouched."""
    wide = {"hidden_irreps": "64x0e + 64x1o", "n_layers": 2, "l_max": 1}
    own = {"radial_elements": True, "embedding": 64} if architecture == "nequip" else {"correlation": (2,)}

    def start(alike):
        network = NetworkConfig(architecture, tuple(SYMBOLS), alike=alike, energies="zero", options=wide | own)
        found = new_potential(TrainingConfig(network=network), moved_clusters(2))
        return found.numbers, {f"{m}/{k}": x for m, t in found.parameters.items() for k, x in t.items()}

    (numbers, apart), (_, together) = start(0.0), start(0.9)
    changed = {name for name, x in apart.items() if not np.array_equal(x, together[name])}
    rows = {name for name, x in apart.items() if x.shape[:1] == (len(SYMBOLS),) and x.ndim > 1}
    assert changed == rows >= {"~/embedding"}
    na, k, cl = (numbers.index(atomic_numbers[s]) for s in ("Na", "K", "Cl"))
    for name in rows:
        x = together[name].reshape(len(SYMBOLS), -1)
        correlation = np.corrcoef(x)
        assert correlation[na, k] > 0.5 > abs(correlation[na, cl]), name
        assert 0.8 < np.linalg.norm(x) / np.linalg.norm(apart[name]) < 1.25, name
