"""Bots, points, the audit trail and the service, as the screens tell of them."""

import contextlib
import json
import threading

from screens import _all_loaded, _asked_within, _quiet_service
from tab import NARROW, tab

PAST, FUTURE = "2026-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z"


@contextlib.contextmanager
def _fleet():
    """Four bots: three hold a task each, and the fourth waits for one."""
    with _quiet_service() as service:
        for number in range(1, 5):
            service.put(f"/api/registry/BOT-{number}", {"max_concurrent": 2})
            service.post(f"/api/registry/BOT-{number}/heartbeat")
        for number in range(1, 4):
            service.push(f"task-{number}", number)
            service.claim(f"BOT-{number}", lease_ms=600_000)
        waits = threading.Thread(target=lambda: service.claim("BOT-4", wait_ms=60_000))
        waits.start()
        try:
            yield service
        finally:
            service.push("the last one", 1)
            waits.join()


def _told(own, holders):
    """Changes what the service tells of the holders of tasks. It takes back a task whose lease has ended within a second,
    and only a bot within a process of its own has a session."""
    def answer(route):
        response = route.fetch()
        tasks = response.json()
        for task in tasks["tasks"]:
            task["holder"] |= holders.get(task["holder"]["bot"], {})
        route.fulfill(response=response, body=json.dumps(tasks))
    own.page.route("**/api/queue?state=claimed*", answer)


def test_a_bot_is_silent_after_its_lease_and_lives_by_its_heartbeat_or_the_lock_of_its_process(browser):
    with _fleet() as service, tab(browser, service.url) as own:
        # The lease of the first one was extended again and again.
        _told(own, {"BOT-1": {"since": PAST, "deadline": FUTURE}, "BOT-2": {"deadline": PAST}, "BOT-3": {"session": 7}})
        own.open("bots")
        own.sees("4 registered, 1 silent")
        rows = own.page.locator("main tbody tr")
        assert "BOT-2" in rows.nth(0).inner_text(), "the silent one is first"
        for bot, words in (("BOT-1", ["at work", "1 of 2", "heartbeat"]), ("BOT-2", ["silent", "1 of 2"]), ("BOT-3", ["at work", "lock of its process"]), ("BOT-4", ["waits", "0 of 2"])):
            row = rows.filter(has_text=bot)
            for word in words:
                row.get_by_text(word).first.wait_for()
        assert own.page.get_by_text("idle").count() == 0
        own.accessible("bots")
        own.link("BOT-4").click()
        own.sees("waits", ".facts")
        own.follow("bots/BOT-3")
        own.sees("lock of its process", ".facts")
        own.follow("now")
        own.sees("BOT-2 is silent for longer than its lease", ".verdict")
        assert "BOT-1 is silent" not in own.text(".verdict")
        own.quiet()


def test_a_point_tells_what_exists_only_in_it_and_whether_an_archive_has_it(browser):
    with _quiet_service() as service:
        service.put("/api/config/long", "x" * 50_000)
        service.point("with a long value")
        service.put("/api/config/long", 1)
        service.point("archived")
        service.run("export", "fleet.tar.gz")
        for size in (None, NARROW):
            with tab(browser, service.url, size=size) as own:
                own.open("timeline")
                rows = own.page.locator("main tbody tr")
                archived = rows.filter(has_text="archived", has=own.page.locator(".chip"))
                assert [text.split("\n")[0] for text in archived.all_inner_texts()] and archived.count() == 1
                rows.filter(has_text="with a long value").get_by_role("button", name="Size").click()
                rows.filter(has_text="with a long value").get_by_text("50 KiB only here").wait_for()
                own.fits("a timeline with a size")
                own.accessible("a timeline with a size")
                own.quiet()


def test_the_chain_of_the_audit_trail_is_verified_on_request(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        for number in range(3):
            service.post("/api/audit", {"action": "deploy", "actor": "BOT-1", "details": number})
        last = service.get("/api/pulse")["last_audit"]
        own.open("data")
        own.button("Verify its chain").click()
        own.sees(f"verified up to entry {last}")
        own.follow("log")
        own.follow("data")
        own.sees(f"verified up to entry {last}")
        own.accessible("a verified chain")
        own.quiet()


def test_health_shows_the_settings_of_the_service_without_passwords(browser):
    with _quiet_service("--on-failure", "curl -u me:hunter2 http://localhost:9") as service, tab(browser, service.url) as own:
        own.open("health")
        own.sees("backup-interval")
        row = own.page.locator("main tbody tr", has_text="on-failure")
        assert row.inner_text().split() == ["on-failure", "set"], row.inner_text()
        assert "hunter2" not in own.text("body")
        own.quiet()


def test_a_commit_of_the_queue_loads_no_points_and_events_again(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("one")
        for link in ("timeline", "now"):
            own.open(link)
            _all_loaded(own)
            _asked_within(own, 0)
            service.push(f"{link}-1", 1)
            for _ in range(3):
                own.page.wait_for_event("request", lambda request: request.url.endswith("/api/pulse"))
            asked = {url.rsplit("/", 1)[1].split("?")[0] for url in own.requests}
            assert ("queue" in asked) == (link == "now"), (link, asked)
            assert not asked & {"timeline", "points", "events"}, (link, asked)
        own.follow("timeline")
        service.point("two")
        own.sees("two", "main table")
        own.follow("log")
        service.post("/api/audit", {"action": "deploy", "actor": "BOT-1"})
        own.sees("deploy", "main table")
        service.point("three")
        own.sees("three", "main table")
        own.quiet()


def test_a_page_that_is_paused_shows_a_change_of_its_own(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("one")
        own.open("timeline")
        own.button("Pause").click()
        own.button("Hold").click()
        own.sees("held", "main tbody tr")
        own.button("Release").wait_for()
        own.quiet()


def test_a_list_that_failed_once_is_loaded_again_after_the_next_commit(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("one")
        answers = []

        def refuse_once(route):
            answers.append(route)
            if len(answers) == 1:
                route.fulfill(status=503, json={"kind": "busy", "detail": "busy: try again"})
            else:
                route.continue_()
        own.page.route("**/api/timeline/points*", refuse_once)
        own.open("now")
        own.page.locator(".timebar input[type=range][disabled]").wait_for()
        service.push("new", 1)
        own.page.locator(".timebar input[type=range]:not([disabled])").wait_for()
        own.quiet("status of 503")
