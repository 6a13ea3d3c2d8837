"""One file over https: resumed, verified against its checksum, and complete under its name or not there at all."""

import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from ..base.caches import VARIABLE
from ..base.errors import ModelError, OutputError
from ..base.files import write_whole
from ..base.progress import Progress

PIECE = 1 << 16  # bytes
TIMEOUT = 30  # s without an answer
MOST = 1 << 32  # bytes, where the size is not known


def sha256_of(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, sha256: str, n_bytes: int, to: Path, progress: Progress | None = None) -> None:
    """Download a file; nothing happens if it is there and whole.

    What has come lies in `to` + ".part" until it is complete and has the right checksum: an interrupted download goes
    on from there. Processes that want the same file wait for each other. Proxies are taken from the
    environment (https_proxy, no_proxy).

    Args:
        url: https address; redirects are followed, but never to an address without encryption.
        sha256: of the whole file, hexadecimal; empty where none is known: then its size is checked, and its own is
            recorded beside it (`recorded_sha256`).
        n_bytes: its size; 0 where it is not known: then the server's word is taken.
        to: where it goes; its folder is created.
        progress: called with (done, total) bytes.

    Raises:
        ModelError: the server cannot be reached, refuses, or has another file.
        OutputError: the file cannot be written.
    """
    from filelock import FileLock

    part = to.with_name(to.name + ".part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(to.with_name(to.name + ".lock")):
            expected = sha256 or recorded_sha256(to)
            if to.is_file() and (not expected or sha256_of(to) == expected):
                return
            _download(url, n_bytes, part, progress, to)
            if sha256 and (digest := sha256_of(part)) != sha256:
                size = part.stat().st_size
                part.unlink()
                raise ModelError(
                    f"what came from {url} has {size:,} bytes and sha256 {digest}, not {n_bytes:,} and {sha256}",
                    "it is not the file that was registered: damaged on the way, changed at its source, or the page of "
                    "a proxy; it was deleted",
                    "try again; if it comes out the same, something between here and the server changes files",
                )
            if not sha256:
                # Before the file: one without its record would look like one put there by hand.
                write_whole(_record(to), f"{sha256_of(part)}  {to.name}\n")
            part.replace(to)
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)  # it can be had again, the space may be missed elsewhere
        raise OutputError(
            f"{to} cannot be written: {error.strerror or error}",
            "the model is kept there between runs",
            f"make room or give yourself the right to write there, or name another folder in {VARIABLE}",
        ) from error


def recorded_sha256(path: Path) -> str:
    """What was recorded when a file without registered sha256 was downloaded; empty where nothing was."""
    try:
        return _record(path).read_text(encoding="ascii").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return ""


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed, unless encryption would be given up: then anybody on the way could give another file."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        if request.full_url.startswith("https://") and not new_url.startswith("https://"):
            file.close()
            raise urllib.error.URLError(f"it redirects to {new_url}, without encryption")
        return super().redirect_request(request, file, code, message, headers, new_url)


def _download(url: str, n_bytes: int, part: Path, progress: Progress | None, to: Path) -> None:
    """Append to the part what is missing of it."""
    there, size_known = part.stat().st_size if part.is_file() else 0, bool(n_bytes)
    if not n_bytes:  # nothing could tell whether what is there belongs to this file
        there = 0
    elif there >= n_bytes:  # complete, or of another file: the checksum tells
        if there == n_bytes:
            return
        there = 0
    request = urllib.request.Request(url, headers={"User-Agent": "ase-phonax"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        with _open(request) as answer:
            if answer.headers.get_content_type() == "text/html":
                raise _page(url)
            resumed = there > 0 and answer.status == 206
            done = there if resumed else 0
            n_bytes = n_bytes or _stated_size(answer)
            with part.open("ab" if resumed else "wb") as file:
                while piece := _read(answer):
                    file.write(piece)
                    done += len(piece)
                    if progress:
                        progress(done, n_bytes)
                    if done > (n_bytes or MOST):
                        break  # something else, perhaps endless
    except _Broken as error:
        raise ModelError(
            f"{url} did not come: {error}",
            "the model is not on this machine yet",
            f"with a network, run the command again{_goes_on(size_known)}. Behind a proxy, set https_proxy. Without a "
            f"network, get the file elsewhere and put it at {to}",
        ) from error
    if done > (n_bytes or MOST) and not size_known:
        part.unlink()
        raise ModelError(
            f"{url}: more came than the {n_bytes or MOST:,} bytes that a model may have",
            "it is not the file that was registered; it was deleted",
            "open the address in a browser; if it has moved, download the file by hand",
        )
    if done < n_bytes:
        raise ModelError(
            f"{url}: the connection ended after {done:,} of {n_bytes:,} bytes",
            "the model is not complete",
            f"run the command again{_goes_on(size_known)}",
        )


def _stated_size(answer) -> int:
    """What the server says; 0 where it says nothing that is a size."""
    stated = answer.headers.get("Content-Length", "")
    return int(stated) if stated.isdecimal() else 0


def _goes_on(size_known: bool) -> str:
    """What a second try does: without a known size nothing tells that a part belongs to the file."""
    return ": it goes on where it stopped" if size_known else ""


def _page(url: str) -> ModelError:
    return ModelError(
        f"{url} answers with a web page",
        "it is not the file that was registered: moved, or the page of a proxy",
        "open the address in a browser; if it has moved, download the file by hand",
    )


class _Broken(Exception):
    """The connection, not the disk."""


def _open(request: urllib.request.Request):
    try:
        # An opener of its own: the shared one keeps the proxies of its first use.
        return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise _Broken(_reason(error)) from error


def _read(answer) -> bytes:
    # The disk's errors are OSError too: those of the network are told apart here.
    try:
        return answer.read(PIECE)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Broken(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__
