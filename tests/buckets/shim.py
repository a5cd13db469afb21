"""Stands in for Google's bucket, because no server on this machine speaks its XML protocol: objects in memory, created
unless they exist, read, listed in pages and deleted. It is as good as the reading of Google's documentation.

python3 shim.py PORT
"""

import hashlib
import html
import sys
import threading
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Google's pages have a thousand names. Shorter ones show that a list goes on.
PAGE = 7


class Shim(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects = {}
    lock = threading.Lock()

    def name(self):
        """The bucket and the object, which is empty for the bucket itself."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        bucket, _, name = path.lstrip("/").partition("/")
        return bucket, name

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def failed(self, status, code):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        bucket, name = self.name()
        if bucket != "hive":
            return self.failed(404, "NoSuchBucket")
        if self.headers.get("x-goog-if-generation-match") != "0":
            return self.failed(400, "InvalidArgument")
        with self.lock:
            is_new = name not in self.objects
            if is_new:
                self.objects[name] = body
        if not is_new:
            return self.failed(412, "PreconditionFailed")
        self.answer(200, headers=self.meta(body))

    def do_GET(self):
        bucket, name = self.name()
        if bucket != "hive":
            return self.failed(404, "NoSuchBucket")
        if not name:
            return self.list()
        with self.lock:
            body = self.objects.get(name)
        if body is None:
            return self.failed(404, "NoSuchKey")
        self.answer(200, body, self.meta(body))

    do_HEAD = do_GET

    def do_DELETE(self):
        with self.lock:
            was_there = self.objects.pop(self.name()[1], None) is not None
        return self.answer(204) if was_there else self.failed(404, "NoSuchKey")

    def list(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        after = asked.get("continuation-token") or asked.get("start-after", "")
        with self.lock:
            found = sorted((name, len(body)) for name, body in self.objects.items()
                           if name.startswith(asked.get("prefix", "")) and name > after)
        page = found[:PAGE]
        token = f"<NextContinuationToken>{html.escape(page[-1][0])}</NextContinuationToken>" if found[PAGE:] else ""
        contents = "".join(f"<Contents><Key>{html.escape(name)}</Key><Size>{size}</Size>"
                           "<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>\"x\"</ETag></Contents>"
                           for name, size in page)
        text = f"<?xml version='1.0'?><ListBucketResult>{contents}{token}</ListBucketResult>"
        self.answer(200, text.encode(), [("Content-Type", "application/xml")])

    @staticmethod
    def meta(body):
        return [("ETag", f'"{hashlib.md5(body).hexdigest()}"'), ("x-goog-generation", "1"),
                ("Last-Modified", formatdate(usegmt=True))]

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shim).serve_forever()
