"""Changes of many tasks at once, which outlive the tab and the service; and long logs and histories."""

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
        own.page.locator(".bulk-job").get_by_role("link", name="Undo…").click()
        own.sees("queue: 19 records go back to the earlier value")
        own.page.get_by_label("Type the number of records").fill("21")
        own.button("Restore 21 records").click()
        own.sees("Restored 21 records", "main")
        assert service.get("/api/pulse")["tasks"]["cancelled"] == 1
        own.quiet()


def test_a_job_outlives_the_tab_and_the_service_and_can_be_stopped(browser):
    with _quiet_service() as service:
        _batch(service, 20_000)
        with tab(browser, service.url) as own:
            own.open("queue?state=ready")
            own.button("Cancel…").click()
            own.page.get_by_label("Type the number of tasks").fill("20000")
            own.button("Cancel 20,000 tasks").click()
            own.page.locator(".bulk-job progress").wait_for()
            own.accessible("a job that runs")
            assert own.button("Cancel…").count() == 0, "one at a time"
        service.kill()
        service.start()
        with tab(browser, service.url, size=NARROW) as own:
            own.open("queue")
            own.page.locator(".bulk-job progress").wait_for()
            own.fits("a job that runs")
            own.button("Stop").click()
            own.sees("stopped", ".bulk-job")
            changed = service.get("/api/pulse")["tasks"]["cancelled"]
            assert 0 < changed < 20_000
            own.page.wait_for_timeout(500)
            assert service.get("/api/pulse")["tasks"]["cancelled"] == changed
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
            assert own.link("Undo…").count() == 0
            own.quiet("status of 401", "status of 422")


def test_a_long_log_is_read_to_its_oldest_entry_without_growing(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        for number in range(450):
            service.post("/api/audit", {"action": f"step-{number:03}", "actor": "BOT-1"})
        own.open("log?show=audit")
        own.sees("step-449", "main table")
        for _ in range(4):
            own.button("Older").click()
            own.page.wait_for_timeout(300)
        own.sees("step-000", "main table")
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
