"""What a PyTorch model would import and where, read from its file without opening it.

PyTorch's files are ZIP archives with a pickle inside, and opening a pickle runs whatever it names. Here nothing runs:
an archive that two readers could understand differently is refused, and so is a pickle whose names cannot be told for
certain or would run commands. This stops accidents and clumsy attacks. It is no protection against a file that was made
to harm: names that real models need lead to everything.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ...base.errors import ModelError, why_unread
from ...base.input_files import require_file

MODELS = ("MACE", "ScaleShiftMACE")
# What runs commands or code, or opens files and connections: a model has no use for it. Not complete, and cannot be:
# real models name builtins.getattr, from which everything is reached.
_HARMFUL_MODULES = {
    *("os", "posix", "nt", "sys", "subprocess", "_posixsubprocess", "commands", "pty", "shutil", "ctypes"),
    *("runpy", "importlib", "imp", "pkgutil", "code", "codeop", "timeit", "pdb", "bdb"),
    *("socket", "_socket", "ssl", "urllib", "http", "ftplib", "smtplib", "requests", "webbrowser", "asyncio"),
    *("multiprocessing", "pip", "pydoc", "doctest", "marshal", "pickle", "_pickle"),
}
_HARMFUL_BUILTINS = {"eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "breakpoint"}
_SILENT = {"PROTO", "FRAME"}  # opcodes that leave the stack alone


def check_unopened(path: Path) -> None:
    """Refuse what cannot be a MACE model or would run commands, by the names in its pickle alone.

    Raises:
        ModelError: no file, no archive of PyTorch, of something else, or with names that no model needs.
    """
    require_file(path, "the model file", "there is nothing to convert", ModelError)
    names, contents = _pickles(path)
    if any(name.endswith("/constants.pkl") for name in names):
        raise foreign(path, "it is compiled (TorchScript), as for LAMMPS, and has lost its structure")
    if not contents:
        raise foreign(path, "it is an archive, but not of PyTorch")
    try:
        imported = {pair for content in contents for pair in _imports(content)}
    except ValueError as error:
        raise foreign(path, f"what its pickle would import cannot be told for certain: {why_unread(error)}") from error
    if harmful := sorted(f"{module}.{name}" for module, name in imported if _is_harmful(module, name)):
        raise ModelError(
            f"{path} would import {', '.join(harmful)}",
            "no MACE model needs that, and it can do anything with your rights; the file was not opened. Only names "
            "are looked at, which is no protection against everything",
            "do not open it elsewhere either; get the model from those who published it",
        )
    classes = sorted(name for module, name in imported if module.startswith("mace.modules.models"))
    if not classes:
        kinds = sorted({module.split(".")[0] for module, _ in imported} - {"torch", "collections", "builtins"})
        what = f"objects of {', '.join(kinds)}" if kinds else "parameters without a model, as checkpoints of a run"
        raise foreign(path, f"it holds {what}, and no MACE model")
    if not set(classes) & set(MODELS):
        raise foreign(path, f"it holds the type {', '.join(classes)}, and not {' or '.join(MODELS)}")


def _is_harmful(module: str, name: str) -> bool:
    """Names may have dots, and modules are attributes of others: ("torch", "os.system") is os.system."""
    top, parts = module.split(".")[0], name.split(".")
    if top in ("builtins", "__builtin__") and parts[0] in _HARMFUL_BUILTINS:
        return True
    return not _HARMFUL_MODULES.isdisjoint((top, *parts))


def _pickles(path: Path) -> tuple[list[str], list[bytes]]:
    """Names in the archive, and the contents of its pickles.

    Raises:
        ModelError: no archive, or one that PyTorch might read otherwise than we do, or larger than its file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            # PyTorch looks at the first bytes: what precedes an archive it would open as a pickle.
            if start != b"PK\3\4" or not zipfile.is_zipfile(path):
                raise foreign(path, "it is no archive of PyTorch: damaged, cut off, or of another program")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            lower = [member.filename.lower() for member in members]  # PyTorch finds names in any case
            if members and (archive.comment or min(member.header_offset for member in members)):
                raise foreign(path, "its archive has something before or behind it")
            if len(set(lower)) < len(lower):
                raise foreign(path, "its archive has two members of one name")
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not stored or sum(member.file_size for member in members) > path.stat().st_size:
                raise foreign(path, "its archive is compressed, which PyTorch's are not: it could fill the memory")
            pickles = [m for m, name in zip(members, lower, strict=True) if name.endswith("/data.pkl")]
            return lower, [archive.read(member) for member in pickles]
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, ModelError):
            raise
        raise foreign(path, f"it is damaged: {why_unread(error)}") from error


def _imports(pickle: bytes) -> Iterator[tuple[str, str]]:
    """(module, name) of what a pickle would import, without running it.

    Newer pickles take both from the stack. Python's own writer puts them there right before; where anything else stands
    in between, or a text is not certain, the pickle was made by hand.

    Raises:
        ValueError: damaged, or with names that are not certain.
    """
    last: list[str | None] = []  # what the last opcodes left on the stack, texts alone being known
    memo: dict[int, str | None] = {}  # a text that comes again is only referred to
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL":
            names = last[-2:]
            if len(names) < 2 or None in names:
                raise ValueError("its names are put together from pieces")
            yield str(names[0]), str(names[1])
        elif "PUT" in opcode.name or opcode.name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = last[-1] if last else None
            continue
        if opcode.name in _SILENT:
            continue
        if "GET" in opcode.name:
            last.append(memo.get(int(argument or 0)))
        elif isinstance(argument, str) and "UNICODE" in opcode.name:
            last.append(argument)
        else:
            last = []


def foreign(path: Path, what: str) -> ModelError:
    """The error of a file that is no model which can be translated."""
    return ModelError(
        f"{path}: {what}",
        "its numbers cannot be brought into a network of this package",
        "give the .model file that mace_run_train saves at its end, or that was published",
    )
