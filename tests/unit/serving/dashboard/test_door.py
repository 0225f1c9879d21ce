"""The door of the dashboard: who gets in, from where, and for how long."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from serving.dashboard.door import HOSTS, SESSION_SECONDS, Door, is_own_request

USER, PASSWORD, KEY = "shoal", "correct-horse-battery", "k" * 43
HERE = {"host": "127.0.0.1:8501"}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Answer:
    """What came back, and whether the app behind the door saw the request."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.kinds = 0, {}, b"", []

    async def take(self, message: dict[str, Any]) -> None:
        self.kinds.append(message["type"])
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")

    @property
    def cookie(self) -> str:
        return self.headers["set-cookie"].partition(";")[0]


async def behind(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the dashboard"})


def ask(
    path: str = "/",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    form: dict[str, str] | None = None,
    kind: str = "http",
    door: Door | None = None,
) -> Answer:
    door = door or Door(behind, USER, PASSWORD, KEY, Clock())
    answer = Answer()
    path, _, query = path.partition("?")
    told = HERE if headers is None else headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in told.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": urlencode(form or {}).encode()}

    # On a thread of its own: this one may hold the loop of a browser's driver.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, door(scope, receive, answer.take)).result()
    return answer


def log_in(door: Door | None = None, user: str = USER, password: str = PASSWORD, **more: str) -> Answer:
    return ask("/log-in", "POST", form={"user": user, "password": password, **more}, door=door)


@pytest.mark.parametrize(
    "path", ["/", "/flows?scheme=rfm", "/static/js/index.js", "/_stcore/health", "/media/x"]
)
def test_nobody_sees_a_thing_before_logging_in(path: str) -> None:
    answer = ask(path)
    assert answer.status == 401
    assert b"the dashboard" not in answer.body
    assert b'<form method="post" action="/log-in">' in answer.body


def test_health_alone_needs_no_log_in() -> None:
    assert (ask("/health").status, ask("/health").body) == (200, b"ok")


def test_the_right_log_in_opens_and_leads_where_one_wanted_to_go() -> None:
    answer = log_in(next="/flows?scheme=rfm")
    assert (answer.status, answer.headers["location"]) == (303, "/flows?scheme=rfm")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Lax" in answer.headers["set-cookie"]
    assert ask("/flows", headers=HERE | {"cookie": answer.cookie}).body == b"the dashboard"


@pytest.mark.parametrize(
    ("user", "password"), [(USER, "wrong"), ("admin", PASSWORD), ("", ""), (USER, PASSWORD + "x")]
)
def test_a_wrong_log_in_gives_no_cookie_and_does_not_say_what_was_wrong(user: str, password: str) -> None:
    answer = log_in(user=user, password=password)
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert b"Name or password is wrong" in answer.body


@pytest.mark.parametrize("wanted", ["//evil.example", "http://evil.example", "/\\evil.example", "/log-out"])
def test_a_log_in_never_leads_away(wanted: str) -> None:
    assert log_in(next=wanted).headers["location"] == "/"


def test_what_one_wanted_is_no_markup_of_the_form() -> None:
    answer = ask('/x"><script>alert(1)</script>')
    assert b"<script>" not in answer.body


def test_a_log_in_ends_after_its_time() -> None:
    clock = Clock()
    door = Door(behind, USER, PASSWORD, KEY, clock)
    known = HERE | {"cookie": log_in(door).cookie}
    clock.now += SESSION_SECONDS - 1
    assert ask(headers=known, door=door).status == 200
    clock.now += 1
    assert ask(headers=known, door=door).status == 401


@pytest.mark.parametrize(("password", "key"), [("another-password", KEY), (PASSWORD, "z" * 43)])
def test_another_password_or_key_ends_every_log_in(password: str, key: str) -> None:
    known = HERE | {"cookie": log_in().cookie}
    assert ask(headers=known).status == 200
    assert ask(headers=known, door=Door(behind, USER, password, key, Clock())).status == 401


@pytest.mark.parametrize(
    "forged", ["", "9999999999", "9999999999.", "9999999999.00", "x.y", "9" * 400 + ".a"]
)
def test_a_forged_cookie_opens_nothing(forged: str) -> None:
    assert ask(headers=HERE | {"cookie": f"shoal_dashboard={forged}"}).status == 401


def test_a_longer_time_needs_another_signature() -> None:
    until, _, signature = log_in().cookie.partition("=")[2].partition(".")
    later = f"shoal_dashboard={int(until) + 1}.{signature}"
    assert ask(headers=HERE | {"cookie": later}).status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8501", "0.0.0.0", "", "["]
)
@pytest.mark.parametrize("path", ["/", "/health", "/static/js/index.js"])
def test_a_foreign_host_is_refused_even_with_the_cookie(host: str, path: str) -> None:
    assert ask(path, headers={"host": host, "cookie": log_in().cookie}).status == 403


def test_no_host_is_refused() -> None:
    assert ask(headers={"cookie": log_in().cookie}).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:9999"])
def test_this_machine_by_either_name_is_served(host: str) -> None:
    assert ask(headers={"host": host, "cookie": log_in().cookie}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:5000", "null", "http://localhost:8501"]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_page_of_another_origin_is_refused_even_with_the_cookie(origin: str, kind: str) -> None:
    headers = HERE | {"cookie": log_in().cookie, "origin": origin}
    answer = ask("/_stcore/stream", headers=headers, kind=kind)
    assert answer.status == 403 or answer.kinds == ["websocket.close"]


def test_the_live_connection_opens_with_the_cookie_only() -> None:
    origin = {"origin": "http://127.0.0.1:8501"}
    assert ask("/_stcore/stream", headers=HERE | origin, kind="websocket").kinds == ["websocket.close"]
    known = HERE | origin | {"cookie": log_in().cookie}
    assert ask("/_stcore/stream", headers=known, kind="websocket").kinds == ["websocket.accept"]


def test_logging_out_takes_the_cookie_away() -> None:
    assert "Max-Age=0" in ask("/log-out").headers["set-cookie"]


def test_every_answer_forbids_what_comes_from_elsewhere() -> None:
    for answer in (ask(), ask(headers=HERE | {"cookie": log_in().cookie})):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_first_page_has_its_name_too() -> None:
    answer = ask("/segments?scheme=rfm", headers=HERE | {"cookie": log_in().cookie})
    assert (answer.status, answer.headers["location"]) == (303, "/?scheme=rfm")


def test_a_form_that_never_ends_is_not_kept() -> None:
    answer = log_in(password="x" * 100_000)
    assert answer.status == 401


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("api-server:8080", True), ("api-server:80", False), ("localhost:1", True), ("api-server.evil", False)],
)
def test_a_server_may_be_told_further_names_of_its_own(host: str, is_own: bool) -> None:
    scope = {"type": "http", "headers": [(b"host", host.encode())]}
    assert is_own_request(scope, {*HOSTS, "api-server:8080"}) is is_own
    assert is_own_request(scope) is host.startswith("localhost")
