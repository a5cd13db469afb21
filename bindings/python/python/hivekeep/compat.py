"""The class that Hivekeep replaces, with its names and its ways: one import changed, nothing lost.

Everything is kept in a store, ``.deia/hivekeep.redb`` in the working folder. The content of the old files there is
adopted when that store is opened for the first time. ``docs/PYTHON.md`` names the differences.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import tempfile
import unicodedata
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from hivekeep.errors import Damaged, NotFound
from hivekeep.mappings import JSON, MutableJSONMapping
from hivekeep.stores import open as open_store

__all__ = ["BackupMetadata", "BackupType", "DisasterRecovery", "RestorePoint"]

_TAKEN_OVER = "hivekeep-compat"
_STALE_SECONDS = 30
# Longer texts are cut off, because the class that is replaced took any.
_SOURCE_BYTES = 512
_DESCRIPTION_BYTES = 4096
_TAGS = 64
_TAG_BYTES = 256
_ORIGINS = ("live", "documents", "adopted")

T = TypeVar("T")


class BackupType(Enum):
    """The part of the state that is in a backup."""

    REGISTRY = "registry"
    QUEUE = "queue"
    BOT_ASSIGNMENTS = "bot_assignments"
    FULL = "full"


@dataclass
class BackupMetadata:
    """A backup, without its content."""

    backup_id: str
    backup_type: BackupType
    timestamp: str
    """Local time without an offset, as ever."""
    source: str
    size_bytes: int
    item_count: int
    checksum: str
    """SHA-256 of ``json.dumps(data, indent=2)``."""
    tags: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as a dict."""
        return {**asdict(self), "backup_type": self.backup_type.value}


@dataclass
class RestorePoint:
    """Several backups of one moment."""

    restore_id: str
    timestamp: str
    """Local time without an offset, as ever."""
    backups: list[str] = field(default_factory=list)
    description: str = ""
    manually_created: bool = False


class _Stored(Mapping[str, T], Generic[T]):
    """Records of the store by their ids. Each keeps its object, so that a change of that object stays for a while."""

    def __init__(self, find: Callable[[str], T | None], list_all: Callable[[], Mapping[str, T]]) -> None:
        self._find, self._list, self._seen = find, list_all, dict[str, T]()

    def __getitem__(self, id: str, /) -> T:
        found = self._find(id)
        if found is None:
            self._seen.pop(id, None)
            raise KeyError(id)
        return self._seen.setdefault(id, found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def items(self) -> ItemsView[str, T]:
        """The records as they are now."""
        return self._now().items()

    def values(self) -> ValuesView[T]:
        """The records as they are now."""
        return self._now().values()

    def _now(self) -> dict[str, T]:
        found = self._list()
        self._seen = {id: self._seen.get(id, record) for id, record in found.items()}
        return dict(self._seen)


class DisasterRecovery:
    """Backups, restore points and crash detection.

    :param work_dir: the working folder.
    :param legacy_files: whether to write the old files beside the store, for programs that read them: a restore compares
        a backup with its file, and the marker file decides whether there was a crash.
    """

    BACKUP_RETENTION_DAYS = 7
    AUTO_BACKUP_INTERVAL_MINUTES = 10
    MAX_BACKUPS_PER_TYPE = 100

    def __init__(self, work_dir: str | os.PathLike[str], *, legacy_files: bool = False) -> None:
        self.work_dir = Path(work_dir)
        self.backup_dir = self.work_dir / ".deia" / "backups"
        self.log_dir = self.work_dir / ".deia" / "bot-logs"
        self.state_dir = self.work_dir / ".deia" / "state"
        for folder in (self.backup_dir, self.log_dir, self.state_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.dr_log = self.log_dir / "disaster-recovery.jsonl"
        self.metadata_index = self.backup_dir / "index.json"
        self._legacy_files = legacy_files
        self._last_auto_backup: datetime | None = None
        self.store = open_store(self.work_dir / ".deia" / "hivekeep.redb")
        self._recovery = self.store._raw.recovery
        self.backups: Mapping[str, BackupMetadata] = _Stored(self._find_backup, self._list_backups)
        self.restore_points: Mapping[str, RestorePoint] = _Stored(self._find_point, self._list_points)
        self._take_over()

    def create_backup(
        self,
        backup_type: BackupType,
        data: Mapping[str, Any],
        source: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> tuple[bool, str]:
        """Makes a backup of ``data``; gives whether it succeeded, and its id."""
        try:
            kept = _as_json(data)
            made = self._recovery.backup(backup_type.value, _name(source) or None, _fit(tags or {}), kept)
            self._write_backup(made["backup_id"], kept)
            details = {"backup_id": made["backup_id"], "type": backup_type.value}
            self._log_event("backup_created", {**details, "size_bytes": made["size_bytes"], "checksum": made["checksum"]})
            return True, made["backup_id"]
        except Exception as error:
            self._log_event("backup_failed", {"type": getattr(backup_type, "value", None), "error": str(error)})
            return False, ""

    def restore_backup(self, backup_id: str) -> tuple[bool, Any]:
        """The content of a backup, compared with its checksum; ``(False, None)`` when that fails."""
        try:
            reason = self._fault_of_file(backup_id)
            if reason is None:
                data = self._recovery.backup_data(backup_id)
                self._log_event(
                    "restore_successful", {"backup_id": backup_id, "type": self.backups[backup_id].backup_type.value}
                )
                return True, data
            details = {"reason": reason}
        except NotFound:
            details = {"reason": "backup_not_found"}
        except Damaged:
            details = {"reason": "checksum_mismatch"}
        except Exception as error:
            details = {"error": str(error)}
        self._log_event("restore_failed", details)
        return False, None

    def create_restore_point(
        self,
        registry_data: Mapping[str, Any] | None = None,
        queue_data: Mapping[str, Any] | None = None,
        assignments_data: Mapping[str, Any] | None = None,
        description: str = "",
        manual: bool = False,
    ) -> tuple[bool, str]:
        """Makes a restore point of what is handed over, in one commit; gives whether it succeeded, and its id."""
        try:
            given = {"registry": registry_data, "queue": queue_data, "bot_assignments": assignments_data}
            documents = [(kind, _as_json(data)) for kind, data in given.items() if data]
            # A point of an empty document has no backup.
            shown = _cut(description, _DESCRIPTION_BYTES)
            made = self._recovery.point_of_documents(shown, documents or [("registry", {})], not manual)
            for id in made["backups"]:
                self._write_backup(id, self._recovery.backup_data(id) if self._legacy_files else None)
            self._log_event(
                "restore_point_created",
                {
                    "restore_id": made["id"],
                    "backup_ids": made["backups"],
                    "description": description,
                    "manual": manual,
                },
            )
            return True, made["id"]
        except Exception as error:
            self._log_event("restore_point_failed", {"error": str(error)})
            return False, ""

    def auto_backup_if_needed(
        self,
        registry_data: Mapping[str, Any] | None = None,
        queue_data: Mapping[str, Any] | None = None,
        assignments_data: Mapping[str, Any] | None = None,
    ) -> bool:
        """Makes a restore point if the last automatic one of this object is old enough; says whether it did."""
        now = datetime.now()
        interval = timedelta(minutes=self.AUTO_BACKUP_INTERVAL_MINUTES)
        if self._last_auto_backup is not None and now - self._last_auto_backup < interval:
            return False
        made, _ = self.create_restore_point(registry_data, queue_data, assignments_data, "automatic-backup", manual=False)
        if made:
            self._last_auto_backup = now
            self._cleanup_old_backups()
            self._save_backup_index()
        return made

    def detect_crash_state(self) -> tuple[bool, str | None]:
        """Whether there was a crash, and then the latest restore point.

        A crash is a process that died with the store open, until somebody marks a clean shutdown. With the old files, it
        is a missing marker file, or one that is older than 30 seconds.
        """
        if self._legacy_files:
            with contextlib.suppress(FileNotFoundError):
                age = datetime.now() - datetime.fromtimestamp(self._marker.stat().st_mtime)
                if age <= timedelta(seconds=_STALE_SECONDS):
                    return False, None
            return True, self._get_latest_restore_point()
        self.store.upkeep()
        if self.store.crash() is None:
            return False, None
        return True, self._get_latest_restore_point()

    def mark_clean_shutdown(self) -> bool:
        """Marks a clean shutdown. An earlier crash has been seen with it."""
        try:
            self.store.acknowledge_crashes()
            if self._legacy_files:
                self._marker.touch()
            self._log_event("clean_shutdown_marked", {})
            return True
        except Exception as error:
            self._log_event("shutdown_marker_failed", {"error": str(error)})
            return False

    def clear_shutdown_marker(self) -> bool:
        """Takes the mark of a clean shutdown back."""
        try:
            if self._legacy_files:
                self._marker.unlink(missing_ok=True)
            self._log_event("shutdown_marker_cleared", {})
            return True
        except Exception as error:
            self._log_event("shutdown_marker_clear_failed", {"error": str(error)})
            return False

    def get_backup_history(self, backup_type: BackupType | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The backups, of a type or of all, the newest first."""
        found = [each.to_dict() for each in self.backups.values() if backup_type in (None, each.backup_type)]
        return sorted(found, key=lambda backup: str(backup["timestamp"]), reverse=True)[:limit]

    def get_restore_point_details(self, restore_point_id: str) -> dict[str, Any] | None:
        """A restore point with the backups in it."""
        point = self.restore_points.get(restore_point_id)
        if point is None:
            return None
        return {
            "restore_id": point.restore_id,
            "timestamp": point.timestamp,
            "backups": point.backups,
            "description": point.description,
            "manual": point.manually_created,
            "backup_details": [self.backups[id].to_dict() for id in point.backups if id in self.backups],
        }

    def get_status(self) -> dict[str, Any]:
        """The numbers of backups and restore points, the latest of them, and whether there was a crash."""
        backups = list(self.backups.values())
        by_type: dict[str, int] = {}
        for backup in backups:
            by_type[backup.backup_type.value] = by_type.get(backup.backup_type.value, 0) + 1
        return {
            "timestamp": datetime.now().isoformat(),
            "total_backups": len(backups),
            "total_restore_points": len(self.restore_points),
            "latest_backup": max(backups, key=lambda each: each.timestamp).backup_id if backups else None,
            "latest_restore_point": self._get_latest_restore_point(),
            "crash_detected": self.detect_crash_state()[0],
            "backup_dir": str(self.backup_dir),
            "backups_by_type": by_type,
            "disk_usage_mb": sum(backup.size_bytes for backup in backups) / (1024 * 1024),
        }

    def _get_latest_restore_point(self) -> str | None:
        points = list(self.restore_points.values())
        return max(points, key=lambda each: each.timestamp).restore_id if points else None

    def _cleanup_old_backups(self) -> None:
        """Forgets the backups that are older than the retention period, with the points of the store that hold them."""
        oldest = datetime.now().astimezone() - timedelta(days=self.BACKUP_RETENTION_DAYS)
        for id, backup in self.backups.items():
            try:
                # A time without an offset is local.
                if datetime.fromisoformat(backup.timestamp).astimezone() >= oldest:
                    continue
                # The backups of one point are of one age, and go together.
                if id in self.backups:
                    self._recovery.forget([f"epoch {self._recovery.find_backup(id)['epoch']}"])
                self._backup_file(id).unlink(missing_ok=True)
                self._log_event("backup_deleted_old", {"backup_id": id})
            except Exception as error:
                self._log_event("cleanup_failed", {"error": str(error)})

    def _save_backup_index(self) -> None:
        """Writes the index as the old file. The store does not read it."""
        try:
            self._write_index()
            self._log_event(
                "index_saved", {"backups": len(self.backups), "restore_points": len(self.restore_points)}
            )
        except Exception as error:
            self._log_event("index_save_failed", {"error": str(error)})

    def _log_event(self, event: str, details: Mapping[str, Any] | None = None) -> None:
        """Appends an event to the log, before the call returns."""
        entry = {"timestamp": datetime.now().isoformat(), "event": event, "details": dict(details or {})}
        try:
            # One write, so that lines of several processes do not mix.
            with open(self.dr_log, "ab", buffering=0) as log:
                log.write((json.dumps(entry) + "\n").encode())
        except (OSError, TypeError, ValueError) as error:
            print(f"[DISASTER-RECOVERY] Failed to log event: {error}")

    @property
    def _marker(self) -> Path:
        return self.state_dir / "shutdown.marker"

    def _backup_file(self, id: str) -> Path:
        return self.backup_dir / f"{id}.json"

    def _take_over(self) -> None:
        """Takes over the old files, once."""
        done: MutableJSONMapping[JSON] = self.store.collection(_TAKEN_OVER)
        if "done" in done:
            return
        old = [path for path in (self.metadata_index, self.dr_log) if path.exists()]
        if old:
            report = self.store.adopt(*old)
            self._log_event("index_loaded", {"backups": len(self.backups), "restore_points": len(self.restore_points)})
            for problem in (problem for file in report["files"] for problem in file["problems"]):
                self._log_event("index_load_failed", {"error": f"{problem['place']}: {problem['why']}".strip(": ")})
        done["done"] = True

    def _fault_of_file(self, id: str) -> str | None:
        """The fault of the file of a backup, where the old files are compared."""
        if not self._legacy_files or id not in self.backups:
            return None
        try:
            content = self._backup_file(id).read_bytes()
        except FileNotFoundError:
            return "backup_file_missing"
        sound = hashlib.sha256(content).hexdigest() == self.backups[id].checksum
        return None if sound else "checksum_mismatch"

    def _write_backup(self, id: str, data: Any) -> None:
        if self._legacy_files:
            _replace(self._backup_file(id), json.dumps(data, indent=2))
            self._write_index()

    def _write_index(self) -> None:
        backups = {id: backup.to_dict() for id, backup in self.backups.items()}
        points = {id: asdict(point) for id, point in self.restore_points.items()}
        _replace(self.metadata_index, json.dumps({"backups": backups, "restore_points": points}, indent=2))

    def _find_backup(self, id: str) -> BackupMetadata | None:
        try:
            return _metadata(self._recovery.find_backup(id))
        except NotFound:
            return None

    def _list_backups(self) -> dict[str, BackupMetadata]:
        # The oldest first, in the order in which they were made.
        return {each["backup_id"]: _metadata(each) for each in reversed(self._recovery.backups(None))}

    def _find_point(self, id: str) -> RestorePoint | None:
        try:
            found = self._recovery.find(id)
        except (ValueError, LookupError):
            return None
        # Other texts than an id name points too.
        return _point(found) if found is not None and found["id"] == id and _is_restore_point(found) else None

    def _list_points(self) -> dict[str, RestorePoint]:
        found = reversed(self._recovery.points(True))
        return {each["id"]: _point(each) for each in found if _is_restore_point(each)}


def _metadata(fields: Mapping[str, Any]) -> BackupMetadata:
    return BackupMetadata(
        backup_id=fields["backup_id"],
        backup_type=BackupType(fields["backup_type"]),
        timestamp=fields["original_time"] or _local(fields["timestamp"]),
        source=fields["source"],
        size_bytes=fields["size_bytes"],
        item_count=fields["item_count"],
        checksum=fields["file_checksum"] or fields["checksum"],
        tags=fields["tags"],
    )


def _point(fields: Mapping[str, Any]) -> RestorePoint:
    return RestorePoint(
        restore_id=fields["id"],
        timestamp=_local(fields["timestamp"]),
        backups=list(fields["backups"]),
        description=fields["description"],
        manually_created=fields["manual"],
    )


def _is_restore_point(fields: Mapping[str, Any]) -> bool:
    """Neither the point of a single backup, which has the id of that backup, nor one that a restore made."""
    return fields["origin"] in _ORIGINS and fields["backups"] != [fields["id"]]


def _local(time: str) -> str:
    return datetime.fromisoformat(time).astimezone().replace(tzinfo=None).isoformat()


def _as_json(data: Any) -> Any:
    """Data as it would come back from a file: keys are texts, tuples are lists. JSON has no ``NaN``, no infinity and no half
    of a surrogate pair: they become the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, and ``"?"``.
    """
    text = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    return json.loads(text, parse_constant=str)


def _cut(text: object, most: int) -> str:
    """A text that the store takes: the end of a long one is cut off."""
    return str(text).encode("utf-8", "replace")[:most].decode(errors="ignore")


def _name(text: object) -> str:
    """A source that the store takes: it is one line."""
    return _cut("".join(" " if unicodedata.category(char) == "Cc" else char for char in str(text)), _SOURCE_BYTES)


def _fit(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that the store takes: long ones are cut off, and those after the first 64 are left out."""
    fit: dict[str, str] = {}
    for name, value in itertools.islice(tags.items(), _TAGS):
        short = _cut(name, _TAG_BYTES)
        fit[short] = _cut(value, _TAG_BYTES - len(short.encode()))
    return fit


def _replace(path: Path, text: str) -> None:
    """Writes a file, so that no reader sees half of it."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
