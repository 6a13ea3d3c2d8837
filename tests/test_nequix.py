"""The Nequix reader against the `nequix` package: numbers frozen by tests/reference/make_nequix_reference.py."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ase_phonax import PhonaxCalculator

REFERENCE = json.loads((Path(__file__).parent / "reference" / "nequix.json").read_text())
CASES = [(model, name) for model, results in REFERENCE["results"].items() for name in results]
# float32: rounding of sums over a few hundred neighbours. float64: the same network function, cast up.
TOLERANCE = {"float32": (1e-6, 1e-5), "float64": (1e-10, 1e-10)}


@pytest.fixture(scope="module")
def calculators(data):
    made = {}

    def get(model, dtype):
        path = data / "weights" / f"{model}.nqx"
        if model not in made:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert digest == REFERENCE["weights_sha256"][model], "other weights than the reference was made with"
        return made.setdefault((model, dtype), PhonaxCalculator(path, dtype=dtype))

    return get


@pytest.mark.data
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_energies_forces_stress_equal_those_of_nequix(calculators, dtype):
    worst = {"energy": 0.0, "forces": 0.0, "stress": 0.0}
    energy_tolerance, slope_tolerance = TOLERANCE[dtype]
    for model, name in CASES:
        expected = REFERENCE["results"][model][name][dtype]
        if expected.get("package_is_wrong"):
            # The package drops the shifts of a slab in float32; its float64 numbers come from its network itself.
            expected = REFERENCE["results"][model][name]["float64"]
        atoms = Atoms(**REFERENCE["structures"][name], calculator=calculators(model, dtype))
        errors = {"energy": abs(atoms.get_potential_energy() / expected["energy"] - 1)}
        for key in ("forces", "stress"):
            if expected.get(key) is not None and (key == "forces" or atoms.pbc.all()):
                value = atoms.get_forces() if key == "forces" else atoms.get_stress()
                largest = np.abs(expected[key]).max()
                errors[key] = float(np.abs(value - expected[key]).max() / largest) if largest > 1e-6 else 0.0
        print(model, name, dtype, errors)
        worst = {key: max(worst[key], errors.get(key, 0.0)) for key in worst}
    assert worst["energy"] <= energy_tolerance
    assert worst["forces"] <= slope_tolerance
    assert worst["stress"] <= slope_tolerance
