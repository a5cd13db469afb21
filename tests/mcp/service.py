"""A service of the program for the scripts of this folder."""

import contextlib
import json
import os
import subprocess
import tempfile


@contextlib.contextmanager
def service(program):
    """The path of a new store and the address of its service, which ends well."""
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "fleet.redb")
        serve = [program, "--store", store, "--json", "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield store, json.loads(process.stdout.readline())["listening"]
        finally:
            process.terminate()
            code = process.wait(30)
        assert code == 0, code
