"""Named models: those that ship with the package and public ones to download, each with a card."""

import difflib
import os
import re
import reprlib
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from ..base.caches import cache_folder
from ..base.errors import ModelError, UnstableWarning, why_unread
from ..base.input_files import parse_json, require_file
from ..base.progress import Progress
from .downloads import fetch, recorded_sha256, sha256_of


def model_folders(package: Path) -> tuple[Path, ...]:
    """The folder of cards: inside an installed package, or beside the package in a checkout of this project.

    Another folder of that name beside an installed package is somebody else's.
    """
    shipped = package / "models/shipped"
    if shipped.is_dir():
        return (shipped,)
    try:
        project = (package.parent / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    return (package.parent / "models",) if 'name = "ase-phonax"' in project.splitlines() else ()


MODEL_FOLDERS = model_folders(Path(__file__).resolve().parents[1])
DEFAULT = "phonax-small"
PURPOSES = CRYSTALS, MOLECULES, BOTH, CHARGES, DENSITIES = (
    "crystals",
    "molecules",
    "both",
    "charges",
    "densities",
)  # what a model was made for
TO_CONVERT = ".model"  # PyTorch files, which are pickles
FOR_CHARGES = "phonax-polar"  # what Born charges are asked of
FOR_DENSITIES = "phonax-dos"  # what `ase-phonax dos` takes unless told
FOR_OUTPUTS = {
    "charges": FOR_CHARGES,
    "log_susceptibility": FOR_CHARGES,
    "density_of_states": FOR_DENSITIES,
}  # output -> the model that ships for it
FOR_MOLECULES = "phonax-molecules"  # what `ase-phonax molecule` takes unless told


@dataclass(frozen=True)
class ModelCard:
    """What is known of a named model, read from the JSON beside its file or in its place.

    Attributes:
        name: what `PhonaxCalculator` and `--model` take.
        elements: chemical symbols.
        level_of_theory: what its energies imitate.
        n_parameters: how many numbers it holds; 0 where that is not known.
        training_set: what it was trained on.
        licence: of the weights.
        summary: one line on what it is for, and not for.
        errors: measured ones, one line.
        location: path of the file, there or not.
        url: https address of its file; empty for those that ship.
        sha256: of that file; empty where its source states none.
        n_bytes: size of the file; 0 where its source states none.
        citation: what to cite.
        purpose: what it was made for: energies of "crystals", "molecules" or "both", or no energies but "charges" or
            "densities". Others are not proposed for a structure.
        dipole_width: where its reach ends, for the interaction of dipoles (`phonons.polar.widths`) [1/Å]; 0
            where nobody has measured it.
        n_members: how many networks answer together (`committee`); the others lie beside it as NAME-2.h5, ...
        package_file: where its file lies inside a Python package of others, if that is installed: "sevenn/..."; empty
            for none.
    """

    name: str
    elements: tuple[str, ...]
    level_of_theory: str
    n_parameters: int
    training_set: str
    licence: str
    summary: str
    errors: str
    location: str
    url: str = ""
    sha256: str = ""
    n_bytes: int = 0
    citation: str = ""
    purpose: str = BOTH
    dipole_width: float = 0.0
    n_members: int = 1
    package_file: str = ""

    @property
    def size(self) -> str:
        """Size of the file in megabytes, where it is known."""
        return f"{self.n_bytes / 1e6:.1f} MB" if self.n_bytes else "size not stated"

    @property
    def state(self) -> str:
        """Where the file is: "shipped", "cached", or "to be downloaded"."""
        if not self.url:
            return "shipped"
        return "cached" if Path(self.location).is_file() else "to be downloaded"


def list_models() -> list[ModelCard]:
    """Cards of the named models: the default first, other shipped ones, then those to download, by name."""
    cards: dict[str, ModelCard] = {}
    for folder in MODEL_FOLDERS:
        for path in sorted(folder.glob("*.json")):
            card = _read_card(path)
            cards.setdefault(card.name, card)
    first = {DEFAULT: -2, FOR_MOLECULES: -1}
    return sorted(cards.values(), key=lambda card: (first.get(card.name, 0), bool(card.url), card.name))


def models_with(numbers: set[int], periodic: bool) -> list[str]:
    """Names of models for a structure, in the order of `list_models`; none to be converted first.

    Args:
        numbers: atomic numbers, all of which they know.
        periodic: whether it is a crystal or a layer, and not a molecule.
    """
    wanted = {chemical_symbols[z] for z in numbers}
    purposes = (CRYSTALS if periodic else MOLECULES, BOTH)
    cards = [card for card in list_models() if not card.location.endswith(TO_CONVERT) and card.purpose in purposes]
    return [card.name for card in cards if wanted <= set(card.elements)]


_FIELDS = [key for key in ModelCard.__dataclass_fields__ if key != "location"]
_BESIDES = {"measured", "how_to_make_it_again"}  # of those that ship, for whoever reads the file
_KINDS = {  # all others are texts
    "elements": list,
    "n_parameters": int,
    "n_bytes": int,
    "measured": dict,
    "dipole_width": float,
    "n_members": int,
}


def _read_card(path: Path) -> ModelCard:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        _check_card(content, path.stem)
        fields = {key: content[key] for key in _FIELDS if key in content} | {"elements": tuple(content["elements"])}
        if url := fields.get("url"):
            inside = _in_package(fields.get("package_file", ""))
            location = inside or cache_folder("models") / url.rsplit("/", 1)[1]
        else:
            location = path.with_suffix(".h5")
            fields["n_bytes"] = location.stat().st_size
        return ModelCard(**fields, location=str(location))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"the card {path} is no card of a model: {why_unread(error)}",
            "cards say what models there are, and what a download has to be",
            "install ase-phonax again; nothing else belongs into its folder of models",
        ) from error


def _in_package(file: str) -> Path | None:
    """A file inside an installed package, which is not imported; None where it is not there."""
    package, _, rest = file.partition("/")
    spec = find_spec(package) if package else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = (Path(folder) / rest for folder in folders)
    return next((path for path in found if path.is_file()), None)


def _check_card(content: Any, name: str) -> None:
    """Compare a card with the fields of `ModelCard`.

    Raises:
        ValueError, TypeError, KeyError: what is wrong with it.
    """
    if not isinstance(content, dict) or content["name"] != name:
        raise ValueError(f"its name is not {name!r}")
    if unknown := content.keys() - set(_FIELDS) - _BESIDES:
        raise ValueError(f"it has the unknown fields {', '.join(sorted(unknown))}")
    for key, value in content.items():
        if type(value) is not _KINDS.get(key, str) or (isinstance(value, int | float) and value < 0):
            raise ValueError(f"{key} is {reprlib.repr(value)}")
    elements, url, sha256 = content["elements"], content.get("url", ""), content.get("sha256", "")
    if not elements or not set(elements) <= set(chemical_symbols[1:]) or len(set(elements)) < len(elements):
        raise ValueError(f"elements are {reprlib.repr(elements)}")
    if url and not re.fullmatch(r"https://[^/\s@]+(/\S*)?/[\w-][\w.-]*\.(nqx|h5|model|pth)", url):
        raise ValueError(f"url is {url!r}, and not the https address of a model file")
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256 is {sha256!r}")
    if (purpose := content.get("purpose", "both")) not in PURPOSES:
        raise ValueError(f"purpose is {purpose!r}, and none of {', '.join(PURPOSES)}")


def find_card(name: str) -> ModelCard | None:
    """The card of a registered name."""
    return next((card for card in list_models() if card.name == name), None)


_WITHOUT_ENERGIES = {
    CHARGES: ("Born charges and dielectric tensors", "`--born predict` or predict_charges(atoms)"),
    DENSITIES: ("densities of states", "`ase-phonax dos` or predict_density(atoms)"),
}


def refuse_without_energies(name: str) -> None:
    """Refuse a model, by its name, that was made for charges or densities alone.

    Raises:
        ModelError: saying what it is for.
    """
    card = find_card(name)
    known = _WITHOUT_ENERGIES.get(card.purpose) if card is not None else None
    if known is not None:
        raise ModelError(
            f"the model {name!r} has no energies",
            f"it knows {known[0]} of crystals, and nothing else",
            f"take another model here (`ase-phonax models`), and this one by {known[1]}",
        )


def download_model(name: str, progress: Progress | None = None) -> Path:
    """Fetch a named model over https into the user's cache, unless it is there.

    Args:
        name: of `list_models`.
        progress: called with (done, total) bytes.

    Returns:
        Path of the file, its checksum verified where one is known.

    Raises:
        ModelError: no such name, no network, or another file than registered (`downloads.fetch`).
        OutputError: the cache cannot be written.
    """
    card = find_card(name)
    if card is None:
        raise unknown_model(name, "nothing can be downloaded")
    if card.url:
        fetch(card.url, card.sha256, card.n_bytes, Path(card.location), progress)
    return Path(card.location)


def find_model(model: str | os.PathLike) -> Path:
    """The file of a registered name, or the given path itself.

    Raises:
        ModelError: neither a name nor a file that can be read; a model that was not downloaded, or is damaged.
    """
    text = os.fspath(model)
    card = find_card(text)
    if card is None:
        is_path = os.path.lexists(text) or Path(text).suffix or Path(text).parent != Path(".")
        if not is_path:
            raise unknown_model(text, "without a model nothing can be computed")
        named = None if os.path.lexists(text) else find_card(Path(text).stem)
        if named:
            remedy = f"check the path, or name the registered {named.name}"
            raise ModelError(f"the model file {text} does not exist", "there is nothing to read", remedy)
        require_file(text, "the model file", "there is nothing to read", ModelError)
        return Path(text)
    path = Path(card.location)
    if card.url and not path.is_file():
        convert = path.suffix == TO_CONVERT
        raise ModelError(
            f"{card.name} is not on this machine",
            "nothing is downloaded unasked" + (", and a PyTorch model has to be converted once" if convert else ""),
            f"ase-phonax models get {card.name} ({card.size}, licence {card.licence}), or put {card.url} at {path}"
            + (f"; then ase-phonax convert {card.name} OUT.h5 --trust, and name OUT.h5 instead" if convert else ""),
        )
    if card.url:
        _check_downloaded(card, path)
    return path


def _check_downloaded(card: ModelCard, path: Path) -> None:
    """Compare a file in the cache with the registered sha256, or with the one recorded when it came."""
    digest, expected = sha256_of(path), card.sha256 or recorded_sha256(path)
    if not expected:
        warnings.warn(
            f"{path}, sha256 {digest}, is not known by any: its source states none, and `ase-phonax models get`, which "
            "records one, did not put it there. Nothing vouches for it; compare it with its source.",
            UnstableWarning,
            stacklevel=4,
        )
    elif digest != expected:
        raise ModelError(
            f"{path} has sha256 {digest}, not {expected}",
            f"it is not the file registered as {card.name}: damaged, or another version"
            if card.sha256
            else "it is not the file that was downloaded: damaged, or replaced since",
            f"ase-phonax models get {card.name} fetches it again",
        )


def check_registered(path: Path) -> None:
    """Warn of a file without a checksum of its own that is none of the registered ones, by their sha256."""
    digest, cards = sha256_of(path), list_models()
    if any(card.sha256 == digest for card in cards):
        return
    named = next((card for card in cards if card.sha256 and Path(card.location).name == path.name), None)
    differs = f"not the file registered as {named.name} (sha256 {named.sha256})" if named else "registered nowhere"
    warnings.warn(
        f"{path}, sha256 {digest}, is {differs}, and its format has no checksum: nothing vouches for its numbers. "
        "Compare it with its source; save_model writes it with a checksum, from what load_model reads.",
        UnstableWarning,
        stacklevel=4,
    )


def unknown_model(text: str, why: str) -> ModelError:
    """The error of a name that is none, with the nearest one."""
    names = [card.name for card in list_models()]
    near = difflib.get_close_matches(text, names, n=1)
    return ModelError(
        f"there is no model {text!r}: neither a registered name nor a file",
        why,
        (f"did you mean {near[0]!r}? " if near else "")
        + f"registered names: {', '.join(names) or 'none'}; or give the path of a model file",
    )
