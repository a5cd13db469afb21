"""The replaced class: the same answers, over a store."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import hivekeep
from hivekeep.compat import BackupMetadata, BackupType, DisasterRecovery, RestorePoint

DATA = {"bots": {"BOT-1": {"port": 8001, "load": 0.5}, "größe": [1, None]}, "version": "1.0"}


def log_of(recovery: DisasterRecovery) -> list[dict[str, object]]:
    return [json.loads(line) for line in recovery.dr_log.read_text().splitlines()]


def old_folder(folder: Path) -> tuple[str, str]:
    """The files that the replaced class leaves behind: a backup in a restore point."""
    backups, logs = folder / ".deia" / "backups", folder / ".deia" / "bot-logs"
    backups.mkdir(parents=True)
    logs.mkdir()
    text = json.dumps(DATA, indent=2)
    backup, point = "67006b98-460f-425f-ac8d-c624ce4b9dc0", "b9a1c2d3-0000-4000-8000-000000000001"
    metadata = {
        "backup_id": backup,
        "backup_type": "registry",
        "timestamp": "2026-11-21T21:16:03.624407",
        "source": "registry-backup",
        "size_bytes": len(text.encode()),
        "item_count": 2,
        "checksum": hashlib.sha256(text.encode()).hexdigest(),
        "tags": {"environment": "production"},
    }
    of_point = {
        "restore_id": point,
        "timestamp": "2026-11-21T21:16:03.700000",
        "backups": [backup],
        "description": "before the night",
        "manually_created": True,
    }
    (backups / f"{backup}.json").write_text(text)
    (backups / "index.json").write_text(json.dumps({"backups": {backup: metadata}, "restore_points": {point: of_point}}))
    line = {"timestamp": "2026-11-21T21:16:03.624441", "event": "backup_created", "details": {"backup_id": backup}}
    (logs / "disaster-recovery.jsonl").write_text(json.dumps(line) + "\n")
    return backup, point


@pytest.mark.parametrize("legacy_files", [False, True])
def test_old_files_are_taken_over_once_with_their_ids_times_and_tags(tmp_path: Path, legacy_files: bool) -> None:
    backup, point = old_folder(tmp_path)
    for _ in range(2):
        recovery = DisasterRecovery(tmp_path, legacy_files=legacy_files)
        assert list(recovery.backups) == [backup] and list(recovery.restore_points) == [point]
        metadata = recovery.backups[backup]
        assert isinstance(metadata, BackupMetadata) and metadata.backup_type is BackupType.REGISTRY
        assert metadata.timestamp == "2026-11-21T21:16:03.624407" and metadata.tags == {"environment": "production"}
        assert recovery.restore_backup(backup) == (True, DATA)
        found = recovery.restore_points[point]
        assert isinstance(found, RestorePoint) and found.manually_created and found.backups == [backup]
        assert found.description == "before the night"
        recovery.store.close()
    assert [line["event"] for line in log_of(recovery)].count("index_loaded") == 1
    with hivekeep.open(tmp_path / ".deia" / "hivekeep.redb") as store:
        assert [event.event for event in store.events(limit=1000)].count("backup_created") == 1


@pytest.mark.parametrize("legacy_files", [False, True])
def test_backups_and_points_come_back_in_another_object(tmp_path: Path, legacy_files: bool) -> None:
    recovery = DisasterRecovery(str(tmp_path), legacy_files=legacy_files)
    done, backup = recovery.create_backup(BackupType.REGISTRY, DATA, tags={"version": "1"})
    made, point = recovery.create_restore_point(DATA, {"tasks": [1]}, {}, "before", manual=True)
    assert done and made
    metadata = recovery.backups[backup]
    text = json.dumps(DATA, indent=2).encode()
    assert (metadata.checksum, metadata.size_bytes) == (hashlib.sha256(text).hexdigest(), len(text))
    assert metadata.source == "backup-registry" and metadata.item_count == 2
    assert abs(datetime.fromisoformat(metadata.timestamp) - datetime.now()) < timedelta(minutes=1)
    other = DisasterRecovery(tmp_path, legacy_files=legacy_files)
    assert other.restore_backup(backup) == (True, DATA)
    details = other.get_restore_point_details(point)
    assert details is not None and [each["backup_type"] for each in details["backup_details"]] == ["registry", "queue"]
    assert details["manual"] is True and details["description"] == "before"
    assert other.restore_backup(details["backups"][1]) == (True, {"tasks": [1]})
    assert len(other.backups) == 3 and len(other.restore_points) == 1 and backup in other.backups
    assert other.get_restore_point_details(backup) is None and other.get_restore_point_details("latest") is None
    assert [each["backup_id"] for each in other.get_backup_history(BackupType.QUEUE)] == [details["backups"][1]]
    status = other.get_status()
    assert status["total_backups"] == 3 and status["backups_by_type"] == {"registry": 2, "queue": 1}
    assert status["latest_restore_point"] == point


def test_an_event_is_in_the_log_when_its_call_returns(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path)
    _, backup = recovery.create_backup(BackupType.QUEUE, {"tasks": []})
    assert log_of(recovery)[-1]["event"] == "backup_created"
    recovery.restore_backup(backup)
    assert log_of(recovery)[-1]["event"] == "restore_successful"
    assert recovery.restore_backup("none") == (False, None)
    assert log_of(recovery)[-1]["details"] == {"reason": "backup_not_found"}
    assert recovery.create_backup(BackupType.QUEUE, {"a": object()}) == (False, "")
    assert log_of(recovery)[-1]["event"] == "backup_failed"
    assert recovery.create_backup(BackupType.QUEUE, {1: (2, 3)})[0]  # type: ignore[dict-item]


def test_data_and_texts_that_the_class_took_are_never_refused(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path)
    odd = {"load": [math.nan, math.inf, -math.inf], "text": "half \ud800", "half \udfff": 1}
    plain = {"load": ["NaN", "Infinity", "-Infinity"], "text": "half ?", "half ?": 1}
    tags = {"a" * 300: "b" * 300, **{f"tag {number}": "ü" * 300 for number in range(100)}}
    done, backup = recovery.create_backup(BackupType.QUEUE, odd, source="a\nb\ud800" + "ü" * 600, tags=tags)
    assert done and recovery.restore_backup(backup) == (True, plain)
    kept = recovery.backups[backup]
    assert kept.source.startswith("a b?üü") and len(kept.tags) == 64 and kept.tags["tag 1"].startswith("üü")
    done, point = recovery.create_restore_point(odd, description="two\nlines " + "x" * 10_000)
    assert done and recovery.restore_points[point].description.startswith("two\nlines xx")


def test_the_automatic_backup_keeps_its_interval(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path)
    assert recovery.auto_backup_if_needed(registry_data=DATA) and not recovery.auto_backup_if_needed(registry_data=DATA)
    recovery._last_auto_backup = datetime.now() - timedelta(minutes=recovery.AUTO_BACKUP_INTERVAL_MINUTES, seconds=1)
    assert recovery.auto_backup_if_needed()
    assert [point.manually_created for point in recovery.restore_points.values()] == [False, False]
    assert json.loads(recovery.metadata_index.read_text())["backups"].keys() == recovery.backups.keys()


def test_backups_beyond_the_retention_are_forgotten_with_their_points(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path, legacy_files=True)
    _, young = recovery.create_backup(BackupType.QUEUE, {"tasks": []})
    _, point = recovery.create_restore_point(DATA, {"tasks": [1]})
    old = recovery.restore_points[point].backups
    for id in old:
        recovery.backups[id].timestamp = (datetime.now() - timedelta(days=8)).isoformat()
    recovery._cleanup_old_backups()
    assert list(recovery.backups) == [young] and len(recovery.restore_points) == 0
    assert [path.name for path in recovery.backup_dir.glob("*-*.json")] == [f"{young}.json"]
    assert [line["event"] for line in log_of(recovery)][-2:] == ["backup_deleted_old", "backup_deleted_old"]


def test_a_killed_process_is_a_crash_until_a_clean_shutdown_is_marked(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path)
    _, point = recovery.create_restore_point(DATA)
    assert recovery.detect_crash_state() == (False, None)
    lines = f"""
import os, signal
from hivekeep.compat import *
recovery = DisasterRecovery({str(tmp_path)!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", lines]).returncode == -signal.SIGKILL
    assert recovery.detect_crash_state() == (True, point) and recovery.get_status()["crash_detected"]
    assert recovery.mark_clean_shutdown() and recovery.detect_crash_state() == (False, None)


def test_with_the_old_files_a_backup_is_compared_with_its_file_and_the_marker_decides(tmp_path: Path) -> None:
    recovery = DisasterRecovery(tmp_path, legacy_files=True)
    _, backup = recovery.create_backup(BackupType.REGISTRY, DATA)
    file = recovery.backup_dir / f"{backup}.json"
    assert file.read_text() == json.dumps(DATA, indent=2)
    file.write_text("{}")
    assert recovery.restore_backup(backup) == (False, None)
    assert log_of(recovery)[-1]["details"] == {"reason": "checksum_mismatch"}
    file.unlink()
    assert recovery.restore_backup(backup) == (False, None)
    assert log_of(recovery)[-1]["details"] == {"reason": "backup_file_missing"}
    assert recovery.detect_crash_state()[0]
    recovery.mark_clean_shutdown()
    assert not recovery.detect_crash_state()[0]
    marker = recovery.state_dir / "shutdown.marker"
    os.utime(marker, (time.time() - 100, time.time() - 100))
    assert recovery.detect_crash_state()[0]
    assert recovery.clear_shutdown_marker() and not marker.exists()
