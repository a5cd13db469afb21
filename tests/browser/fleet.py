"""A small fleet at work: every kind of record, event and point that a screen shows."""

BOTS = [
    ("BOT-1", ["rust", "tests"], "building"),
    ("BOT-2", ["rust"], "idle"),
    ("BOT-3", ["gpu", "training"], "training"),
    ("BOT-4", ["docs"], "waiting for approval"),
]


def fill(service):
    """Fills a store, and gives the id of a point in the middle of it."""
    for number, (bot, can, status) in enumerate(BOTS):
        service.put(f"/api/registry/{bot}", {
            "kind": "worker", "specializations": can, "status": status, "repo": "hive/core", "pid": 4200 + number,
            "max_concurrent": 2, "attributes": {"team": "core"}})
        service.post(f"/api/registry/{bot}/heartbeat")
    service.put("/api/config/limits", {"builds": 3, "tests": 8})
    service.put("/api/config/deploy%2Fwindow", {"from": "02:00", "to": "04:00"})
    service.put("/api/config/motd", "The night shift begins at two. Please leave the deploy window alone until the release is out.")
    for number in range(24):
        branch = ["main", "dev"][number % 2]
        service.push(f"build-{number:03}", {"build": f"4f2a{number:02x}", "branch": branch}, priority=f"P{number % 4}")
    for number in range(4):
        service.push(f"review-{number}", {"review": number}, depends_on=[f"build-{number:03}", "build-009"])
    service.push("train-1", {"model": "tiny"}, capabilities=["tpu"])
    service.push("train-2", {"model": "small"}, capabilities=["gpu"])
    service.push("nightly", "nightly build", delay_ms=3_600_000)
    service.post("/api/schedules", {"name": "nightly", "cron": "0 3 29 2 *", "time_zone": "Europe/Vienna", "overlap": "skip", "task": {"payload": {"job": "backup"}, "priority": "P1"}})
    service.post("/api/schedules", {"name": "sweep", "every_ms": 21_600_000, "missed": "none", "task": {"payload": "sweep", "capabilities": ["docs"]}})
    service.post("/api/schedules/sweep/pause")
    point = service.point("before the night", tags={"ticket": "OPS-12"}, held=True)
    claims = [claim for bot in ("BOT-1", "BOT-2", "BOT-3") for claim in service.claim(bot, max=2, lease_ms=600_000)]
    for claim in claims[:3]:
        service.finish(claim, "complete", result={"artifact": f"{claim['id']}.tar.zst", "seconds": 31.5})
    service.finish(claims[3], "fail", retry=False, error="linker failed: unresolved reference to `hive_init`\n  at core/src/lib.rs:12\n")
    service.post("/api/queue/build-009/cancel")
    service.push("flaky", 1, max_attempts=1, assigned_to="BOT-4")
    for claim in service.claim("BOT-4"):
        service.finish(claim, "fail", error="exit status 137 (killed)")
    for number, text in enumerate(["The build is green.", "I am on build-003.", "Please look at the linker error."]):
        service.post("/api/chat", {"conversation": "standup", "role": "assistant", "content": text, "bot_id": f"BOT-{number + 1}"})
    for number, level in enumerate(["info", "warning", "error"]):
        service.post("/api/audit", {"action": "config.change", "actor": f"BOT-{number + 1}", "target": "limits", "level": level, "details": {"n": number}})
    service.point("after the first builds")
    service.put("/api/config/limits", {"builds": 0, "tests": 8})
    service.put("/api/config/motd", "The night shift begins at three. Please leave the deploy window alone until the release is out.")
    service.ask("DELETE", "/api/registry/BOT-4")
    service.post("/api/points/latest/restore", {"only": ["registry"]})
    return point
