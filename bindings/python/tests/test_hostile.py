"""A service that would keep a program for ever."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import hivekeep
import hivekeep.remote
from hivekeep.remote import recovery

Ask = Callable[[hivekeep.Store], object]
Answers = Callable[[Iterator[Any]], str]

TIME = "2026-01-02T03:04:05Z"
MESSAGE = {"conversation": "c", "role": "user", "content": "x", "timestamp": TIME}


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Starts a service that answers each request with the next of these."""
    services: list[ThreadingHTTPServer] = []

    def start(bodies: Iterator[Any]) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = json.dumps(next(bodies)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        services.append(service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{service.server_address[1]}"

    yield start
    for service in services:
        service.shutdown()
        service.server_close()


LISTS: dict[str, tuple[str, Ask]] = {
    "tasks": ("tasks", lambda store: list(store.queue.list())),
    "bots": ("bots", lambda store: [bot for bot in store.registry]),
    "assignments": ("assignments", lambda store: list(store.registry.assignments())),
    "schedules": ("schedules", lambda store: [schedule for schedule in store.schedules]),
    "points": ("points", lambda store: store.points()),
    "changes": ("changes", lambda store: store.diff("2 days ago")),
    "messages": ("messages", lambda store: store.chat.list()),
    "entries": ("entries", lambda store: store.audit.list()),
    "events": ("events", lambda store: store.events()),
    "records": ("records", lambda store: [key for key in store.config]),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_whose_pages_are_empty_and_go_on_for_ever_is_left(name: str, answers: Answers) -> None:
    field, ask = LISTS[name]
    url = answers({field: [], "next": str(number)} for number in itertools.count(1))
    with hivekeep.remote.connect(url) as store, pytest.raises(hivekeep.Io, match="page.? without"):
        ask(store)


@pytest.mark.parametrize("name", [name for name in LISTS if name != "records"])
def test_a_list_whose_page_goes_on_at_its_own_beginning_is_left(name: str, answers: Answers) -> None:
    field, ask = LISTS[name]
    url = answers(itertools.repeat({field: [], "next": "7"}))
    with hivekeep.remote.connect(url) as store, pytest.raises(hivekeep.Io, match="at its own beginning"):
        ask(store)


def test_rows_that_are_not_behind_the_ones_before_are_no_page(answers: Answers) -> None:
    again = ({"messages": [{**MESSAGE, "sequence": 5}], "next": str(number)} for number in itertools.count())
    with hivekeep.remote.connect(answers(again)) as store, pytest.raises(hivekeep.Io, match="before its beginning"):
        store.chat.list(oldest=True, limit=10**9)
    records = {"records": [{"key": "a", "value": 1}], "next": "61"}
    with hivekeep.remote.connect(answers(itertools.repeat(records))) as store:
        with pytest.raises(hivekeep.Io, match="before its beginning"):
            for _ in store.config:
                pass


def test_a_list_that_is_given_as_a_whole_is_no_longer_than_one_answer_may_be(answers: Answers) -> None:
    point = {"id": "x" * 1000, "epoch": 1, "timestamp": TIME, "description": ""}
    url = answers({"points": [point], "next": str(number)} for number in itertools.count())
    with hivekeep.remote.connect(url, max_answer=100_000) as store, pytest.raises(hivekeep.Invalid, match="max_answer"):
        store.points()


def test_a_check_that_makes_no_progress_is_watched_for_ten_times_as_long_as_an_answer_may_take(answers: Answers) -> None:
    slow = [{"id": "1", "state": "running", "done": number // 2, "of": 100} for number in range(20)]
    stands = {"id": "1", "state": "running", "done": 10, "of": 100}
    looks: list[float] = []
    with hivekeep.remote.connect(answers(itertools.chain(slow, itertools.repeat(stands))), timeout=2) as store:
        assert isinstance(store, hivekeep.remote.Store)
        with pytest.raises(hivekeep.Io, match="no progress"):
            recovery.Upkeep(store._wire, looks.append).check(None)
    assert sum(looks) == pytest.approx(20 + 2, abs=0.3)
