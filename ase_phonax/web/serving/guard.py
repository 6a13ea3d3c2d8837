"""Who may ask: the browser that opened the printed address, for pages of this application and nobody else's."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

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
    """Lets requests through that name this host, come from its own pages, and know the token.

    The host is compared because a name of somebody else may be made to lead here (DNS rebinding); the origin because
    pages of others can send requests, though not read the answers; the token because other users of a machine can
    reach its ports. It comes in the printed address, and is kept as a cookie that goes with no request of other sites.

    Args:
        application: that is guarded.
        port: where it answers.
        token: of the printed address.
    """

    def __init__(self, application: Application, port: int, token: str):
        self._application, self._token = application, token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"phonax_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host") not in self._hosts:
            return await _refused(send, f"this is {' or '.join(sorted(self._hosts))}, and no other host")
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            return await _refused(send, "requests of other pages are not answered")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._knows(given):
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            return await _answered(send, 303, b"", {"location": "/", "set-cookie": cookie})
        if not self._knows(_cookie(headers.get("cookie", ""), self._cookie)):
            return await _refused(send, "open the address that `ase-phonax serve` has printed, with its token")
        return await self._application(scope, receive, _with_headers(send))

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _with_headers(send: Send) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            more = [(n.encode(), v.encode()) for n, v in _HEADERS.items() if n.encode() not in there]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


async def _refused(send: Send, why: str) -> None:
    await _answered(send, 403, f"{why}\n".encode(), {"content-type": "text/plain; charset=utf-8"})


async def _answered(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    lines = [(n.encode(), v.encode()) for n, v in (_HEADERS | headers | {"content-length": str(len(body))}).items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
