"""What the local application answers, and the server that answers it (Starlette, uvicorn)."""

from __future__ import annotations

import io
import json
import secrets
import socket
import zipfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ...base.errors import InputError, PhonaxError
from ...base.input_files import parse_json
from .forms import Offer
from .guard import Guard
from .runs import Runs
from .screened import Screened
from .settings import ServingSettings
from .uploads import FORMATS, kept_name

HOST = "127.0.0.1"
_MB = 1_000_000
_STATIC = {
    "serve.js": "text/javascript",
    "serve.css": "text/css",
    "page.css": "text/css",
}
_TYPES = {".html": "text/html", ".png": "image/png", ".pdf": "application/pdf"}  # opened; others are saved
# A page of results runs its own scripts, but as a stranger: it reaches nothing of this application.
_ALONE = "sandbox allow-scripts allow-downloads allow-popups; frame-ancestors 'self'"


class Application:
    """Answers of the application; `app` is what a server runs.

    Args:
        runs: where runs are made and kept.
        offers: the commands.
        models: names and files that may be chosen.
        screened: the table, if there is one.
        largest: megabytes of a structure.
    """

    def __init__(
        self, runs: Runs, offers: Sequence[Offer], models: Sequence[str], screened: Screened | None, largest: float
    ):
        self._runs, self._screened, self._largest = runs, screened, largest
        self._offers = {offer.name: offer for offer in offers}
        self._models = list(models)
        self.app = Starlette(
            routes=[
                Route("/", self._static),
                Route("/static/{name}", self._static),
                Route("/api/forms", self._forms),
                Route("/api/runs", self._list),
                Route("/api/runs", self._add, methods=["POST"]),
                Route("/api/runs/{key}", self._stop, methods=["DELETE"]),
                Route("/runs/{key}.zip", self._zip),
                Route("/runs/{key}/{name}", self._file),
                Route("/api/screening", self._table),
                Route("/screening/{key}", self._row),
            ],
            exception_handlers={
                PhonaxError: _said,
                HTTPException: _said,
                ClientDisconnect: _said,
                Exception: _unexpected,
            },
        )

    async def _static(self, request: Request) -> Response:
        name = request.path_params.get("name", "serve.html")
        kind = "text/html" if name == "serve.html" else _STATIC.get(name)
        if kind is None:
            raise HTTPException(404, "there is no such file")
        place = files("ase_phonax.web") / "static" / name
        return Response(place.read_bytes(), media_type=kind)

    async def _forms(self, request: Request) -> Response:
        return JSONResponse(
            {
                "commands": [offer.form() for offer in self._offers.values()],
                "models": self._models,
                "largest_bytes": int(self._largest * _MB),
                "formats": list(FORMATS),
                "has_screening": self._screened is not None,
            }
        )

    async def _list(self, request: Request) -> Response:
        return JSONResponse(self._runs.all())

    async def _add(self, request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise HTTPException(415, "runs are asked for in JSON")
        body = await _body(request, int(2 * self._largest * _MB))  # escaped letters take more than one byte
        asked = _asked(body)
        offer = self._offers.get(asked["command"])
        if offer is None:
            raise InputError(f"{asked['command'][:80]!r} is no command", "it is not offered", "choose one of the list")
        model = asked["model"] or offer.default_model
        if model not in self._models:
            raise InputError(f"{model[:80]!r} is no model of the list", "none other is loaded", "choose one of them")
        if len(asked["text"].encode()) > self._largest * _MB:
            raise HTTPException(413, self._too_large())
        name = kept_name(asked["name"], asked["text"])
        options = offer.configuration(asked["options"])
        run = await run_in_threadpool(self._runs.add, offer.name, name, asked["text"], model, options)
        return JSONResponse({"key": run.key}, 201)

    async def _stop(self, request: Request) -> Response:
        key = request.path_params["key"]
        if self._runs.get(key) is None:
            raise HTTPException(404, "there is no such run")
        await run_in_threadpool(self._runs.stop, key)
        return JSONResponse({})

    async def _file(self, request: Request) -> Response:
        place = self._runs.file(request.path_params["key"], request.path_params["name"])
        if place is None or not place.is_file():
            raise HTTPException(404, "there is no such result")
        kind = _TYPES.get(place.suffix)
        if kind is None:
            return FileResponse(place, media_type="application/octet-stream", filename=place.name)
        return FileResponse(place, media_type=kind, headers={"content-security-policy": _ALONE})

    async def _zip(self, request: Request) -> Response:
        run = self._runs.get(request.path_params["key"])
        if run is None or not run.files:
            raise HTTPException(404, "there are no results")
        content = await run_in_threadpool(self._zipped, run.key, run.files)
        name = f"{run.structure.rpartition('.')[0]}-{run.command}.zip"
        return Response(content, media_type="application/zip", headers=_saved_as(name))

    def _zipped(self, key: str, names: list[str]) -> bytes:
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                place = self._runs.file(key, name)
                if place is not None:
                    archive.write(place, name)
        return memory.getvalue()

    async def _table(self, request: Request) -> Response:
        if self._screened is None:
            raise HTTPException(404, "no screening is shown: --screening FOLDER")
        table = await run_in_threadpool(self._screened.table)
        if request.query_params.get("version") == table["version"]:
            return JSONResponse({"version": table["version"]})
        return JSONResponse(table)

    async def _row(self, request: Request) -> Response:
        text = None
        if self._screened is not None:
            text = await run_in_threadpool(self._screened.page, request.path_params["key"])
        if text is None:
            raise HTTPException(404, "there is no such crystal")
        return Response(text, media_type="text/html", headers={"content-security-policy": _ALONE})

    def _too_large(self) -> str:
        return f"a structure of more than {self._largest:g} MB: the limit of this application (--largest)"


def serve(
    runs: Runs,
    offers: Sequence[Offer],
    models: Sequence[str],
    screened: Screened | None,
    settings: ServingSettings,
    ready: Callable[[str], None],
) -> None:
    """Answer until interrupted.

    Args:
        ready: is called with the address, which is a secret, when the port is open.

    Raises:
        InputError: the port is taken.
    """
    with _socket(settings.port) as listening:
        port, secret = listening.getsockname()[1], secrets.token_urlsafe(24)
        app = Guard(Application(runs, offers, models, screened, settings.largest).app, port, secret)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
            )
        )
        ready(f"http://{HOST}:{port}/{secret}/")
        server.run(sockets=[listening])


def _socket(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {HOST} cannot be opened: {error.strerror}",
            "the application answers there",
            "end the other program, or choose another port (`port`)",
        ) from error


async def _body(request: Request, most: int) -> bytes:
    """The body, of which no more than the limit is ever taken.

    Raises:
        HTTPException: 413, it is larger.
    """
    too_large = HTTPException(413, f"more than {most / _MB:g} MB were sent", headers={"connection": "close"})
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    taken = bytearray()
    async for part in request.stream():
        taken += part
        if len(taken) > most:
            raise too_large
    return bytes(taken)


def _asked(body: bytes) -> dict[str, Any]:
    """What is asked for, with texts where there are to be texts.

    Raises:
        HTTPException: 400, it is not like that.
    """
    try:
        asked = parse_json(body)
        json.dumps(asked, ensure_ascii=False).encode()  # letters that are none, halves of others, could not be kept
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"what was sent is not JSON: {error}") from error
    options = asked.get("options", {}) if isinstance(asked, dict) else None
    if not isinstance(options, dict):
        raise HTTPException(400, "a run is asked for by command, name, text, model and options")
    texts = {name: asked.get(name, "") for name in ("command", "name", "text", "model")}
    if not all(isinstance(value, str) for value in texts.values()):
        raise HTTPException(400, "command, name, text and model are texts")
    return {**texts, "options": options}


def _saved_as(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


async def _said(request: Request, error: Exception) -> Response:
    """An error as JSON."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
    if isinstance(error, PhonaxError):
        return JSONResponse({"error": f"{error.what}: {error.why}; {error.remedy}"}, 400)
    return JSONResponse({"error": "the request was broken off"}, 400)


async def _unexpected(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"unexpected error: {type(error).__name__}: {error}"}, 500)
