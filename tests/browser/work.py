"""Work that people do on the page: the tour of the README by clicking, going back, editing; and hostile content."""

from fleet import fill
from screens import _quiet_service
from service import quoted
from tab import NARROW, tab


def test_the_tour_of_the_readme_is_done_by_clicking(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        own.open("now")
        own.sees("An empty store")
        service.put("/api/registry/BOT-222", {"kind": "worker", "specializations": ["rust"]})
        service.push("build-1", {"build": "4f2a"}, priority="P1")
        service.push("review-1", {"review": "4f2a"}, depends_on=["build-1"])
        service.put("/api/config/limits", {"builds": 3})
        own.link("Timeline").click()
        own.page.get_by_label("Description of a new point").fill("before the night")
        own.button("New restore point").click()
        own.sees("before the night", "main table")
        claim = service.claim("BOT-222", lease_ms=600_000)[0]
        own.link("Queue").click()
        own.link("review-1").click()
        own.sees("waits for build-1, claimed by BOT-222")
        service.finish(claim, "complete", result="built")
        own.sees("It can be claimed now")
        # The mistake: one key is edited here, the bot is removed elsewhere.
        service.ask("DELETE", "/api/registry/BOT-222")
        own.link("Data").click()
        own.link("config").click()
        own.link("limits").click()
        own.button("Edit").click()
        own.page.get_by_label("Value, as JSON").fill('{"builds": 0}')
        own.sees("builds 3 → 0", ".card")
        own.button("Save").click()
        own.sees('"builds": 0')
        own.link("Timeline").click()
        own.link("Compare").click()
        for record in ("config/limits", "registry/BOT-222", "queue/build-1"):
            own.sees(record, "main table")
        own.sees("ready → done by BOT-222", "main table")
        own.button("The point before").click()
        own.link("Data").click()
        own.link("config").click()
        own.sees('{"builds": 3}', "main table")
        own.link("Restore…").click()
        own.sees("1 finished task would run again")
        for name in ("assignments", "queue"):
            box = own.page.get_by_label(name)
            if box.count():
                box.click()
                own.settled()
        own.sees("config: 1 record goes back to the earlier value")
        own.page.get_by_label("Type the number of records").fill("2")
        own.button("Restore 2 records").click()
        own.sees("Restored 2 records", "main")
        assert service.get("/api/config/limits") == {"builds": 3}
        own.page.reload()
        own.page.locator(".undo").get_by_role("button", name="Undo").click()
        own.sees("Undone: 2 records changed", ".messages")
        assert service.get("/api/config/limits") == {"builds": 0}
        own.link("Health").click()
        own.button("Check everything").click()
        own.sees("sound")
        own.quiet()


def test_a_restore_is_refused_when_the_state_has_moved_and_shows_the_new_plan(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.put("/api/config/limits", 1)
        point = service.point("before")
        service.put("/api/config/limits", 2)
        own.open(f"restore/{quoted(point)}")
        own.page.get_by_label("Type the number of records").fill("1")
        service.put("/api/config/other", 3)
        own.button("Restore 1 record").click()
        own.sees("The state has changed since the plan before")
        own.sees("1 record that came later is removed")
        assert service.get("/api/config/limits") == 2
        own.page.get_by_label("Type the number of records").fill("2")
        own.button("Restore 2 records").click()
        own.sees("Restored 2 records", "main")
        assert service.get("/api/config/limits") == 1
        own.quiet("status of 409")


def test_an_undo_that_would_overwrite_later_work_names_it_first(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.put("/api/config/limits", 1)
        point = service.point("before")
        service.put("/api/config/limits", 2)
        own.open(f"restore/{quoted(point)}")
        assert own.button("Restore 1 record").is_disabled()
        own.page.get_by_label("Type the number of records").fill("2")
        assert own.button("Restore 1 record").is_disabled()
        own.page.get_by_label("Type the number of records").fill("1")
        own.button("Restore 1 record").click()
        own.sees("Restored 1 record", ".undo")
        service.put("/api/config/limits", 3)
        own.button("Undo").click()
        own.sees("config/limits", ".undo")
        assert service.get("/api/config/limits") == 3
        own.button("Undo anyway", exact=False).click()
        own.sees("Undone: 1 record changed", ".messages")
        assert service.get("/api/config/limits") == 2
        own.quiet("status of 409")


def test_one_record_is_restored_from_its_history(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.put("/api/config/limits", {"builds": 3})
        service.put("/api/config/other", 1)
        service.point("before")
        service.put("/api/config/limits", {"builds": 0})
        service.put("/api/config/other", 2)
        service.point("after")
        own.open("data/config/limits")
        own.button("Show the versions of this record").click()
        own.link("Restore this one…").click()
        own.sees("Only the record config/limits")
        own.page.get_by_label("Type the number of records").fill("1")
        own.button("Restore 1 record").click()
        own.sees("Restored 1 record", "main")
        assert service.get("/api/config/limits") == {"builds": 3} and service.get("/api/config/other") == 2
        own.quiet()


def test_a_value_that_somebody_else_has_changed_is_not_overwritten(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.put("/api/config/limits", {"builds": 3})
        own.open("data/config/limits?edit=true")
        own.page.get_by_label("Value, as JSON").fill('{"builds": ')
        own.sees("This is not JSON yet")
        own.page.get_by_label("Value, as JSON").fill('{"builds": 9}')
        service.put("/api/config/limits", {"builds": 5})
        own.button("Save").click()
        own.sees("Somebody has changed the value")
        own.sees("builds 5 → 9", ".card")
        assert service.get("/api/config/limits") == {"builds": 5}
        own.button("Save").click()
        own.sees('"builds": 9')
        assert service.get("/api/config/limits") == {"builds": 9}
        own.quiet("status of 412")


def test_tasks_are_requeued_cancelled_and_assigned_without_a_dialog(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        fill(service)
        own.open("queue/build-009")
        own.button("Requeue").click()
        own.sees("ready", ".head")
        own.button("Cancel").click()
        own.sees("cancelled", ".head")
        own.follow("queue/train-2")
        own.page.get_by_label("Bot", exact=True).fill("BOT-3")
        own.button("Assign").click()
        own.sees("BOT-3", ".facts")
        assert service.get("/api/queue/train-2")["assigned_to"] == "BOT-3"
        own.follow("queue/train-1")
        own.sees("needs tpu; no registered bot can")
        own.follow("queue/review-0")
        own.sees("waits for")
        own.quiet()


def test_points_are_held_and_released(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        point = service.point("one")
        own.open("timeline")
        own.button("Hold").click()
        own.sees("held", "main table")
        assert service.get(f"/api/points/{point}")["held"] is True
        own.button("Release").click()
        own.page.wait_for_function("() => !document.querySelector('.is-held')")
        own.quiet()


HOSTILE = "<img src=x onerror=\"window.hurt=1\"><script>window.hurt=1</script> \u202etxt.exe\u2066 \u0007\u001b[31m\u200b ]]> ${1} {{1}} http://evil.example javascript:alert(1)"
DIGITS = "1234567890123456789012345678901234567890"


def test_content_of_bots_is_shown_as_text_whatever_it_is(browser):
    with _quiet_service() as service:
        service.put("/api/registry/BOT-1", {"status": HOSTILE, "kind": HOSTILE, "repo": "javascript:alert(1)", "specializations": ["<b>", "a\"b"], "attributes": {"<i>": HOSTILE}})
        service.push("t<b>&\"'", {"text": HOSTILE}, assigned_to="BOT-1", attributes={"x": HOSTILE})
        service.put("/api/config/k%3Cb%3E%2F..%3F%23", raw=f'{{"big": {DIGITS}, "small": 0.{DIGITS}, "exp": 1.50e400, "tenth": 0.10, "__proto__": {{"a": 1}}, "constructor": 2}}'.encode())
        service.post("/api/chat", {"conversation": "<b>c</b>", "role": HOSTILE, "content": HOSTILE, "bot_id": "BOT-1"})
        service.post("/api/audit", {"action": HOSTILE, "actor": "BOT-1", "target": HOSTILE, "result": HOSTILE, "details": {"d": HOSTILE}})
        service.point(HOSTILE, tags={"<b>": HOSTILE[:80]})
        claim = service.claim("BOT-1")[0]
        service.finish(claim, "fail", error=HOSTILE, retry=False)
        service.put("/api/config/k%3Cb%3E%2F..%3F%23", raw=f'{{"big": {DIGITS}1}}'.encode())
        links = ["now", "timeline", "queue", f"queue/{quoted(claim['id'])}", "bots", "bots/BOT-1", "data/config", "data/config/k%3Cb%3E%2F..%3F%23", "log", "health", "compare/latest/now", "restore/latest"]
        with tab(browser, service.url, size=NARROW) as own:
            for link in links:
                own.open(link)
                own.fits(link)
                assert own.page.evaluate("() => window.hurt") is None, link
                hidden = own.page.evaluate("() => /[\\u0007\\u001b\\u200b\\u202e\\u2066]/.test(document.body.innerText + document.title)")
                assert not hidden, link
                strange = own.page.evaluate("() => [...document.querySelectorAll('a')].map(a => a.getAttribute('href')).filter(href => !/^#/.test(href))")
                assert not strange, (link, strange)
                assert own.page.locator("main img, main script, main b b").count() == 0, link
            own.follow("data/config/k%3Cb%3E%2F..%3F%23?at=latest")
            for text in (f'"big": {DIGITS},', f'"small": 0.{DIGITS}', '"exp": 1.50e400', '"tenth": 0.10', '"__proto__"', '"constructor": 2'):
                own.sees(text, "pre")
            own.follow("compare/latest/now?only=config")
            own.sees(f"{DIGITS}1", "ins")
            own.quiet()


def test_long_values_are_cut_and_shown_whole_on_request(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.push("long", "x" * 200_000 + "END")
        service.put("/api/config/deep", raw=("[" * 60 + "1" + "]" * 60).encode())
        own.open("queue")
        assert len(own.text()) < 5_000
        own.link("long").click()
        own.button("Show all 195 KiB").click()
        own.sees("END", "pre")
        own.follow("data/config/deep")
        own.fits("a deep value")
        own.quiet()


def test_many_changes_are_counted_and_listed_in_pages(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("before")
        for number in range(120):
            service.put(f"/api/config/k{number:03}", number)
        own.open("compare/latest/now")
        own.sees("120 records differ")
        assert own.page.locator("main tbody tr").count() == 50
        own.button("Next page").click()
        own.sees("config/k050", "main table")
        own.button("First page").click()
        own.sees("config/k000", "main table")
        own.quiet()


def test_a_point_is_forgotten_only_with_a_typed_word(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        service.point("one")
        service.put("/api/config/a", 1)
        service.point("two")
        own.open("timeline")
        own.button("Forget…").first.click()
        own.sees("cannot be undone", "dialog")
        assert own.button("Forget it").is_disabled()
        own.accessible("the question")
        own.page.get_by_label("Type forget").fill("forget")
        own.button("Forget it").click()
        own.page.wait_for_function("() => !document.querySelector('dialog') && !document.querySelector('main table').innerText.includes('two')")
        assert [point["description"] for point in service.get("/api/points")["points"]] == ["one"]
        own.quiet()
