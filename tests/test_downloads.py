"""Downloads over https: whatever a server does is an error of ours, and what came stays what it was."""

import hashlib
import json
import shutil
import socket
import struct
import time
from pathlib import Path

import pytest

from ase_phonax import list_models
from ase_phonax.base.errors import ModelError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.models import downloads, registry
from ase_phonax.models.downloads import fetch
from ase_phonax.models.loading import find_reader
from ase_phonax.models.registry import DEFAULT

from .https_server import CERTIFICATE, serving

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """The certificate of the server, and no proxy on the way to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    monkeypatch.setenv("no_proxy", "*")


def send(handler, content=CONTENT, length=None, **headers):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)) if length is None else length)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def redirect(to):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


def reset(handler):
    """The connection is broken off in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT[:70_000])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang_up(handler):
    handler.connection.close()


def sleep(handler):
    time.sleep(3)


def test_a_file_comes_over_https(tmp_path):
    with serving(send) as url:
        fetch(f"{url}/model.nqx", SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert (tmp_path / "model.nqx").read_bytes() == CONTENT


def test_redirects_are_followed_where_encryption_stays_and_nowhere_else(tmp_path):
    """Kills: urllib's own rule, which follows from https to http, where anybody on the way gives another file."""
    to = tmp_path / "model.nqx"
    with serving(send) as secure, serving(redirect(f"{secure}/model.nqx")) as url:
        fetch(f"{url}/model.nqx", SHA256, len(CONTENT), to)
    to.unlink()
    asked = []
    with (
        serving(lambda h: (asked.append(h), send(h)), secure=False) as plain,
        serving(redirect(f"{plain}/model.nqx")) as url,
        pytest.raises(ModelError, match=r"redirects to http://\S+, without encryption"),
    ):
        fetch(f"{url}/model.nqx", "", 0, to)
    assert not asked
    assert not to.exists()


FAILURES = {
    "not found": (lambda h: h.send_error(404), "answered 404"),
    "server error": (lambda h: h.send_error(500), "answered 500"),
    "refused": (lambda h: h.send_error(403), "answered 403"),
    "cut off": (lambda h: send(h, CONTENT[:1000], str(len(CONTENT))), "ended after 1,000 of 256,000 bytes"),
    "longer": (lambda h: send(h, CONTENT * 2), "sha256"),
    "shorter": (lambda h: send(h, CONTENT[:-1]), "ended after 255,999 of 256,000 bytes"),
    "no length at all": (lambda h: send(h, CONTENT[:9], "many"), "ended after 9 of 256,000|did not come"),
    "reset": (reset, "did not come|connection ended"),
    "hung up": (hang_up, "did not come"),
    "no HTTP": (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), "did not come"),
    "wrong chunks": (
        lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
        "did not come|connection ended",
    ),
    "a circle": (lambda h: redirect(h.path)(h), "answered 302"),
    "to a file": (redirect("file:///etc/passwd"), "is not allowed"),
    "to nowhere": (redirect("https://nowhere.invalid/x"), "did not come"),
    "too slow": (sleep, "did not come: .*timed out"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_every_failure_of_a_server_is_an_error_of_ours(tmp_path, monkeypatch, how):
    """Kills: BadStatusLine, SSLError, ValueError of http.client as tracebacks, or as a disk that cannot be written."""
    answer, words = FAILURES[how]
    monkeypatch.setattr(downloads, "TIMEOUT", 1)
    with serving(answer) as url, pytest.raises(ModelError, match=words) as error:
        fetch(f"{url}/model.nqx", SHA256, len(CONTENT), tmp_path / "model.nqx")
    assert error.value.exit_code == 3
    assert not (tmp_path / "model.nqx").exists()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path, monkeypatch):
    with serving(send) as url:
        with pytest.raises(ModelError, match="certificate"):
            fetch(f"{url.replace('127.0.0.1', '127.0.0.2')}/model.nqx", SHA256, len(CONTENT), tmp_path / "a.nqx")
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(ModelError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(f"{url}/model.nqx", SHA256, len(CONTENT), tmp_path / "a.nqx")
    assert not (tmp_path / "a.nqx").exists()


def test_an_endless_answer_ends(tmp_path, monkeypatch):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    monkeypatch.setattr(downloads, "MOST", 1 << 20)
    with serving(endless) as url, pytest.raises(ModelError, match="more came than the 1,048,576 bytes"):
        fetch(f"{url}/model.nqx", "", 0, tmp_path / "model.nqx")
    assert {path.name for path in tmp_path.iterdir()} <= {"model.nqx.lock"}


# What came without a known checksum


@pytest.fixture
def unknown(tmp_path, monkeypatch):
    """A registry of the default and a model whose source states no sha256; what is asked of it is sent."""
    shipped = Path(next(card for card in list_models() if card.name == DEFAULT).location)
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (shipped, shipped.with_suffix(".json")):
        shutil.copy(path, folder)
    monkeypatch.setattr(registry, "MODEL_FOLDERS", (folder,))
    monkeypatch.setenv("ASE_PHONAX_CACHE", str(tmp_path / "cache"))
    with serving(send) as url:
        card = json.loads((folder / f"{DEFAULT}.json").read_text())
        card |= {"name": "unknown", "url": f"{url}/unknown.model", "sha256": "", "n_bytes": 0}
        (folder / "unknown.json").write_text(json.dumps(card))
        yield tmp_path / "cache/models/unknown.model"


def test_a_model_without_known_checksum_is_named_as_such_and_sealed_when_it_came(unknown, capsys):
    with pytest.raises(ModelError, match="is not on this machine"):
        registry.find_model("unknown")
    assert main(["models", "get", "unknown"]) == 0
    said = capsys.readouterr().err
    assert "its source states no sha256" in said
    assert SHA256 in said
    assert unknown.with_name("unknown.model.sha256").read_text() == f"{SHA256}  unknown.model\n"
    assert registry.find_model("unknown") == unknown
    unknown.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ModelError, match=f"not {SHA256}") as error:
        registry.find_model("unknown")
    assert "not the file that was downloaded" in error.value.why
    assert main(["models", "get", "unknown"]) == 0  # fetched again
    assert unknown.read_bytes() == CONTENT


def test_a_file_put_into_the_cache_by_hand_is_said_to_be_known_by_nobody(unknown):
    unknown.parent.mkdir(parents=True)
    unknown.write_bytes(CONTENT)
    with pytest.warns(UnstableWarning, match="Nothing vouches for it"):
        registry.find_model("unknown")


# Cards


def test_only_our_own_folder_holds_cards(tmp_path):
    """Kills: `site-packages/models` of another package, whose JSON would be read as cards."""
    package = tmp_path / "site-packages/ase_phonax"
    (package.parent / "models").mkdir(parents=True)
    package.mkdir()
    assert registry.model_folders(package) == ()
    (package.parent / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert registry.model_folders(package) == ()
    (package.parent / "pyproject.toml").write_text('[project]\nname = "ase-phonax"\n')
    assert registry.model_folders(package) == (package.parent / "models",)
    (package / "models/shipped").mkdir(parents=True)
    assert registry.model_folders(package) == (package / "models/shipped",)


CARDS = {
    "not JSON": "{",
    "no mapping": "[1]",
    "nested without end": "[" * 100_000,
    "another name": {"name": "other"},
    "an unknown field": {"colour": "blue"},
    "a place of its own": {"location": "/etc/passwd"},
    "elements that are none": {"elements": ["Xx"]},
    "elements as a text": {"elements": "Si"},
    "an element twice": {"elements": ["Si", "Si"]},
    "a size that is none": {"n_bytes": -1},
    "a number as text": {"n_parameters": "many"},
    "an address without encryption": {"url": "http://example.org/models/x.nqx"},
    "an address of a file": {"url": "file:///etc/passwd"},
    "an address that leaves the cache": {"url": "https://example.org/models/.."},
    "an address of no model": {"url": "https://example.org/models/x.exe"},
    "a checksum that is none": {"sha256": "abc"},
    "a field that is missing": {"licence": None},
}


@pytest.mark.parametrize("case", CARDS)
def test_a_damaged_card_is_named(tmp_path, monkeypatch, case):
    shipped = Path(next(card for card in list_models() if card.name == DEFAULT).location).with_suffix(".json")
    path, change = tmp_path / "mine.json", CARDS[case]
    content = json.loads(shipped.read_text()) | {"name": "mine", "url": "https://example.org/models/x.nqx"}
    if isinstance(change, dict):
        content = {key: value for key, value in (content | change).items() if value is not None}
    path.write_text(json.dumps(content) if isinstance(change, dict) else change)
    monkeypatch.setattr(registry, "MODEL_FOLDERS", (tmp_path,))
    with pytest.raises(ModelError, match=r"the card \S+mine\.json is no card of a model"):
        find_reader("phonax-small")
