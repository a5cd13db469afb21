"""Schedules: added, run, paused, removed and brought back on the page."""

import json

from fleet import fill
from screens import _quiet_service, _sign_in
from tab import NARROW, tab

DIGITS = "12345678901234567890"


def test_a_schedule_is_added_with_a_form_that_says_its_faults(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        own.open("schedules")
        own.sees("No schedule")
        own.button("New schedule…").click()
        add = own.button("Add it")
        assert add.is_disabled()
        own.page.get_by_label("Name", exact=True).fill("report")
        own.page.get_by_label("Comes back").fill("61 3 * * *")
        own.page.get_by_label("Payload").fill('{"id": ')
        own.sees("This is not JSON yet", "dialog")
        assert add.is_disabled()
        own.page.get_by_label("Payload").fill(f'{{"id": {DIGITS}}}')
        add.click()
        own.sees("61", "dialog .note")
        own.accessible("the refusal")
        own.page.get_by_label("Comes back").fill("0 3 * * *")
        own.page.get_by_label("Time zone", exact=False).fill("Europe/Vienna")
        own.page.get_by_label("Priority").select_option("P0")
        own.page.get_by_label("While the last task").select_option("skip")
        add.click()
        own.sees("report is added", ".messages")
        own.sees("0 3 * * * Europe/Vienna", "main table")
        made = service.get("/api/schedules/report")
        assert (made["cron"], made["time_zone"], made["overlap"], made["missed"], made["task"]["priority"]) == ("0 3 * * *", "Europe/Vienna", "skip", "last", "P0")
        own.link("report").click()
        own.sees(DIGITS, "pre")
        own.link("Schedules").click()
        own.button("New schedule…").click()
        own.page.get_by_label("Name", exact=True).fill("report")
        own.page.get_by_label("Comes back").fill("90m")
        own.page.get_by_label("Payload").fill("1")
        own.button("Add it").click()
        own.sees("there is a schedule of that name", "dialog .note")
        own.page.get_by_label("Name", exact=True).fill("tidy")
        own.button("Add it").click()
        own.sees("every 90 minutes", "main table")
        assert service.get("/api/schedules/tidy")["every_ms"] == 5_400_000
        own.quiet("status of 409", "status of 422")


def test_a_schedule_is_run_paused_and_resumed_and_the_trail_says_so(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        fill(service)
        own.open("schedules")
        row = own.page.locator("main tbody tr", has_text="nightly")
        own.sees("every 6 hours", "main table")
        own.sees("paused", "main tbody tr:nth-child(2)")
        row.get_by_role("button", name="Pause this").click()
        own.sees("It is paused; resume takes that back", ".messages")
        row.get_by_text("paused").wait_for()
        assert service.get("/api/schedules/nightly")["paused"] is True
        row.get_by_role("button", name="Run now").click()
        own.sees("is in the queue", ".messages")
        own.page.locator("main tbody tr", has_text="nightly").get_by_role("link", name="nightly@").click()
        own.sees("nightly, due", ".facts")
        assert any(task["payload"] == {"job": "backup"} for task in service.get("/api/queue?state=ready")["tasks"])
        own.page.locator(".facts").get_by_role("link", name="nightly").click()
        own.sees("due times are skipped", ".facts")
        own.button("Resume").click()
        own.sees("It goes on 20", ".messages")
        assert service.get("/api/schedules/nightly")["paused"] is False
        own.button("Show the versions of this record").click()
        own.sees("paused", ".versions")
        own.accessible("its versions")
        own.open("log?show=audit")
        for action in ("schedule_pause", "schedule_run", "schedule_resume"):
            own.sees(action, "main table")
        own.quiet()


def test_a_schedule_is_removed_after_a_question_and_comes_back_from_a_point(browser):
    with _quiet_service() as service, tab(browser, service.url, size=NARROW) as own:
        fill(service)
        own.open("schedules")
        own.page.locator("main tbody tr", has_text="nightly").get_by_role("button", name="Remove…").click()
        own.sees("Restore points since it was added still have it", "dialog")
        own.button("Close").click()
        assert service.get("/api/schedules/nightly")["name"] == "nightly"
        own.page.locator("main tbody tr", has_text="nightly").get_by_role("button", name="Remove…").click()
        own.button("Remove it").click()
        own.page.wait_for_function("() => !document.querySelector('main table').innerText.includes('nightly')")
        assert [one["name"] for one in service.get("/api/schedules")["schedules"]] == ["sweep"]
        own.open("schedules/nightly")
        own.sees("there is no such schedule")
        own.button("Show the versions of this record").click()
        own.link("Restore this one…").first.click()
        own.sees("Only the record schedules/nightly")
        own.page.get_by_label("Type the number of records").fill("1")
        own.button("Restore 1 record").click()
        own.sees("Restored 1 record", "main")
        own.follow("schedules")
        own.sees("nightly", "main table")
        own.fits("schedules")
        own.quiet("status of 404")


def test_a_due_time_that_comes_is_seen_without_a_reload(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.post("/api/schedules", {"name": "often", "every_ms": 3_000, "task": {"payload": 1}})
        own.open("schedules")
        own.page.locator("main tbody").get_by_role("link", name="often@").wait_for()
        own.quiet()


def test_a_bot_and_a_reader_see_schedules_and_change_none(browser):
    with _quiet_service() as service:
        fill(service)
        for role in ("reader", "bot"):
            key = service.key(f"ada-{role}", role)
            with tab(browser, service.url) as own:
                own.open("schedules")
                _sign_in(own, key)
                own.sees("nightly", "main table")
                own.link("nightly").click()
                own.sees("due times are skipped", ".facts")
                for name in ("New schedule…", "Run now", "Pause this", "Resume", "Remove…"):
                    assert own.button(name).count() == 0, name
                refused = own.page.evaluate("async () => (await fetch('api/schedules/nightly/pause', { method: 'POST' })).status")
                assert refused == 403, refused
                own.quiet("status of 401", "status of 422", "status of 403")
        assert json.loads(service.run("schedule", "show", "nightly"))["paused"] is False
