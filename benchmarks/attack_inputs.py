"""Valid inputs of every kind that the package reads, small and quick: what the attack then damages."""

import contextlib
import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

STRUCTURES, MODELS, FRAMES, BORN, CHECKPOINT = "structures", "models", "frames", "born", "checkpoint"
SPECTRA = "spectra"
NUMBERS = "numbers.json"
REPOSITORY = Path(__file__).resolve().parents[1]
# Written by ASE, so that each reader of theirs is met; (format, name of the file).
FORMATS = (
    *(("vasp", "{}.vasp"), ("cif", "{}.cif"), ("extxyz", "{}.extxyz"), ("json", "{}.json"), ("traj", "{}.traj")),
    *(("xsf", "{}.xsf"), ("res", "{}.res"), ("cube", "{}.cube"), ("gen", "{}.gen"), ("aims", "{}.in"), ("db", "{}.db")),
    *(("xyz", "{}.xyz"), ("espresso-in", "{}.pwi"), ("lammps-data", "{}.lmp"), ("castep-cell", "{}.cell")),
    *(
        ("netcdftrajectory", "{}.nc"),
        ("pdb", "{}.pdb"),
        ("v-sim", "{}.ascii"),
        ("dftb", "{}.dftb"),
        ("turbomole", "coord"),
    ),
)
BORN_NACL = "# factor by phonopy\n2.4 0 0 0 2.4 0 0 0 2.4\n1.08 0 0 0 1.08 0 0 0 1.08\n-1.08 0 0 0 -1.08 0 0 0 -1.08\n"
_JCAMP = (
    "##TITLE= a band\n##JCAMP-DX= 4.24\n##DATA TYPE= INFRARED SPECTRUM\n##XUNITS= 1/CM\n##YUNITS= {unit}\n"
    "##FIRSTX= 400\n##LASTX= 418\n##XFACTOR= 1\n##YFACTOR= 0.05\n##NPOINTS= 10\n##XYDATA= {data}\n##END=\n"
)
SPECTRUM_FILES = {
    "plain.jdx": _JCAMP.format(unit="ABSORBANCE", data="(X++(Y..Y))\n400 1 2 3 3 2\n410 1 0 -1 -2 -3"),
    "squeezed.jdx": _JCAMP.format(unit="TRANSMITTANCE", data="(X++(Y..Y))\n400ABCTBA\n412@ABC"),
    "differences.jdx": _JCAMP.format(unit="ABSORBANCE", data="(X++(Y..Y))\n400AJT%j\n408BjW"),
    "pairs.jdx": _JCAMP.format(
        unit="ABSORBANCE", data="(XY..XY)\n" + "\n".join(f"{400 + 2 * k}, {k}" for k in range(10))
    ),
    "table.csv": "wavenumber (1/cm);transmittance\n400;0.9\n500;0.1\n600;0.95\n",
}
TRAIN: dict[str, Any] = {
    "data": {"train": ["store.h5", "frames.extxyz"], "valid": 0.25, "repeat": {"frames.extxyz": 2}},
    "network": {
        **{"architecture": "nequip", "cutoff": 3.2, "hidden_irreps": "2x0e + 1x1o", "n_layers": 1, "l_max": 1},
        **{"n_basis": 3, "radial_sizes": [4], "embedding": 2, "elements": ["Si"], "energies": {"Si": -1.0}},
    },
    "loss": {"energy": 0.1, "forces": 1.0, "stress": 0.1, "curvature": 10.0, "scales": {"energy": 0.1}},
    "optimiser": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-2, "ema": 0.99, "accumulate": 1},
    "run": {"output": "out", "name": "attacked", "precision": "float32", "seed": 0, "n_shapes": 1},
}
PHONONS: dict[str, Any] = {
    **{"supercell": [1, 1, 1], "no_relax": True, "mesh": [2, 2, 2], "temperatures": [0, 300, 100], "unit": "THz"},
    **{"path": "GX,KG", "symprec": 0.001, "irreps_q": [[0.5, 0, 0.5]], "output": "out", "quiet": True},
}
RECIPE: dict[str, Any] = {
    **{"relax": False, "fmax": 0.01, "smax": 0.001, "max_steps": 2, "max_atoms": 4, "seed": 0},
    "perturbations": [{"waves": 0}, {"positions": 0.01, "cell": 0.01, "count": 1, "waves": 0, "repeat": 1}],
}


def prepare(folder: Path, shared: Path | None, training: bool = False) -> None:
    """Write them all.

    Args:
        folder: becomes one folder for each kind, and a file of the numbers that sealed files give.
        shared: reference data and weights, if there are any.
        training: with a checkpoint, which takes as long as all the others.
    """
    for name in (STRUCTURES, MODELS, FRAMES, BORN, SPECTRA):
        (folder / name).mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _structures(folder / STRUCTURES, shared)
        _models(folder / MODELS, shared)
        _frames(folder)
        numbers = {path.name: model_numbers(path) for path in sorted((folder / MODELS).iterdir())}
        numbers["store.h5"] = frame_numbers(folder / FRAMES / "store.h5")
    (folder / BORN / "BORN").write_text(BORN_NACL, encoding="utf-8")
    for name, text in SPECTRUM_FILES.items():
        (folder / SPECTRA / name).write_text(text, encoding="utf-8")
    if training:
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
            numbers["checkpoint.h5"] = _checkpoint(folder)
    (folder / NUMBERS).write_text(json.dumps(numbers), encoding="utf-8")


def crystals() -> dict[str, Any]:
    """Silicon, rock salt, and a molecule in a box."""
    from ase.build import bulk, molecule

    water = molecule("H2O", vacuum=4.0, pbc=True)
    return {"Si": bulk("Si", a=5.43), "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True), "H2O": water}


def _structures(folder: Path, shared: Path | None) -> None:
    from ase.io import read, write

    for path in sorted((REPOSITORY / "examples/structures").iterdir()):
        if len(read(path)) <= 16:
            shutil.copy(path, folder)
    if shared is not None and (shared / "cases").is_dir():
        for path in sorted((shared / "cases").iterdir()):
            if path.suffix in (".cif", ".vasp", ".extxyz"):
                shutil.copyfile(path, folder / path.name)
    for name, atoms in crystals().items():
        for kind, pattern in FORMATS:
            path = folder / pattern.format(name)
            # Some formats lack a writer, or a library; then there is one kind of file less.
            try:
                write(path, atoms, format=kind)
                whole = len(read(path)) == len(atoms)
            except BaseException:
                whole = False
            if not whole:
                path.unlink(missing_ok=True)
    write(folder / "POSCAR", crystals()["Si"], format="vasp")
    write(folder / "many.extxyz", [crystals()["Si"]] * 3)


def tiny_potential(elements: int = 60) -> Any:
    """A network with random weights that compiles in a second."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from ase_phonax.derivatives.compiled.exchange import Exchange
    from ase_phonax.models.architectures import get_network, make_potential
    from ase_phonax.models.nequip.config import NequIPConfig

    config = NequIPConfig(
        n_species=elements,
        cutoff=3.2,
        hidden_irreps="2x0e + 2x1o",
        n_layers=1,
        l_max=1,
        n_basis=3,
        radial_sizes=(4,),
        embedding=3,
        average_neighbors=6.0,
    )
    with jax.enable_x64(True):
        exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
        start = jax.jit(get_network("nequip", config).init)
        parameters = start(jax.random.PRNGKey(0), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
    numbers = tuple(range(1, elements + 1))
    return make_potential("nequip", config, jax.tree.map(np.asarray, parameters), numbers, "tiny")


def _models(folder: Path, shared: Path | None) -> None:
    from ase_phonax import load_model, save_model

    save_model(tiny_potential(), folder / "tiny.h5")
    small = "odd-irreps"  # C and Si, converted from PyTorch
    save_model(load_model(REPOSITORY / f"tests/reference/mace/{small}.h5"), folder / "mace.h5")
    shutil.copy(REPOSITORY / "models/phonax-small.h5", folder / "shipped.h5")
    if shared is not None:
        for path in sorted((shared / "weights").glob("*-pft.nqx")):
            shutil.copyfile(path, folder / path.name)


def model_numbers(model: Any) -> str:
    """Everything that a model says, its provenance included, as one sha256."""
    from ase_phonax import load_model

    potential = load_model(model)
    rest = (potential.fingerprint(), potential.config, potential.numbers, potential.name, potential.provenance)
    return hashlib.sha256(repr(rest).encode()).hexdigest()


def frame_numbers(path: Path) -> str:
    """Everything that a file of frames says."""
    from ase_phonax import read_frames
    from ase_phonax.training.labels.frames import fingerprint

    return fingerprint(read_frames(path))


def _frames(folder: Path) -> None:
    """Silicon labelled by a spring model, in each of the formats that labels come in."""
    import numpy as np
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.vibrations import VibrationsData

    from ase_phonax import PhonaxCalculator, get_phonopy, read_frames, save_frames

    place, rng, calc = folder / FRAMES, np.random.default_rng(0), PhonaxCalculator(folder / MODELS / "tiny.h5")
    images = []
    for _ in range(4):
        atoms = crystals()["Si"]
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        atoms.calc = calc
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        images.append(atoms)
    write(place / "frames.extxyz", images)
    with contextlib.suppress(Exception):
        write(place / "frames.db", images)
    write(place / "frames.traj", images)
    phonopy = get_phonopy(crystals()["Si"], calc, [1, 1, 1])
    phonopy.save(place / "phonopy_params.yaml", settings={"force_constants": True})
    molecule = crystals()["Si"]
    molecule.pbc = False
    VibrationsData(molecule, np.eye(6).reshape(2, 3, 2, 3)).write(place / "vibrations.json")
    save_frames(read_frames(place / "frames.extxyz"), place / "store.h5")


def _checkpoint(folder: Path) -> str:
    """One epoch of training in a folder of its own; the numbers of its checkpoint."""
    import yaml
    from attack_calls import command, cut

    place = folder / CHECKPOINT
    place.mkdir()
    for name in TRAIN["data"]["train"]:
        shutil.copy(folder / FRAMES / name, place)
    (place / "config.yaml").write_text(yaml.safe_dump(TRAIN), encoding="utf-8")
    argv, numbers = ("train", str(place / "config.yaml"), "--quiet"), list[str]()
    if command(*argv)() or cut(command(*argv, "--resume"), numbers)():
        raise RuntimeError("one epoch of training fails")
    return numbers[0]
