"""Shared structures, potentials and the reference data."""

import gc
import importlib.util
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ase_phonax.cli import progress
from ase_phonax.derivatives.compiled.exchange import Exchange
from ase_phonax.models.architectures import get_network, make_potential
from ase_phonax.models.nequip.config import NequIPConfig

# Tables are as wide as the terminal, and tests read them.
os.environ["COLUMNS"] = "100"

# PyTorch is no dependency, not even of the tests: what it says is frozen in tests/reference.
_PEERS = {"test_mace_torch.py": "mace", "test_sevennet_torch.py": "sevenn", "test_nequip_torch.py": "nequip"}
collect_ignore = [file for file, peer in _PEERS.items() if not all(map(importlib.util.find_spec, ("torch", peer)))]


# Linux gives a process 65,530 mappings of memory, and each compiled function takes about ten. Where they end, XLA
# dies of a segmentation fault in whatever test comes next.
_MAPPINGS, _MOST_MAPPINGS = Path("/proc/self/maps"), 20_000


@pytest.fixture(autouse=True, scope="module")
def _room_for_compiled_functions():
    """Let compiled functions go at the end of a file of tests, where there are many."""
    yield
    if _MAPPINGS.exists() and _MAPPINGS.read_bytes().count(b"\n") > _MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def _no_word_of_waiting(monkeypatch):
    """A busy machine must not add lines to what tests read on stderr; tests/test_waiting.py sets its own times."""
    monkeypatch.setattr(progress, "SILENT_SECONDS", 3600.0)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of reference data and public weights named by PHONAX_DATA."""
    folder = os.environ.get("PHONAX_DATA")
    if not folder:
        pytest.skip("PHONAX_DATA is not set: the reference data and public weights are not at hand")
    return Path(folder)


def random_potential(config: NequIPConfig, numbers: tuple[int, ...], seed: int = 0):
    """An untrained potential: float64 weights from a fixed seed."""
    network = get_network("nequip", config)
    with jax.enable_x64(True):
        exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
        # Compiled as one: op by op Haiku takes ten seconds.
        parameters = jax.jit(network.init)(jax.random.PRNGKey(seed), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
    return make_potential("nequip", config, jax.tree.map(np.asarray, parameters), numbers, "untrained")


SMALL = NequIPConfig(
    n_species=4,
    cutoff=3.6,
    hidden_irreps="6x0e + 4x0o + 4x1o + 3x1e + 2x2e",
    n_layers=2,
    l_max=2,
    n_basis=5,
    radial_sizes=(16,),
    embedding=6,
    average_neighbors=12.0,
)


TINY = NequIPConfig(
    n_species=4,
    cutoff=3.2,
    hidden_irreps="4x0e + 4x1o",
    n_layers=2,
    l_max=1,
    n_basis=4,
    radial_sizes=(8,),
    embedding=4,
    average_neighbors=6.0,
)


@pytest.fixture(scope="session")
def tiny():
    """The smallest network in which every kind of arithmetic is at work, for what is differentiated many times."""
    return random_potential(TINY, (1, 6, 8, 14))


@pytest.fixture(scope="session")
def untrained():
    """A small NequIP with random weights for H, C, O, Si: weights per species (odd irreps at work: test_networks)."""
    return random_potential(SMALL, (1, 6, 8, 14))
