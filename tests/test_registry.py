"""Named models and their downloads, from a server on this machine."""

import hashlib
import http.server
import json
import multiprocessing
import re
import shutil
import ssl
import threading
from pathlib import Path

import pytest
from ase import Atoms
from ase.data import chemical_symbols

from ase_phonax import PhonaxCalculator, download_model, list_models
from ase_phonax.base.errors import ModelError, OutputError, StructureError
from ase_phonax.cli import main
from ase_phonax.models import registry
from ase_phonax.models.downloads import fetch
from ase_phonax.models.loading import load_model
from ase_phonax.models.registry import DEFAULT

from .https_server import CERTIFICATE

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file; `ends_after` bytes of an answer it hangs up. Remembers the ranges asked for."""

    content, ends_after, answers_ranges = CONTENT, None, True
    kind = "application/octet-stream"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = []
        self.url = f"http://127.0.0.1:{self.server_port}/model.nqx"

    def encrypt(self):
        """From now on by https, with the certificate of the tests."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path != "/model.nqx":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.answers_ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        self.wfile.write(body[: self.server.ends_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"model.nqx.lock"}


def test_a_file_is_downloaded_once(server, tmp_path):
    to, seen = tmp_path / "cache/models/model.nqx", []
    fetch(server.url, SHA256, len(CONTENT), to, lambda done, total: seen.append((done, total)))
    assert to.read_bytes() == CONTENT
    assert leftovers(to.parent) == {"model.nqx"}
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    fetch(server.url, SHA256, len(CONTENT), to)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("answers_ranges", [True, False])
def test_an_interrupted_download_goes_on(server, tmp_path, answers_ranges):
    to = tmp_path / "model.nqx"
    server.ends_after, server.answers_ranges = 100_000, answers_ranges
    with pytest.raises(ModelError, match="run the command again"):
        fetch(server.url, SHA256, len(CONTENT), to)
    assert leftovers(tmp_path) == {"model.nqx.part"}
    server.ends_after = None
    fetch(server.url, SHA256, len(CONTENT), to)
    assert to.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_another_file_is_refused_and_deleted(server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(ModelError, match=f"not {len(CONTENT):,} and {SHA256}"):
        fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert leftovers(tmp_path) == set()


def test_a_web_page_in_its_place_is_refused(server, tmp_path):
    """Kills: the page of a proxy that stays as a model for good, where no checksum is known."""
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(ModelError, match="answers with a web page"):
        fetch(server.url, "", 0, tmp_path / "model.nqx")
    assert leftovers(tmp_path) == set()


def test_a_page_longer_than_the_file_ends_early(server, tmp_path):
    server.content = CONTENT * 50
    with pytest.raises(ModelError, match="not the file that was registered"):
        fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert leftovers(tmp_path) == set()


def test_a_damaged_beginning_is_found(server, tmp_path):
    # Left from another file of the same name: resuming appends, the checksum tells, the next try starts anew.
    (tmp_path / "model.nqx.part").write_bytes(b"x" * 1000)
    with pytest.raises(ModelError, match="sha256"):
        fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert (tmp_path / "model.nqx").read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (tmp_path / "model.nqx").write_bytes(CONTENT[:-5])
    fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert (tmp_path / "model.nqx").read_bytes() == CONTENT


def test_a_file_without_known_checksum_or_size_comes_whole_or_not(server, tmp_path):
    server.ends_after = 100_000
    with pytest.raises(ModelError, match=f"100,000 of {len(CONTENT):,} bytes"):
        fetch(server.url, "", 0, tmp_path / "model.nqx")
    server.ends_after = None
    fetch(server.url, "", 0, tmp_path / "model.nqx")
    assert (tmp_path / "model.nqx").read_bytes() == CONTENT
    assert server.ranges == [None, None]  # what is left of a file that cannot be recognised is not continued
    fetch(server.url, "", 0, tmp_path / "model.nqx")
    assert len(server.ranges) == 2


def test_missing_on_the_server(server, tmp_path):
    with pytest.raises(ModelError, match="404"):
        fetch(server.url + "x", SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert leftovers(tmp_path) == set()


def test_without_a_network_the_place_for_the_file_is_named(tmp_path):
    to = tmp_path / "model.nqx"
    with pytest.raises(ModelError) as caught:
        fetch("http://127.0.0.1:9/model.nqx", SHA256, len(CONTENT), to)
    assert str(to) in str(caught.value)
    assert "https_proxy" in str(caught.value)


def test_a_proxy_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.rsplit("/", 1)[0])
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ModelError, match="404"):  # our server is no proxy, but it was asked: the name does not exist
        fetch("http://nowhere.invalid/model.nqx", SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert len(server.ranges) == 1


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="ASE_PHONAX_CACHE"):
        fetch(server.url, SHA256, len(CONTENT), tmp_path / "cache/models/model.nqx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_leaves_nothing(server, tmp_path):
    (tmp_path / "model.nqx.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        fetch(server.url, SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert leftovers(tmp_path) == set()


def _fetch_again(url, to):
    fetch(url, SHA256, len(CONTENT), to)


def test_two_processes_at_once(server, tmp_path):
    to = tmp_path / "model.nqx"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_fetch_again, args=(server.url, to)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert to.read_bytes() == CONTENT
    assert server.ranges == [None]  # the second found the first one's


@pytest.fixture
def shelf(server, tmp_path, monkeypatch):
    """A registry of the default model and one to download, which is the default's file."""
    shipped = next(card for card in list_models() if card.name == DEFAULT)
    folder = tmp_path / "models"
    folder.mkdir()
    source = Path(shipped.location)
    server.encrypt()
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setenv("no_proxy", "*")
    shutil.copy(source, folder)
    shutil.copy(source.with_suffix(".json"), folder)
    server.content = source.read_bytes()
    card = json.loads(source.with_suffix(".json").read_text())
    card |= {
        "name": "far-away",
        "url": server.url.replace("model.nqx", "models/model.h5"),
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "n_bytes": len(server.content),
    }
    (folder / "far-away.json").write_text(json.dumps(card))
    monkeypatch.setattr(registry, "MODEL_FOLDERS", (folder,))
    monkeypatch.setattr(Handler, "do_GET", _serve_anything)
    monkeypatch.setenv("ASE_PHONAX_CACHE", str(tmp_path / "cache"))
    return server


def _serve_anything(self):
    self.send_response(200)
    self.end_headers()
    self.wfile.write(self.server.content)


def test_a_named_model_is_fetched_when_asked_for(shelf, tmp_path, capsys):
    assert [(card.name, card.state) for card in list_models()] == [
        (DEFAULT, "shipped"),
        ("far-away", "to be downloaded"),
    ]
    with pytest.raises(ModelError, match="ase-phonax models get far-away"):
        load_model("far-away")
    assert main(["models", "get", "far-away"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "cache/models/model.h5"
    assert list_models()[1].state == "cached"
    assert load_model("far-away").n_parameters == load_model(DEFAULT).n_parameters
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="not the file registered as far-away"):
        load_model("far-away")
    assert download_model("far-away") == path
    load_model("far-away")


def test_models_are_listed_with_what_one_must_know(shelf, capsys):
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert text.index(DEFAULT) < text.index("far-away")
    assert "get, 0.2 MB" in text
    for name in (DEFAULT, "far-away"):
        assert main(["models", name]) == 0
        card = capsys.readouterr().out
        assert card.startswith(name)
        assert ("ase-phonax models get far-away" in card) == (name == "far-away")
        for word in ("for", "elements", "theory", "parameters", "training", "errors", "licence", "citation", "file"):
            assert card.count(f"\n  {word} ") == 1


def test_very_many_elements_are_a_range_and_what_is_missing(shelf, tmp_path, capsys):
    path = tmp_path / "models/far-away.json"
    symbols = [s for s in chemical_symbols[1:95] if s not in ("Po", "Ra")]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"elements": symbols}))
    assert main(["models", "far-away"]) == 0
    assert re.search("elements +92: H to Pu but Po Ra\n", capsys.readouterr().out)


def test_an_unknown_action_is_named(capsys):
    assert main(["models", "fetch", "x"]) == 2
    assert "fetch is no action" in capsys.readouterr().err
    assert main(["models", "get"]) == 2
    assert "names no model" in capsys.readouterr().err


def test_of_a_model_to_be_converted_both_steps_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ASE_PHONAX_CACHE", str(tmp_path))
    name = next(card.name for card in list_models() if card.url.endswith(".model"))
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert re.search(f"ase-phonax models get {name} .*; then ase-phonax convert {name} OUT.h5", caught.value.remedy)
    with pytest.raises(ModelError) as caught:
        load_model("nequix-mp-1")
    assert "ase-phonax convert" not in str(caught.value)


def test_a_misspelt_name_is_recognised(shelf, capsys):
    assert main(["models", "get", "faraway"]) == 3
    assert "did you mean 'far-away'?" in capsys.readouterr().err
    assert main(["models", "faraway"]) == 3
    assert "did you mean 'far-away'?" in capsys.readouterr().err


def test_every_registered_card_is_complete():
    cards = list_models()
    assert cards[0].name == DEFAULT
    for card in cards:
        assert all((card.elements, card.level_of_theory, card.training_set, card.licence, card.summary, card.errors))
        if card.url:
            assert card.url.startswith("https://")
        if card.url.endswith(".model"):  # their source states neither size nor checksum; they are converted first
            assert ("academic use only" in card.licence) == card.name.startswith(
                ("mace-off", "mace-omat", "mace-matpes")
            )
            continue
        assert card.n_bytes > 0
        assert card.n_parameters > 0
        assert len(card.sha256) == (64 if card.url else 0)


def test_the_default_ships():
    assert PhonaxCalculator().potential.name == load_model(DEFAULT).name
    assert list_models()[0].state == "shipped"


def test_an_unknown_element_names_the_models_that_have_it():
    """The list of the model asked, and every named model with all elements of the structure."""
    calc = PhonaxCalculator()
    with pytest.raises(StructureError) as caught:
        calc.get_potential_energy(Atoms("OsO", positions=[[0, 0, 0], [0, 0, 1.7]]))
    assert "does not know Os" in caught.value.what
    # Those that must be converted first are no names to give to a calculator.
    cards = [
        c for c in list_models() if not c.location.endswith(".model") and c.purpose not in ("charges", "densities")
    ]
    expected = [c.name for c in cards if {"Os", "O"} <= set(c.elements)]
    assert expected
    assert all(name in caught.value.remedy for name in expected)
    assert "mace" not in caught.value.remedy
    assert "used directly" in caught.value.remedy
    assert all(f" {symbol}" in caught.value.remedy for symbol in list_models()[0].elements)
