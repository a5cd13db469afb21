"""Changes of many tasks at once, which outlive the tab and the service; and long logs and histories."""

import json
import os

from fleet import fill
from screens import _quiet_service, _sign_in
from service import until
from tab import NARROW, tab


def _batch(service, count):
    for first in range(0, count, 5_000):
        service.post("/api/queue/batch", {"tasks": [{"id": f"job-{number:05}", "payload": number} for number in range(first, min(first + 5_000, count))]})


def test_all_tasks_of_a_filter_are_cancelled_by_their_typed_number_and_the_point_before_takes_it_back(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        fill(service)
        own.open("queue?filter=id%3Abuild-")
        own.button("Cancel…").click()
        own.sees("19 tasks would be cancelled", "dialog")
        own.accessible("the question")
        act = own.button("Cancel 19 tasks")
        own.page.get_by_label("Type the number of tasks").fill("18")
        assert act.is_disabled()
        own.page.get_by_label("Type the number of tasks").fill("19")
        act.click()
        own.sees("19 tasks cancelled", ".bulk-job")
        own.accessible("the job")
        tasks = service.get("/api/pulse")["tasks"]
        assert (tasks["cancelled"], tasks["ready"]) == (20, 2), tasks
        own.page.reload()
        own.sees("19 tasks cancelled", ".bulk-job")
        own.page.locator(".bulk-job").get_by_role("button", name="Undo").click()
        # Two bots held some of them; these holds are records too.
        own.sees("Restored 21 records", ".undo")
        assert service.get("/api/pulse")["tasks"]["cancelled"] == 1
        assert own.page.locator(".bulk-job").count() == 0
        own.page.locator(".undo").get_by_role("button", name="Undo").click()
        own.sees("Undone: 19 records changed", ".messages")
        assert service.get("/api/pulse")["tasks"]["cancelled"] == 20
        own.quiet()


def _cancelled(service, own):
    fill(service)
    own.open("queue?filter=id%3Areview-")
    own.button("Cancel…").click()
    own.page.get_by_label("Type the number of tasks").fill("4")
    own.button("Cancel 4 tasks").click()
    own.sees("4 tasks cancelled", ".bulk-job")


def test_an_undo_of_many_tasks_that_would_take_more_with_it_shows_its_plan_first(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        _cancelled(service, own)
        service.push("later", 1)
        own.page.locator(".bulk-job").get_by_role("button", name="Undo").click()
        own.page.locator("h1", has_text="Restore").wait_for()
        own.sees("The queue has changed since", ".messages")
        own.sees("queue: 4 records go back to the earlier value, 1 record that came later is removed")
        assert service.get("/api/queue/later")["state"] == "ready" and service.get("/api/queue/review-0")["state"] == "cancelled"
        assert own.button("Restore 5 records").is_disabled()
        own.page.get_by_label("Type the number of records").fill("5")
        own.button("Restore 5 records").click()
        own.sees("Restored 5 records", "main")
        assert service.get("/api/queue/review-0")["state"] == "waiting"
        own.quiet()


def test_an_undo_of_many_requeued_tasks_shows_its_plan_once_a_bot_has_worked_on_one(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        for number in range(3):
            service.push(f"job-{number}", number, max_attempts=1)
        for claim in service.claim("BOT-1", max=3, max_concurrent=3):
            service.finish(claim, "fail", error="no")
        own.open("queue?state=dead")

        def requeue():
            own.button("Requeue…").click()
            own.page.get_by_label("Type the number of tasks").fill("3")
            own.button("Requeue 3 tasks").click()
            own.sees("3 tasks requeued", ".bulk-job")

        requeue()
        own.page.locator(".bulk-job").get_by_role("button", name="Undo").click()
        own.sees("Restored 3 records", ".undo")
        # An undone change stays closed; shown again, it would pass for the next one.
        own.open("queue?state=dead")
        until("the three tasks are listed", lambda: own.page.get_by_text("job-2").count() > 0)
        assert own.page.locator(".bulk-job").count() == 0
        requeue()
        service.finish(service.claim("BOT-1")[0], "complete", result="worth keeping")
        own.page.locator(".bulk-job").get_by_role("button", name="Undo").click()
        own.sees("The queue has changed since", ".messages")
        own.page.locator("h1", has_text="Restore").wait_for()
        assert service.get("/api/queue/job-0")["result"] == "worth keeping"
        own.quiet()


def test_an_undo_of_many_tasks_is_refused_when_the_state_moves_and_shows_the_new_plan(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        _cancelled(service, own)

        def late(route):
            if "expect" in json.loads(route.request.post_data or "{}"):
                service.push("in-between", 1)
            route.continue_()

        own.page.route("**/restore", late)
        own.page.locator(".bulk-job").get_by_role("button", name="Undo").click()
        own.sees("1 record that came later is removed")
        assert service.get("/api/queue/in-between")["state"] == "ready" and service.get("/api/queue/review-0")["state"] == "cancelled"
        own.quiet("status of 409")


def test_a_typed_number_of_tasks_binds_the_service(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        fill(service)
        own.open("queue?filter=id%3Areview-")
        own.button("Cancel…").click()
        own.page.get_by_label("Type the number of tasks").fill("4")
        service.push("review-9", 1)
        own.button("Cancel 4 tasks").click()
        own.sees("Nothing was changed: it was 4, and more tasks fit now", "dialog")
        own.sees("5 tasks would be cancelled", "dialog")
        own.accessible("the new number")
        assert service.get("/api/bulk")["jobs"] == []
        own.page.get_by_label("Type the number of tasks").fill("5")
        own.button("Cancel 5 tasks").click()
        own.sees("5 tasks cancelled", ".bulk-job")
        own.quiet("status of 409")


def test_a_job_outlives_the_tab_and_the_service_and_can_be_stopped(browser):
    with _quiet_service() as service:
        _batch(service, 60_000)
        with tab(browser, service.url) as own:
            own.open("queue?state=ready")
            own.button("Cancel…").click()
            own.page.get_by_label("Type the number of tasks").fill("60000")
            own.button("Cancel 60,000 tasks").click()
            own.page.locator(".bulk-job progress").wait_for()
            assert own.button("Cancel…").count() == 0, "one at a time"
        service.kill()
        service.start()
        with tab(browser, service.url, size=NARROW) as own:
            # Not until all is loaded, which it may not be before the job has ended.
            own.page.goto(f"{own.base}#/queue")
            own.page.locator(".bulk-job progress").wait_for()
            own.fits("a job that runs")
            own.button("Stop").click()
            own.sees("stopped", ".bulk-job")
            changed = service.get("/api/pulse")["tasks"]["cancelled"]
            assert 0 < changed < 60_000
            job = service.get("/api/bulk")["jobs"][0]
            assert (job["state"], int(job["changed"])) == ("stopped", changed), job
            own.button("Close").click()
            own.page.wait_for_function("() => !document.querySelector('.bulk-job')")
            own.quiet()


def test_a_reader_sees_a_job_and_cannot_begin_or_stop_one(browser):
    with _quiet_service() as service:
        fill(service)
        job = service.post("/api/bulk", {"action": "cancel", "state": "ready"}, expect=202)["id"]
        until("it is done", lambda: service.get(f"/api/bulk/{job}")["state"] == "done")
        reader = service.key("ada", "reader")
        with tab(browser, service.url) as own:
            own.open("queue")
            _sign_in(own, reader)
            own.sees("tasks cancelled", ".bulk-job")
            for name in ("Requeue…", "Cancel…", "Remove…", "Stop"):
                assert own.button(name).count() == 0, name
            assert own.page.locator(".bulk-job").get_by_role("button", name="Undo").count() == 0
            own.quiet("status of 401", "status of 422")


def test_a_long_log_is_read_to_its_oldest_entry_without_growing(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        for number in range(450):
            service.post("/api/audit", {"action": f"step-{number:03}", "actor": "BOT-1"})
        own.open("log?show=audit")
        own.sees("step-449", "main table")
        oldest = own.page.locator("main tbody tr").last
        while "step-000" not in oldest.inner_text():
            before = oldest.inner_text()
            own.button("Older").click()
            own.page.wait_for_function("before => [...document.querySelectorAll('main tbody tr')].at(-1).innerText !== before", arg=before)
        rows = own.page.locator("main tbody tr").count()
        assert rows <= 200, rows
        assert "step-449" not in own.text("main table")
        seen = [text for text in own.page.locator("main tbody td:nth-child(3)").all_inner_texts() if text.startswith("step-")]
        assert seen == [f"step-{number:03}" for number in range(len(seen) - 1, -1, -1)], "none is missing, and none is twice"
        own.button("Newest").click()
        own.sees("step-449", "main table")
        own.quiet()


def test_the_log_counts_what_changed_from_point_to_point(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        fill(service)
        own.open("log")
        own.button("changes").click()
        own.sees("2 changed", "main tbody tr:nth-child(1)")
        own.sees("before the night", "main tbody tr:nth-child(2)")
        own.accessible("changes")
        own.page.locator("main tbody tr").nth(1).get_by_role("link", name="Compare").click()
        own.sees("queue/build-000")
        own.quiet()


def test_the_entries_of_a_bot_are_found_behind_many_of_others(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.post("/api/audit", {"action": "an-old-one", "actor": "BOT-1"})
        for number in range(250):
            service.post("/api/audit", {"action": "of-another", "actor": "BOT-2"})
        own.open("bots/BOT-1")
        own.sees("an-old-one")
        own.link("All its entries").click()
        own.sees("an-old-one", "main table")
        assert "of-another" not in own.text("main table")
        own.button("Show everything").click()
        own.sees("of-another", "main table")
        own.quiet("status of 404")


def test_the_log_of_a_bot_is_in_order_although_its_entries_lie_behind_more_than_one_answer_looks_at(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("an old event")
        service.post("/api/audit", {"action": "an-old-one", "actor": "BOT-1"})
        with open(os.path.join(service.folder, "BOT-2-activity.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"ts": f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z", "event": "of-another", "bot_id": "BOT-2"}) + "\n" for number in range(10_001))
        service.run("adopt", "BOT-2-activity.jsonl")
        service.point("a young event")
        own.open("log?bot=BOT-1")
        own.sees("None of the entries that were looked at fits")
        own.button("Older").click()
        own.sees("an-old-one", "main table")
        seen = own.page.locator("main tbody td:nth-child(3)").all_inner_texts()
        assert seen.index("an-old-one") == len(seen) - 2 and "of-another" not in own.text("main table"), seen
        own.sees("an old event", "main tbody tr:last-child")
        own.quiet()


def test_a_long_history_of_a_record_is_shown_on_request(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        for number in range(70):
            service.put("/api/config/limits", number)
            service.point(f"point {number}")
        own.open("data/config/limits")
        own.button("Show the versions of this record").click()
        own.settled()
        assert own.page.locator(".versions tbody tr").count() == 50
        own.button("Older versions").click()
        own.page.wait_for_function("() => document.querySelectorAll('.versions tbody tr').length === 70")
        own.quiet()
