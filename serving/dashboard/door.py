"""The door before the dashboard: nothing of it, not even its scripts, answers who has not logged in.

Streamlit itself looks at Host and Origin only where a browser opens the live connection, and for a foreign
Origin it first asks the internet for this machine's address. So all of that is settled here, before it.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import time
from collections.abc import Callable, Collection, Iterable
from http.cookies import CookieError, SimpleCookie
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "shoal_dashboard"
SESSION_SECONDS = 12 * 3600
"""A working day: whoever comes back tomorrow logs in again."""

HOSTS = ("127.0.0.1", "localhost")
HEALTH, LOG_IN, LOG_OUT = "/health", "/log-in", "/log-out"
FIRST_PAGE = "segments"
LONGEST_FORM = 4096  # bytes; a name, a password and where to go on

FORM = settings.ROOT / "serving" / "dashboard" / "log_in.html"

POLICY = b"; ".join(
    [
        b"default-src 'self' data: blob:",
        # Streamlit draws with styles and scripts of its own making; they come from here all the same.
        b"style-src 'self' 'unsafe-inline'",
        b"script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        b"form-action 'self'",
        b"frame-ancestors 'self'",
    ]
)
"""What a page may load, and from where: no icon, font or script of anybody else's."""

GUARDS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", POLICY),
]


class Door:
    """Let requests through that come from this machine's own pages and carry the cookie of a log-in.

    Parameters
    ----------
    app
        What lies behind the door.
    user, password
        The log-in.
    key
        Signs the cookies; with another key, or another password, everybody logs in again.
    clock
        Gives the seconds since 1970.
    """

    def __init__(
        self, app: ASGIApp, user: str, password: str, key: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.app = app
        self._log_in = (user.encode(), password.encode())
        self._key = hashlib.sha256(f"{key}\n{password}".encode()).digest()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif not is_own_request(scope):
            await _refuse(scope, send, "this address is not served here")
        elif scope["type"] == "http" and scope["path"] == HEALTH:
            await _answer(send, 200, b"ok", "text/plain")
        elif scope["type"] == "http" and scope["path"] == LOG_IN and scope["method"] == "POST":
            await self._open(receive, send)
        elif scope["type"] == "http" and scope["path"] == LOG_OUT:
            await _go(send, "/", _cookie("", 0))
        elif scope["type"] == "http" and scope["path"] == f"/{FIRST_PAGE}":
            # Streamlit calls its first page / alone.
            await _go(send, "/" + _query(scope))
        elif self.is_known(scope):
            await self.app(scope, receive, _guarded(send))
        elif scope["type"] == "http":
            await _answer(send, 401, page(_wanted(scope)))
        else:
            await _refuse(scope, send, "log in first")

    def is_known(self, scope: Scope) -> bool:
        """Return whether a request carries a cookie that this door has given, and still holds."""
        until, _, signature = _cookie_of(scope).partition(".")
        if not until.isdecimal() or not hmac.compare_digest(signature, self._sign(until)):
            return False
        return self._clock() < int(until)

    async def _open(self, receive: Receive, send: Send) -> None:
        form = parse_qs((await _body(receive)).decode(errors="replace"))
        wanted = inside(form.get("next", ["/"])[0])
        told = [form.get(name, [""])[0].encode() for name in ("user", "password")]
        # Both are compared, in constant time: no answer tells which was wrong, or how far it was right.
        is_right = [hmac.compare_digest(*pair) for pair in zip(told, self._log_in, strict=True)]
        if not all(is_right):
            await _answer(send, 401, page(wanted, is_wrong=True))
            return
        until = str(int(self._clock()) + SESSION_SECONDS)
        await _go(send, wanted, _cookie(f"{until}.{self._sign(until)}", SESSION_SECONDS))

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()


def is_own_request(scope: Scope, known: Collection[str] = HOSTS) -> bool:
    """Return whether a request names a known host, and no page of another site sent it.

    Parameters
    ----------
    known
        Names, with the port where only that one is meant.
    """
    hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
    try:
        is_here = len(hosts) == 1 and not {hosts[0], urlsplit(f"//{hosts[0]}").hostname}.isdisjoint(known)
        return is_here and all(urlsplit(origin).netloc == hosts[0] for origin in origins)
    except ValueError:  # no address at all
        return False


def inside(address: str) -> str:
    r"""Return an address of this server, the first page for any other.

    Examples
    --------
    >>> inside("/flows?scheme=rfm"), inside("//evil.example"), inside("/\\evil.example"), inside("http://a")
    ('/flows?scheme=rfm', '/', '/', '/')
    """
    is_path = address.startswith("/") and not address.startswith(("//", "/\\", LOG_IN, LOG_OUT))
    return address if is_path and address.isprintable() else "/"


def page(wanted: str, is_wrong: bool = False) -> bytes:
    """Return the form of the log-in; it leads on to what was wanted."""
    said = "Name or password is wrong. · 用户名或密码错误。" if is_wrong else ""
    text = Template(FORM.read_text(encoding="utf-8"))
    return text.substitute(wanted=html.escape(wanted, quote=True), said=said, action=LOG_IN).encode()


def _wanted(scope: Scope) -> str:
    return inside(scope["path"] + _query(scope))


def _query(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _cookie_of(scope: Scope) -> str:
    for header in _headers(scope, b"cookie"):
        try:
            jar = SimpleCookie(header)
        except CookieError:
            continue
        if COOKIE in jar:
            return jar[COOKIE].value
    return ""


def _cookie(value: str, seconds: int) -> str:
    # Lax: a link in a mail opens the view that it names, and no other site's form gets in.
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax"


async def _body(receive: Receive) -> bytes:
    body = b""
    while len(body) <= LONGEST_FORM:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
    return b""


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})
    else:
        await _answer(send, 403, why.encode(), "text/plain")


async def _go(send: Send, where: str, cookie: str | None = None) -> None:
    headers = [(b"location", where.encode("latin-1"))]
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode()))
    await _answer(send, 303, b"", "text/plain", headers)


async def _answer(
    send: Send, status: int, body: bytes, kind: str = "text/html", more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *GUARDS,
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _guarded(send: Send) -> Send:
    async def guarded(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *GUARDS]}
        await send(message)

    return guarded
