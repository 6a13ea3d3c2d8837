"""The package stays cheap to import: heavy packages come with the first name or command that needs them."""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ase_phonax

HEAVY = {"ase", "e3nn_jax", "h5py", "haiku", "jax", "jraph", "matplotlib", "numpy", "phonopy", "scipy", "spglib"}


def heavy_modules_after(statements: str) -> set[str]:
    """Names of HEAVY packages that a fresh interpreter has loaded after the statements."""
    script = f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_the_package_loads_no_heavy_package():
    assert heavy_modules_after("import ase_phonax") == set()


def test_asking_for_the_version_or_the_public_names_loads_no_heavy_package():
    assert heavy_modules_after("import ase_phonax; dir(ase_phonax); ase_phonax.__version__") == set()


def test_help_on_the_command_line_loads_no_heavy_package():
    run_help = """
import runpy, sys
sys.argv = ["ase-phonax", "--help"]
try:
    runpy.run_module("ase_phonax", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""
    assert heavy_modules_after(run_help) == set()


@pytest.mark.parametrize("name", ase_phonax.__all__)
def test_every_public_name_exists_and_is_listed(name):
    assert getattr(ase_phonax, name) is not None
    assert name in dir(ase_phonax)


def test_public_names_come_from_the_room_that_defines_them():
    from ase_phonax.base import errors
    from ase_phonax.models import potential

    assert ase_phonax.PhonaxError is errors.PhonaxError
    assert ase_phonax.Potential is potential.Potential


def test_type_checkers_see_the_same_public_names_as_python():
    """The list of imports that type checkers read, and the table by which names are imported when first used."""
    imports = {
        (alias.asname, node.module)
        for node in ast.walk(ast.parse(Path(ase_phonax.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.asname == alias.name  # "import x as x": for whoever imports this package, too
    }
    assert imports == set(ase_phonax._HOMES.items())
    assert set(ase_phonax.__all__) == {name for name, _ in imports} | {"__version__"}


def test_no_public_name_is_that_of_a_room():
    # Importing a room sets its name in the package: the function of that name would be the module, depending on
    # what was imported before.
    rooms = {room.name for room in pkgutil.iter_modules(ase_phonax.__path__)}
    assert rooms & set(ase_phonax.__all__) == set()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ase_phonax' has no attribute 'nonsense'"):
        _ = ase_phonax.nonsense


def test_a_network_is_evaluated_without_jax():
    # Importing and compiling took longer than computing: nothing of a phonon calculation needs them.
    statements = """
from ase.build import bulk
from ase_phonax import PhonaxCalculator, get_phonopy
atoms = bulk("NaCl", "rocksalt", a=5.6)
atoms.calc = PhonaxCalculator("phonax-small")
atoms.get_stress()
get_phonopy(atoms, atoms.calc, 2)
"""
    assert heavy_modules_after(statements) & {"jax", "haiku", "jraph", "e3nn_jax"} == set()
