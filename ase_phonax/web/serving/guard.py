"""Who may ask: whoever knows the address that was printed, from pages of this application and nobody else's."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Nothing is loaded from elsewhere, and no other page may hold one of these in a frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets requests through that name this host, come from its own pages, and know the secret that paths begin with.

    The host is compared because a name of somebody else may be made to lead here (DNS rebinding); the origin because
    pages of others can send requests, though not read the answers; the secret because other users of a machine can
    reach its ports. It is no cookie: those go to every port of a host, be it another user's.

    Args:
        application: that is guarded; it sees paths without the secret.
        port: where it answers.
        secret: first part of all paths.
    """

    def __init__(self, application: Application, port: int, secret: str):
        self._application, self._secret = application, secret
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return None  # of other kinds, such as web sockets, nothing is answered
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host") not in self._hosts:
            return await _refused(send, f"this is {' or '.join(sorted(self._hosts))}, and no other host")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return await _refused(send, "requests of other pages are not answered")
        given, _, rest = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._secret.encode()):
            return await _refused(send, "open the address that `ase-phonax serve` has printed, with all of its letters")
        inside = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode("utf-8", "replace")}
        return await self._application(inside, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            more = [(n.encode(), v.encode()) for n, v in _HEADERS.items() if n.encode() not in there]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


async def _refused(send: Send, why: str) -> None:
    body = f"{why}\n".encode()
    headers = _HEADERS | {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 403, "headers": lines})
    await send({"type": "http.response.body", "body": body})
