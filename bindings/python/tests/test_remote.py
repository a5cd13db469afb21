"""Stores behind a service: what only they have. The other tests run over them as well."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Serve, add_key
from hypothesis import given
from hypothesis import strategies as st

import hivekeep
import hivekeep.remote
from hivekeep import _hivekeep
from hivekeep.remote import recovery, state
from hivekeep.remote.exchange import Answer, BadAnswer, TooLong, path_of


class Between:
    """Somebody between a program and a service, who does with each request what the next of ``ways`` says: hands it on,
    loses it, or loses its answer.
    """

    def __init__(self, url: str) -> None:
        self.ways: list[str] = []
        self.connections = 0
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self._service = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._service) as service, contextlib.suppress(OSError):
            while request := _message(client):
                way = self.ways.pop(0) if self.ways else "on"
                if way == "lose":
                    return
                if way == "hang":
                    time.sleep(60)
                if way == "garbage":
                    client.sendall(b"220 mail.example ESMTP\r\n\r\n")
                    return
                if way in ("gateway", "page"):
                    status = b"504 Gateway Timeout" if way == "gateway" else b"200 OK"
                    client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
                    continue
                if way == "flood":
                    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        client.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                service.sendall(request)
                answer = _message(service)
                if way == "answer late":
                    time.sleep(0.8)
                if way == "lose the answer":
                    return
                if way == "cut the answer":
                    client.sendall(answer[: len(answer) // 2])
                    return
                client.sendall(answer)

    def close(self) -> None:
        self._listener.close()


def _message(connection: socket.socket) -> bytes:
    """A whole request, or a whole answer with a length."""
    read = b""
    while b"\r\n\r\n" not in read:
        data = connection.recv(65536)
        if not data:
            return b""
        read += data
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    left = int(lengths[0]) - len(body) if lengths else 0
    while left > 0:
        data = connection.recv(left)
        read, left = read + data, left - len(data)
    return read


@pytest.fixture
def between(serve: Serve) -> Iterator[Between]:
    between = Between(serve())
    yield between
    between.close()


def test_the_verbs_over_http_have_the_parameters_of_the_compiled_ones() -> None:
    pairs = [(getattr(state, name), getattr(_hivekeep, name)) for name in state.__all__ if hasattr(_hivekeep, name)]
    pairs += [(getattr(recovery, name), getattr(_hivekeep, name)) for name in recovery.__all__]
    pairs.append((hivekeep.remote._Raw, _hivekeep.Store))
    assert len(pairs) >= 11
    for remote, compiled in pairs:
        for name in (name for name in dir(compiled) if not name.startswith("_")):
            own, other = getattr(remote, name, None), getattr(compiled, name)
            assert own is not None, (remote, name)
            if callable(other):
                names = [[*inspect.signature(verb).parameters] for verb in (own, other)]
                assert names[0] == names[1], (remote, name, names)


def test_a_verb_that_no_service_has_is_refused_by_its_name(serve: Serve) -> None:
    with hivekeep.remote.connect(serve()) as store:
        calls: dict[str, Callable[[], object]] = {
            "write": lambda: store.write().__enter__(),
            "view": store.view,
            "with_durability": lambda: store.with_durability("system"),
            "durability": lambda: store.durability,
            "guard": lambda: store.guard("x").__enter__(),
            "documents": lambda: store.documents.get("a", "b"),
            "chat.remove": lambda: store.chat.remove(1),
            "stuck": store.queue.stuck,
            "why_nothing": lambda: store.queue.why_nothing("BOT-1"),
            "summary": store.summary,
            "compact": store.compact,
            "adopt": lambda: store.adopt("x"),
            "scheduler": lambda: store.scheduler(every="1h"),
            "crash": store.crash,
            "path": lambda: store.path,
            r"claim\(aging=..\)": lambda: store.queue.claim("BOT-1", aging="1h"),
        }
        for name, call in calls.items():
            with pytest.raises(NotImplementedError, match=rf"verb={name}$") as raised:
                call()
            assert isinstance(raised.value, hivekeep.NotSupported)


def test_a_key_opens_what_its_role_may_and_is_shown_nowhere(
    path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hivekeep.open(path).close()
    keys = {role: add_key(path, f"the-{role}", role) for role in ("reader", "bot", "operator")}
    url = serve()
    shown: list[str] = []
    with hivekeep.remote.connect(url, key=keys["operator"]) as store:
        store.config["a"] = 1
        store.queue.enqueue(1, id="t")
        shown += [repr(store), repr(store._wire), repr(store._wire.address), str(store.url)]
        with pytest.raises(TypeError, match="cannot be pickled") as refused:
            pickle.dumps(store)
        shown.append(str(refused.value))
    for key, call in (
        (keys["reader"], lambda store: store.config.__setitem__("a", 2)),
        (keys["bot"], lambda store: store.queue.claim("BOT-2")),
        ("hk_nobody_" + "0" * 48, lambda store: store.config["a"]),
        (None, lambda store: store.config["a"]),
    ):
        with hivekeep.remote.connect(url, key=key) as store, pytest.raises(PermissionError) as raised:
            call(store)
        assert isinstance(raised.value, hivekeep.Forbidden)
        shown.append(str(raised.value))
    with hivekeep.remote.connect(url, key=keys["reader"]) as store:
        assert store.config["a"] == 1
    with hivekeep.remote.connect(url, key=keys["bot"]) as store:
        for claim in store.queue.claim("the-bot"):
            with claim as task:
                task.result = "done"
        assert store.queue["t"].result == "done"
    shown += [record.getMessage() for record in caplog.records]
    secrets = [key.rsplit("_", 1)[1] for key in keys.values()]
    assert not [text for text in shown if any(secret in text for secret in secrets)]


def test_an_address_or_key_that_cannot_be_right_is_refused_and_not_shown() -> None:
    for url in ("fleet:8001", "ftp://x", "http://", "http://hk_a_secret@host", "http://host:99999", "http://[::1", "unix:"):
        with pytest.raises(hivekeep.Invalid) as raised:
            hivekeep.remote.connect(url)
        assert "secret" not in str(raised.value)
    for key in ("", "two words", "hk_ä", "a\nb"):
        with pytest.raises(hivekeep.Forbidden):
            hivekeep.remote.connect("http://127.0.0.1:1", key=key)
    with pytest.raises(hivekeep.Invalid, match="insecure_no_tls=True"):
        hivekeep.remote.connect("http://fleet.example:8001", key="hk_a_b")
    assert hivekeep.remote.connect("http://fleet.example:8001", key="hk_a_b", insecure_no_tls=True).url == "http://fleet.example:8001"
    assert hivekeep.remote.connect("https://fleet.example/hive/", key="hk_a_b").url == "https://fleet.example/hive"
    with pytest.raises(hivekeep.Invalid):
        hivekeep.remote.connect("http://127.0.0.1:1", timeout=0)


def test_a_service_on_a_socket_of_the_file_system_is_reached(tmp_path: Path, serve: Serve) -> None:
    listen = f"unix:{tmp_path}/s"
    serve(listen=listen)
    with hivekeep.remote.connect(listen) as store:
        store.config["a"] = 1
        assert dict(store.config) == {"a": 1} and store.url == listen


def test_names_with_any_characters_are_reached(serve: Serve) -> None:
    with hivekeep.remote.connect(serve()) as store:
        names = ["a/b", "..", "a b", "ü%20", "a?b#c", "a.b", "€", "x" * 200]
        store.config.update({name: name for name in names if name != ".."})
        assert all(store.config[name] == name for name in names if name != "..") and ".." not in store.config
        rooms = store.collection("rooms")
        rooms.update({name: name for name in names})
        assert [rooms[name] for name in names] == names and list(rooms) == sorted(names)
        store.queue.enqueue(1, id="claim")
        assert store.queue["claim"].state == "ready" and "batch" not in store.queue
    assert path_of("a", "..", "b/c") == "/a/%2E%2E/b%2Fc"


def test_a_connection_is_used_again_and_by_no_two_threads_at_once(between: Between) -> None:
    with hivekeep.remote.connect(between.url) as store:
        for number in range(30):
            store.config["a"] = number
            assert store.config["a"] == number
        assert between.connections == 1
        rooms = store.collection("rooms")

        def work(name: str) -> None:
            for number in range(10):
                rooms[f"{name}{number}"] = name
                assert rooms[f"{name}{number}"] == name

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(rooms) == 60 and between.connections <= 7


def test_what_may_be_sent_twice_is_and_what_may_not_is_uncertain(between: Between) -> None:
    with hivekeep.remote.connect(between.url) as store:
        for way in ("lose", "lose the answer", "cut the answer", "garbage"):
            store.config["a"] = way
            between.ways = [way]
            assert store.config["a"] == way
            between.ways = [way]
            assert store.queue.enqueue(1, idempotency_key=way).state == "ready"
        assert len(store.queue) == 4
        between.ways = ["lose the answer"]
        with pytest.raises(hivekeep.Uncertain, match="look before you do it again"):
            store.queue.enqueue(1, id="t")
        assert "t" in store.queue
        for way in ("lose the answer", "gateway", "page"):
            between.ways = [way]
            with pytest.raises(hivekeep.Uncertain):
                # Somebody else may have set it since.
                store.config["a"] = way
        between.ways = ["gateway"]
        assert store.config["a"] == "lose the answer"
        between.ways = ["lose"]
        with pytest.raises(hivekeep.Uncertain):
            store.queue.cancel("t")
        assert store.queue["t"].state == "ready"
        between.ways = ["garbage"] * 9
        with pytest.raises(hivekeep.Io):
            store.config["a"]


def test_a_service_that_does_not_answer_is_waited_for_no_longer_than_the_time_out(between: Between) -> None:
    with hivekeep.remote.connect(between.url, timeout="500ms") as store:
        begun = time.monotonic()
        between.ways = ["hang"]
        with pytest.raises(TimeoutError) as raised:
            store.config["a"]
        assert isinstance(raised.value, hivekeep.Locked)
        between.ways = ["hang"]
        with pytest.raises(hivekeep.Uncertain):
            store.queue.enqueue(1)
        assert time.monotonic() - begun < 5
        assert store.queue.claim("BOT-1", wait=1) == []


def test_an_answer_without_an_end_is_not_read_to_its_end(between: Between) -> None:
    with hivekeep.remote.connect(between.url, max_answer=1 << 20) as store:
        between.ways = ["flood"]
        with pytest.raises(hivekeep.Invalid, match="max_answer"):
            store.config["a"]
        store.config["large"] = "x" * 900_000
        assert len(store.config["large"]) == 900_000


def test_a_service_that_is_not_there_is_said_and_one_that_comes_back_is_used(path: Path, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with hivekeep.remote.connect(f"http://127.0.0.1:{port}", timeout=20) as store:
        with pytest.raises(hivekeep.Io, match="nothing was done"):
            store.queue.enqueue(1)
        threading.Timer(0.3, serve, kwargs={"listen": f"127.0.0.1:{port}"}).start()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(hivekeep.Io):
                store.queue.enqueue(1)
                break
        assert store.queue.counts().ready == 1


def test_a_forked_child_has_connections_of_its_own(between: Between) -> None:
    with hivekeep.remote.connect(between.url) as store:
        store.config["a"] = 0
        store.queue.enqueue(1)
        claims = store.queue.claim("BOT-1")
        child = os.fork()
        if child == 0:
            # Nothing of the parent's test may run on in the child.
            code = 1
            with contextlib.suppress(BaseException):
                for number in range(50):
                    store.collection("child")[str(number)] = number
                code = 0 if store.config["a"] in range(51) else 2
                # A copy of the parent's claim.
                del claims
            os._exit(code)
        for number in range(50):
            store.config["a"] = number
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(store.collection("child")) == 50 and store.config["a"] == 49
        (claim,) = claims
        assert claim.complete().state == "done"


def test_claims_that_cannot_become_objects_go_back(serve: Serve) -> None:
    def refuse(text: str) -> object:
        raise RuntimeError("no " + text)

    url = serve()
    with hivekeep.remote.connect(url) as store, hivekeep.remote.connect(url, parse_float=refuse) as odd:
        store.queue.enqueue(1.5, id="t")
        for wait in (0, 5):
            with pytest.raises(RuntimeError, match=r"no 1\.5"):
                odd.queue.claim("BOT-1", wait=wait)
            assert (store.queue["t"].state, store.queue["t"].attempts) == ("ready", 0)


def test_claims_that_are_on_their_way_when_ctrl_c_comes_go_back(between: Between) -> None:
    with hivekeep.remote.connect(between.url) as store:
        store.queue.enqueue(1, id="t")
        between.ways = ["answer late"]
        timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            store.queue.claim("BOT-1")
        assert (store.queue["t"].state, store.queue["t"].attempts) == ("ready", 0)


WHOLE = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
    b"4\r\n[1,2\r\n1;a=b\r\n]\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1,2]",
)


@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 120), max_size=6))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(whole: bytes, cuts: list[int]) -> None:
    answer, at = Answer(100), 0
    for cut in [*sorted(cut for cut in cuts if cut < len(whole)), len(whole)]:
        done = answer.feed(whole[at:cut])
        at = cut
        assert done == (at == len(whole))
    assert (answer.status, answer.body, answer.keeps) == (200, b"[1,2]", True)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for begin in (b"", b"HTTP/1.1 200 OK\r\n", WHOLE[0][:-9]):
        with contextlib.suppress(BadAnswer, TooLong):
            answer = Answer(50)
            if not answer.feed(begin + data):
                answer.end()
            assert len(answer.body) <= 50
