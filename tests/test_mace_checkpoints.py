"""What is no PyTorch MACE model, or not one that is understood, is refused by name; nothing runs code unasked.

Archives here are written by hand, as PyTorch lays them out, so that most of this needs no PyTorch.
"""

import importlib.util
import os
import pickle
import shutil
import socket
import subprocess
import tracemalloc
import warnings
import zipfile

import pytest

from ase_phonax import list_models, load_model
from ase_phonax.base.errors import ModelError
from ase_phonax.cli import main
from ase_phonax.models.files.mace_checkpoint import head_number, read_mace
from ase_phonax.models.files.mace_pickles import _is_harmful

HAS_MACE = all(importlib.util.find_spec(name) for name in ("torch", "mace"))


def archive(path, content: bytes, *others: str):
    """A file as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("random/data.pkl", content)
        for name in others:
            file.writestr(f"random/{name}", b"")
    return path


def global_of(module: str, name: str) -> bytes:
    """A pickle that would import a name, as the first thing in it."""
    return f"c{module}\n{name}\n.".encode()


SCALED = global_of("mace.modules.models", "ScaleShiftMACE")


def go_off():
    raise SystemExit("code of a pickle has run")


class Boom:
    """Its pickle runs code."""

    def __reduce__(self):
        return go_off, ()


class Harmful:
    """Its pickle would run what is given."""

    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    ("content", "others", "text"),
    [
        (global_of("mace.modules.models", "AtomicDipolesMACE"), (), "the type AtomicDipolesMACE"),
        (global_of("nequip.model", "Energy"), (), "objects of nequip, and no MACE model"),
        (global_of("collections", "OrderedDict"), (), "parameters without a model, as checkpoints of a run"),
        (SCALED, ("constants.pkl",), "is compiled"),
    ],
    ids=["another MACE", "another network", "a state", "TorchScript"],
)
def test_models_of_another_type_are_refused_unopened(tmp_path, content, others, text):
    with pytest.raises(ModelError, match=text):
        read_mace(archive(tmp_path / "x.model", content, *others), trust=True)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.model"
    with pytest.raises(ModelError, match="does not exist"):
        read_mace(path, trust=True)
    path.write_bytes(b"not an archive")
    with pytest.raises(ModelError, match="no archive of PyTorch"):
        read_mace(path, trust=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "nothing")
    with pytest.raises(ModelError, match="not of PyTorch"):
        read_mace(path, trust=True)


def test_nothing_is_opened_without_trust(tmp_path, capsys):
    # The code in the pickle would end the process: neither the inspection nor the refusal runs it.
    content = pickle.dumps((Boom(), 1), protocol=2)[:-1] + SCALED
    path = archive(tmp_path / "x.model", content)
    with pytest.raises(ModelError, match=r"is a pickle[\s\S]*runs whatever code[\s\S]*--trust"):
        read_mace(path)
    assert main(["convert", str(path), str(tmp_path / "x.h5")]) == 3
    assert "is a pickle" in capsys.readouterr().err
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("function", [os.system, subprocess.run, exec, eval, __import__, socket.socket, shutil.rmtree])
def test_what_would_run_commands_is_refused_even_with_trust(tmp_path, function, protocol):
    """Beside a MACE model; by protocol 4 names lie on the stack, repeated ones as references."""
    others = pickle.dumps((function.__module__, function.__name__, Harmful(function, "x")), protocol=protocol)
    path = archive(tmp_path / "x.model", others[:-1] + SCALED)
    with pytest.raises(ModelError, match=rf"would import \S*\.{function.__name__}\n[\s\S]*no protection against"):
        read_mace(path, trust=True)


@pytest.mark.parametrize(
    ("module", "name", "harmful"),
    [
        ("torch", "os.system", True),
        ("torch.serialization", "os", True),
        ("importlib.util", "module_from_spec", True),
        ("builtins", "getattr", False),
        ("__builtin__", "set", False),
        ("torch._C", "_VariableFunctionsClass", False),
        ("torch.fx.graph_module", "reduce_graph_module", False),
        ("e3nn.util.codegen", "CodeGenMixin", False),
    ],
)
def test_names_that_real_models_have_are_no_harm(module, name, harmful):
    assert _is_harmful(module, name) == harmful


def test_every_pickle_of_an_archive_is_looked_at(tmp_path):
    path = archive(tmp_path / "x.model", SCALED)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/data.pkl", global_of("posix", "system"))
    with pytest.raises(ModelError, match=r"would import posix\.system"):
        read_mace(path, trust=True)


SYSTEM = global_of("posix", "system")


def test_a_pickle_in_front_of_an_archive_is_refused(tmp_path):
    """Kills: the archive at the end inspected, and the pickle at the beginning opened, which is what PyTorch does."""
    path = archive(tmp_path / "x.model", SCALED)
    path.write_bytes(SYSTEM + path.read_bytes())
    with pytest.raises(ModelError, match="no archive of PyTorch"):
        read_mace(path, trust=True)


def test_an_archive_with_something_before_or_behind_it_is_refused(tmp_path):
    path = archive(tmp_path / "x.model", SCALED)
    whole = path.read_bytes()
    path.write_bytes(archive(tmp_path / "y.model", SYSTEM).read_bytes() + whole)
    with pytest.raises(ModelError, match="before or behind"):
        read_mace(path, trust=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("random/data.pkl", SCALED)
        file.comment = archive(tmp_path / "z.model", SYSTEM).read_bytes()
    with pytest.raises(ModelError, match="before or behind"):
        read_mace(path, trust=True)


@pytest.mark.parametrize("second", ["random/data.pkl", "random/DATA.pkl"])
def test_two_members_of_one_name_are_refused(tmp_path, second):
    """Which of them is opened depends on the reader, and PyTorch's finds names in any case."""
    path = tmp_path / "x.model"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr(second, SYSTEM)
        file.writestr("random/data.pkl", SCALED)
    with pytest.raises(ModelError, match="two members of one name"):
        read_mace(path, trust=True)


def test_a_pickle_of_a_name_in_capitals_is_looked_at(tmp_path):
    path = tmp_path / "x.model"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("random/Data.PKL", SYSTEM)
    with pytest.raises(ModelError, match=r"would import posix\.system"):
        read_mace(path, trust=True)


def test_an_archive_that_would_fill_the_memory_is_refused_unopened(tmp_path):
    path = tmp_path / "x.model"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("random/data.pkl", SCALED)
        file.writestr("random/data/0", bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="is compressed, which PyTorch's are not"):
            read_mace(path, trust=True)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def text_of(text: str) -> bytes:
    """The opcode that puts a short text on the stack."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


POP, STACK_GLOBAL, MEMOIZE = b"0", b"\x93", b"\x94"
HIDDEN = {
    "a text that is popped": text_of("posix") + text_of("system") + text_of("x") + POP + STACK_GLOBAL,
    "a number that is popped": text_of("posix") + text_of("system") + b"K\x01" + POP + STACK_GLOBAL,
    "remembered after a pop": text_of("posix") + text_of("x") + POP + MEMOIZE + text_of("system") + STACK_GLOBAL,
    "from the memory of another": b"]" + MEMOIZE + POP + text_of("posix") + b"h\x00" + STACK_GLOBAL,
    "from bytes": b"U\x05posix" + b"U\x06system" + STACK_GLOBAL,
    "behind what cannot be decoded": b"S'\xff'\n0" + SYSTEM,
    "cut off": SYSTEM[:8],
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_pickle_whose_names_are_not_certain_is_refused(tmp_path, case):
    """Kills: names guessed from the last texts seen, which a pop leaves behind; a scan that ends where it stumbles."""
    content = b"\x80\x04" + SCALED[:-1] + POP + HIDDEN[case] + b"."
    with pytest.raises(ModelError, match="cannot be told for certain"):
        read_mace(archive(tmp_path / "x.model", content), trust=True)


def test_that_trust_means_trust_is_said_where_it_is_asked_for(capsys):
    assert main(["convert", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--trust means trust" in text
    assert "with your rights" in text


def test_a_model_file_of_pytorch_is_never_loaded_by_its_path(tmp_path):
    with pytest.raises(ModelError, match="ase-phonax convert"):
        load_model(archive(tmp_path / "x.model", SCALED))


def test_what_can_be_used_already_is_not_converted(tmp_path, capsys):
    shipped = list_models()[0]
    for name in (shipped.name, shipped.location):
        assert main(["convert", name, str(tmp_path / "x.h5"), "--trust"]) == 2
        assert f"{name} is a model that can be used already" in capsys.readouterr().err


@pytest.mark.skipif(HAS_MACE, reason="torch and mace-torch are installed")
def test_without_torch_it_says_what_to_install(tmp_path):
    with pytest.raises(ModelError, match=r'pip install "\.\[mace\]"'):
        read_mace(archive(tmp_path / "x.model", SCALED), trust=True)


class WithHeads:
    heads = ("mp_pbe", "spice")


def test_a_head_has_to_be_named_and_to_exist(tmp_path):
    with pytest.raises(ModelError, match=r"several heads: there are mp_pbe, spice[\s\S]*--head mp_pbe"):
        head_number(WithHeads(), None, tmp_path)
    with pytest.raises(ModelError, match="no head 'default'"):
        head_number(WithHeads(), "default", tmp_path)
    assert head_number(WithHeads(), "spice", tmp_path) == 1


def test_a_damaged_archive_is_refused(tmp_path):
    content = bytearray(archive(tmp_path / "x.model", SCALED).read_bytes())
    content[40:44] = b"????"  # in the compressed bytes: the checksum of the archive no longer holds
    (tmp_path / "x.model").write_bytes(content)
    with pytest.raises(ModelError, match="it is damaged"):
        read_mace(tmp_path / "x.model", trust=True)


def test_only_names_that_are_read_again_are_written(tmp_path, capsys):
    assert main(["convert", str(archive(tmp_path / "x.model", SCALED)), str(tmp_path / "x.out"), "--trust"]) == 2
    assert "does not end in .h5" in capsys.readouterr().err
