"""Disaster recovery for a fleet of bots, by a Hivekeep service. Needs the Python standard library alone.

    hivekeep serve &
    python3 examples/disaster_recovery.py http://127.0.0.1:8001

Callers of the class that Hivekeep replaces change one line: what used to take a folder takes the service's address.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

BASE = "/api/disaster-recovery"


class RecoveryError(Exception):
    """A refusal of the service, and its reason."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail", "the service gave no reason"))
        self.status = status
        self.kind = problem.get("kind")


class DisasterRecovery:
    """Backups, restore points and crash detection."""

    def __init__(self, url="http://127.0.0.1:8001", token=None, timeout_s=60):
        self.url = url.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s

    def backup(self, backup_type, data=None, source=None, tags=None):
        """Backs up `data`, or, without any, the live state of that type. Gives the backup's id."""
        body = {"backup_type": backup_type, "data": data, "source": source, "tags": tags}
        return self._post("/backup", body)["backup_id"]

    def restore(self, backup_id):
        """The content of a backup, verified by the service; None when there is no such backup."""
        return self._or_none(lambda: self._post("/restore/" + quoted(backup_id), {})["data"])

    def restore_in_place(self, backup_id, only=None, dry_run=False):
        """Restores a backup in place. Gives what changed, and the point that undoes it; None if nothing changed."""
        body = {"apply": True, "only": only, "dry_run": dry_run}
        answer = self._post("/restore/" + quoted(backup_id), body)
        return answer["restored"], answer.get("undo")

    def create_restore_point(
        self, registry_data=None, queue_data=None, assignments_data=None, description="", manual=True, tags=None
    ):
        """Makes a restore point of what is handed over, or of the live state. Gives its id."""
        body = point(registry_data, queue_data, assignments_data, description, manual, tags)
        return self._post("/restore-point", body)["restore_point_id"]

    def auto_backup_if_needed(self, registry_data=None, queue_data=None, assignments_data=None):
        """Makes an automatic restore point if the interval has passed. Gives its id, or None."""
        body = point(registry_data, queue_data, assignments_data, "automatic-backup", False, None)
        return self._post("/auto-backup", body).get("restore_point_id")

    def get_backup_history(self, backup_type=None, limit=100):
        """The backups, newest first."""
        query = {"limit": limit, "backup_type": backup_type or ""}
        return self._get("/backup-history?" + urllib.parse.urlencode(query))["backups"]

    def get_restore_point_details(self, restore_point_id):
        """A restore point with the backups in it; None when there is no such point."""
        return self._or_none(lambda: self._get("/restore-point/" + quoted(restore_point_id))["details"])

    def get_status(self):
        """How many backups there are, the newest of them, and whether there was a crash."""
        return self._get("/status")

    def detect_crash(self):
        """Whether the service, or a process that shares its store, crashed and nobody has acknowledged it."""
        return self.get_status()["crash_detected"]

    def mark_clean_shutdown(self):
        """Says that this client stops now. A later write takes it back."""
        return self._post("/mark-shutdown", None)["success"]

    def _get(self, path):
        return self._ask("GET", path, None)

    def _post(self, path, body):
        return self._ask("POST", path, body)

    def _ask(self, method, path, body):
        data = None if body is None else json.dumps(body).encode()
        if method == "POST" and data is None:
            data = b""
        request = urllib.request.Request(self.url + BASE + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RecoveryError(error.code, problem_of(error.read())) from None

    @staticmethod
    def _or_none(ask):
        try:
            return ask()
        except RecoveryError as error:
            if error.status == 404:
                return None
            raise


def point(registry_data, queue_data, assignments_data, description, manual, tags):
    return {
        "registry_data": registry_data,
        "queue_data": queue_data,
        "assignments_data": assignments_data,
        "description": description,
        "manual": manual,
        "tags": tags,
    }


def quoted(name):
    return urllib.parse.quote(name, safe="")


def problem_of(body):
    try:
        return json.loads(body)
    except ValueError:
        return {}


def main(url):
    """Uses everything once."""
    recovery = DisasterRecovery(url)
    registry = {"bots": {"BOT-1": {"port": 8001, "load": 0.5}, "größe": {"tags": ["\U0001f41d", None, True]}}}
    queue = {"tasks": [{"id": n, "title": "task %d" % n} for n in range(100)]}

    was_crash = recovery.detect_crash()

    backup_id = recovery.backup("registry", registry, source="example", tags={"environment": "test"})
    assert recovery.restore(backup_id) == registry
    assert recovery.restore("no-such-backup") is None

    point_id = recovery.create_restore_point(registry, queue, {}, "before the change")
    details = recovery.get_restore_point_details(point_id)
    assert details["description"] == "before the change" and details["manual"] is True
    assert [backup["backup_type"] for backup in details["backup_details"]] == ["registry", "queue"]
    assert recovery.restore(details["backups"][1]) == queue
    assert recovery.get_restore_point_details("no-such-point") is None

    # One may have been made by somebody else within the interval; then there is none to make.
    automatic = recovery.auto_backup_if_needed(registry, queue)
    assert automatic is None or recovery.get_restore_point_details(automatic)["manual"] is False
    assert recovery.auto_backup_if_needed(registry, queue) is None

    changed, undo = recovery.restore_in_place(backup_id)
    assert isinstance(changed, dict) and (undo or not any(sum(counts.values()) for counts in changed.values()))

    history = recovery.get_backup_history("registry", limit=2)
    assert len(history) == 2 and history[0]["timestamp"] >= history[1]["timestamp"]
    assert details["backups"][0] in [backup["backup_id"] for backup in history]
    # Others may back up too meanwhile, and retention may forget what is old.
    status = recovery.get_status()
    assert status["total_backups"] >= 3 and status["total_restore_points"] >= 1, status
    try:
        recovery.backup("everything", {})
        raise AssertionError("an unknown type was taken")
    except RecoveryError as error:
        assert error.status == 422, error
    # A clean shutdown also says that an earlier crash has been seen.
    assert recovery.mark_clean_shutdown() is True
    assert recovery.detect_crash() is False
    print("there had been a crash before; everything came back" if was_crash else "everything came back")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8001")
