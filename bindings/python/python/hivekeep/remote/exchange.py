"""HTTP/1.1 without input and output: a request as bytes, and an answer that is read piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from hivekeep.errors import Invalid

__all__ = ["Answer", "BadAnswer", "TooLong", "path_of", "request"]

_HEAD_MAX = 64 << 10


class BadAnswer(Exception):
    """It is no HTTP, or it ends too early."""


class TooLong(Exception):
    """It is longer than this one reads."""


def path_of(*names: str) -> str:
    """The path of these names. A name may have any characters."""
    try:
        return "".join("/" + quote(name, safe="").replace(".", "%2E") for name in names)
    except UnicodeEncodeError:
        raise Invalid("a text has half of a surrogate pair") from None


def request(method: str, target: str, query: Mapping[str, object], headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as bytes. Parameters that are none are left out."""
    known = {name: value for name, value in query.items() if value is not None}
    if known:
        target += "?" + urlencode(known, quote_via=quote)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    elif method != "GET":
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


class Answer:
    """An answer, while it is read. Its body has at most ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._read = bytearray()
        self._in_head = True
        self._chunks = False
        self._length: int | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.keeps = False
        """Whether the connection can be used for another request."""

    def feed(self, data: bytes) -> bool:
        """Takes bytes; says whether the answer is complete."""
        self._read += data
        while self._in_head:
            end = self._read.find(b"\r\n\r\n")
            if max(end, len(self._read) if end < 0 else 0) > _HEAD_MAX:
                raise TooLong
            if end < 0:
                return False
            head = bytes(self._read[:end])
            del self._read[: end + 4]
            self._take_head(head)
        if self._chunks:
            return self._take_chunks()
        if len(self._read) > self._most:
            raise TooLong
        if self._length is None or len(self._read) < self._length:
            return False
        # More than that would be the answer to nothing that was asked.
        self.keeps = self.keeps and len(self._read) == self._length
        self.body = bytes(self._read[: self._length])
        return True

    def end(self) -> None:
        """The connection was closed. Only an answer without a length may end so."""
        if self._in_head or self._chunks or self._length is not None:
            raise BadAnswer("the connection ended within an answer")
        self.body = bytes(self._read)

    def _take_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (rest[:3].isascii() and rest[:3].isdigit()):
            raise BadAnswer("this is not HTTP/1.1")
        self.status = int(rest[:3])
        if 100 <= self.status < 200:
            return
        self.headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._in_head = False
        self.keeps = version == "HTTP/1.1" and "close" not in self.headers.get("connection", "").lower()
        self._chunks = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        length = self.headers.get("content-length", "")
        if self.status in (204, 304):
            self._chunks, self._length = False, 0
        elif not self._chunks and length:
            if not (length.isascii() and length.isdigit()):
                raise BadAnswer("its length is no number")
            self._length = int(length[:20])
            if self._length > self._most:
                raise TooLong
        self._at = 0
        self._pieces: list[bytes] = []
        self._taken = 0

    def _take_chunks(self) -> bool:
        while True:
            end = self._read.find(b"\r\n", self._at)
            if end < 0:
                if len(self._read) - self._at > _HEAD_MAX:
                    raise TooLong
                break
            digits = bytes(self._read[self._at : end]).split(b";")[0].strip()
            try:
                size = int(digits[:16], 16)
            except ValueError:
                raise BadAnswer("the length of a piece is no number") from None
            if size == 0:
                return self._take_trailer(end)
            self._taken_with(size)
            if len(self._read) < end + 2 + size + 2:
                self._taken -= size
                break
            self._pieces.append(bytes(self._read[end + 2 : end + 2 + size]))
            self._at = end + 2 + size + 2
        del self._read[: self._at]
        self._at = 0
        return False

    def _taken_with(self, size: int) -> None:
        self._taken += size
        if size < 0 or self._taken > self._most:
            raise TooLong

    def _take_trailer(self, end: int) -> bool:
        # The service sends no trailer, so an empty line follows.
        if len(self._read) < end + 4:
            return False
        if self._read[end + 2 : end + 4] != b"\r\n" or len(self._read) > end + 4:
            self.keeps = False
        self.body = b"".join(self._pieces)
        return True
