"""The replica against real servers: one after another is installed, started on this machine, used, and taken away.

python3 tests/buckets/servers.py PROGRAM [--only NAME ..] [--tools FOLDER]

It ends with code 0 if every place was tried and held, 3 if some could not be had, and 1 if something is wrong.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from hive import Hive, Service, wait_for
from kinds import PLACES, Missing, Tools

# Keys of age for these tests only.
RECIPIENT = "age1zwlyl6h27gzv0lfntr7fcqrjrzqazap8sy5zylkxwneh7llf0dksu37mwt"
IDENTITY = "AGE-SECRET-KEY-1QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSKMP32K"
# A replica is late after 30 s without everything.
LATE = 60


def say(text):
    print(f"   {text}", flush=True)


def new_store(hive, *recipient, location):
    """A store that was made by a service, and its replica."""
    hive.make("h.redb")
    hive.ok("--store", "h.redb", "put", "config", "n0", "0")
    hive.ok("--store", "h.redb", "replica", "init", location, *recipient)


def is_refused(place, hive):
    """A bucket that cannot keep two writers apart is refused by name, and nothing is left in it."""
    hive.make("h.redb")
    told = hive.refused("--store", "h.redb", "replica", "init", place.location("p"), saying="two writers apart")
    say(f"refused: {told}")
    hive.refused("replica", "status", place.location("p"), saying="there is no replica")


def ships_and_restores(place, hive, location):
    """A service ships, also after a kill; a standby follows; another machine takes over, and the old one is refused."""
    hive.refused("--store", "h.redb", "replica", "init", location, saying="there is a replica already")
    first = Service(hive, "h.redb", location)
    first.must_put(range(1, 30))
    first.rest()
    verified = hive.json("replica", "verify", location)
    assert verified["sound"], verified
    hive.ok("replica", "standby", location, "--to", "standby.redb", "--once")
    assert hive.numbers("standby.redb") == 30
    say("shipped, verified, and followed by a standby")

    first.must_put(range(30, 40))
    first.kill()
    first.start()
    first.must_put(range(40, 50))
    first.rest()
    assert hive.json("replica", "status", location)["term"]["number"] >= 3
    say("the service went on after SIGKILL")

    first.signal(signal.SIGSTOP)
    hive.ok("replica", "restore", location, "--to", "new.redb", "--take-over")
    assert hive.numbers("new.redb") == 50
    second = Service(hive, "new.redb", location)
    second.must_put([50])
    first.signal(signal.SIGCONT)
    refusal = wait_for("the old machine writes", lambda: (lambda done, text: not done and text)(*first.put(50)))
    assert b"replica" in refusal, refusal
    first.kill()
    second.must_put(range(51, 60))
    second.rest()
    say("another machine took over, and the old one writes nothing any more")
    return second


def bucket_goes_away(place, hive, service, numbers):
    """Writes go on without the bucket, /readyz says that the replica is late, and it catches up."""
    place.away()
    service.must_put(numbers)
    wait_for("the replica is not late", lambda: not service.replica()[0], LATE)
    say(f"away: {service.replica()[1]}")
    place.back()
    wait_for("the replica does not catch up", lambda: service.replica()[0], LATE)
    service.rest()
    say("writes went on without the bucket, and the replica caught up")


def bucket_is_killed(place, hive, service, numbers):
    """A server that is killed again and again while commits come in has lost nothing that it acknowledged."""
    for number in numbers:
        service.must_put([number])
        time.sleep(0.2)
        if number % 5 == 0:
            place.kill()
    service.rest()
    verified = hive.json("replica", "verify", service.location)
    assert verified["sound"], verified
    say("the server was killed again and again, and the replica has everything")


def promotes(place, hive, service, count):
    """A standby that followed from the beginning takes over."""
    hive.ok("replica", "promote", service.location, "--to", "standby.redb")
    assert hive.numbers("standby.redb") == count
    wait_for("the old machine writes", lambda: not service.put(count)[0])
    service.kill()
    third = Service(hive, "standby.redb", service.location)
    third.must_put([count])
    third.rest()
    third.close()
    assert hive.json("replica", "status", service.location)["term"]["is_sealed"]
    hive.ok("replica", "restore", service.location, "--to", "last.redb")
    assert hive.numbers("last.redb") == count + 1
    verified = hive.json("replica", "verify", service.location)
    assert verified["sound"], verified
    say(f"a standby was promoted: {verified['report']}")


def is_encrypted(place, hive, location):
    """An encrypted replica is read with its identity alone."""
    with open(hive.path("identity"), "w") as file:
        file.write(IDENTITY + "\n")
    os.chmod(hive.path("identity"), 0o600)
    new_store(hive, "--recipient", RECIPIENT, location=location)
    service = Service(hive, "h.redb", location)
    service.must_put(range(1, 5))
    service.close()
    hive.refused("replica", "verify", location, saying="identity")
    assert hive.json("replica", "verify", location, "--identity", "identity")["sound"]
    hive.ok("replica", "restore", location, "--identity", "identity", "--to", "new.redb", "--take-over")
    assert hive.numbers("new.redb") == 5
    say("an encrypted replica was read with its identity alone")


def prove(kind, program, scratch, tools):
    """Everything with one place."""
    place = kind(scratch)
    place.install(tools)
    hives = []
    try:
        place.start()
        hives += [Hive(program, os.path.join(place.folder, name), place.environment) for name in ["hive", "other"]]
        hive = hives[0]
        if not place.is_sound:
            return is_refused(place, hive)
        location = place.location("p")
        new_store(hive, location=location)
        service = ships_and_restores(place, hive, location)
        bucket_goes_away(place, hive, service, range(60, 80))
        if place.keeps_after_kill:
            bucket_is_killed(place, hive, service, range(80, 110))
        promotes(place, hive, service, hive.numbers(f"http://{service.address}"))
        is_encrypted(place, hives[1], place.location("q"))
    finally:
        for hive in hives:
            hive.end()
        place.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program hivekeep")
    parser.add_argument("--only", action="append", choices=[kind.name for kind in PLACES], help="this place alone")
    parser.add_argument("--tools", help="keep what is installed in this folder, for the next run")
    told = parser.parse_args()
    program = os.path.abspath(told.program)
    scratch = tempfile.mkdtemp(prefix="hivekeep-buckets-")
    tools = Tools(os.path.abspath(told.tools) if told.tools else os.path.join(scratch, "tools"))
    if not os.path.exists(tools.bin("python")):
        tools.venv()
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(tools.folder, "python")):
        # The packages of the servers are seen only within the environment that has them.
        os.environ["HIVEKEEP_BUCKETS_OUTER"] = scratch
        more = [] if told.tools else ["--tools", tools.folder]
        os.execv(tools.bin("python"), [tools.bin("python"), *sys.argv, *more])
    held, skipped, wrong = [], [], []
    try:
        for kind in PLACES:
            if told.only and kind.name not in told.only:
                continue
            print(f"-- {kind.name}", flush=True)
            begun = time.monotonic()
            try:
                prove(kind, program, scratch, tools)
                held.append(kind.name)
                say(f"held, in {time.monotonic() - begun:.0f} s")
            except Missing as why:
                skipped.append(kind.name)
                say(f"skipped: {why}")
            except Exception:
                wrong.append(kind.name)
                traceback.print_exc()
    finally:
        if not wrong:
            shutil.rmtree(scratch, ignore_errors=True)
        outer = os.environ.get("HIVEKEEP_BUCKETS_OUTER")
        if outer:
            shutil.rmtree(outer, ignore_errors=True)
    print(f"held: {', '.join(held) or 'none'}; skipped: {', '.join(skipped) or 'none'}; "
          f"wrong: {', '.join(wrong) or 'none'}{f'; see {scratch}' if wrong else ''}")
    return 1 if wrong else 3 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
