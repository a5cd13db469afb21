"""Every screen: empty, full, in the past; wide and narrow; dark and light; without one message of the browser."""

import time

from fleet import fill
from service import Service, quoted, until
from tab import NARROW, Tab, tab

#: Every screen, and the screens behind them, on the store of `fleet`.
SCREENS = [
    "now", "timeline", "queue", "queue?state=done", "queue?filter=can%3Agpu", "queue/review-2", "queue/build-004", "schedules", "schedules/nightly", "bots", "bots/BOT-1", "data",
    "data/config", "data/config/limits", "data/config/motd?edit=true", "log", "health", "compare/latest~1/now", "restore/latest~1",
]
#: Those of an empty store.
EMPTY = ["now", "timeline", "queue", "queue?state=dead", "schedules", "bots", "data", "data/config", "log", "health"]
#: Those that differ in the past.
PAST = ["now", "timeline", "queue", "queue/build-004", "schedules", "schedules/nightly", "bots", "bots/BOT-4", "data", "data/config/limits"]


def _quiet_service(*arguments, **options):
    """Without automatic work, so that nothing changes by itself."""
    return Service("--archive-every", "off", "--backup-interval", "off", *arguments, **options)


def _walk(browser, service, links, conditions, key=None):
    for scheme, size in conditions:
        with tab(browser, service.url, scheme, size) as own:
            own.open("now")
            if key:
                _sign_in(own, key)
                own.page.locator(".who").wait_for()
            for link in links:
                own.follow(link)
                own.fits(link)
                own.accessible(f"{link} {scheme}")
                assert "undefined" not in own.text() and "[object" not in own.text() and "NaN" not in own.text(), own.text()
            own.quiet(*(["status of 401", "status of 422"] if key else []))


BOTH = [("light", None), ("dark", NARROW)]
ALL = [("light", None), ("dark", None), ("light", NARROW), ("dark", NARROW)]

#: Every dialog, and the button that opens it. All stand behind a question or a form, so that Escape changes nothing.
DIALOGS = [("now", "Keys"), ("timeline", "Forget…"), ("queue", "Cancel…"), ("queue?state=cancelled", "Requeue…"), ("queue?state=failed", "Remove…"),
           ("schedules", "New schedule…"), ("schedules", "Remove…"), ("schedules/nightly", "Remove…")]


def test_every_screen_of_an_empty_store_is_whole(browser):
    with _quiet_service() as service:
        _walk(browser, service, EMPTY, BOTH)


def test_every_screen_of_a_fleet_at_work_is_whole_in_both_schemes_and_widths(browser):
    with Service("--name", "staging", "--colour", "blue", "--history", "1h") as service:
        fill(service)
        _walk(browser, service, SCREENS, ALL)


def test_every_screen_in_the_past_is_whole_and_changes_nothing(browser):
    with _quiet_service() as service:
        point = fill(service)
        _walk(browser, service, [f"{link}?at={quoted(point)}" for link in PAST], BOTH)
        with tab(browser, service.url) as own:
            for link in PAST:
                own.open(f"{link}?at={quoted(point)}")
                own.sees("before the night", ".timebar")
                for name in ("Cancel", "Requeue", "Assign", "Hold", "Release", "New restore point", "Edit", "Remove", "New schedule…", "Run now", "Pause this", "Resume", "Remove…"):
                    assert own.button(name).count() == 0, (link, name)
            own.open(f"data/config/limits?at={quoted(point)}")
            own.sees('"builds": 3')
            own.button("Back to now").click()
            own.sees('"builds": 0')
            own.quiet()


def test_a_link_shows_the_same_again_and_the_way_back_works(browser):
    with _quiet_service() as service:
        point = fill(service)
        with tab(browser, service.url) as own:
            own.open("queue")
            own.button("failed 1").click()
            own.sees("linker failed")
            own.page.get_by_label("Filter", exact=True).fill("bot:BOT-2")
            own.button("Filter").click()
            own.page.wait_for_function("() => location.hash.includes('filter=')")
            link = own.page.evaluate("() => location.hash")
            with tab(browser, service.url) as other:
                other.page.goto(service.url + link)
                other.settled()
                other.sees("linker failed")
                assert other.page.get_by_label("Filter", exact=True).input_value() == "bot:BOT-2"
            own.page.go_back()
            own.page.go_back()
            own.sees("review-0")
            own.open(f"compare/{quoted(point)}/now?only=config")
            own.sees("builds")
            assert "registry/" not in own.text("main table")
            own.quiet()


def test_the_service_may_be_killed_and_come_back(browser):
    with _quiet_service() as service:
        fill(service)
        with tab(browser, service.url) as own:
            own.open("queue")
            own.sees("review-0")
            _all_loaded(own)
            service.kill()
            own.page.locator(".is-gone").first.wait_for()
            own.sees("The service does not answer", ".gone")
            own.sees("review-0")
            # Screens that were not opened yet are there too; they show that there is no answer.
            own.page.evaluate("() => { location.hash = '#/bots'; }")
            own.page.locator("h1", has_text="Bots").wait_for()
            own.page.evaluate("() => { location.hash = '#/queue'; }")
            service.start()
            service.push("after", {"the": "kill"})
            own.page.wait_for_function("() => !document.querySelector('.is-gone')")
            own.sees("after")
            own.quiet("Failed to load resource: net::ERR_CONNECTION_REFUSED", "Failed to load resource: net::ERR_EMPTY_RESPONSE")


def _all_loaded(own):
    """Waits until the screens are loaded that are not open."""
    files = ["bots", "bulk", "compare", "data", "health", "log", "queue", "restore", "schedules", "timeline", "versions"]
    own.page.wait_for_function("(files) => files.every((name) => performance.getEntriesByName(`${location.origin}/page/${name}.js`).length)", arg=files)


def _asked_within(own, pulses):
    """The requests of the page until it has taken its pulse so often again."""
    def pulse():
        own.page.wait_for_event("request", lambda request: request.url.endswith("/api/pulse"))

    # By the second one the page has asked for all that the first one told of.
    pulse()
    pulse()
    own.requests.clear()
    for _ in range(pulses):
        pulse()
    return sorted(url.rsplit("/", 1)[1] for url in own.requests)


def test_the_first_screen_asks_once_for_each_answer_and_first_for_its_verdict(browser):
    with _quiet_service() as service, tab(browser, service.url) as own:
        own.page.goto(service.url)
        own.settled()
        own.page.locator(".verdict h2").wait_for()
        asked = [url.removeprefix(service.url) for url in own.requests]
        answers = [url for url in asked if url.startswith("api/") or url == "readyz"]
        first = answers[:4]
        assert sorted(first) == ["api/disaster-recovery/status", "api/me", "api/pulse", "readyz"], answers
        others = [url for url in answers if url != "api/pulse"]
        assert len(set(others)) == len(others) == 7, answers
        assert asked.index(first[-1]) < len(asked) - 5, "before the screen is there"
        own.quiet()


def test_an_idle_page_asks_only_for_the_pulse(browser):
    with _quiet_service() as service:
        fill(service)
        with tab(browser, service.url) as own:
            own.open("queue")
            _all_loaded(own)
            begun = time.monotonic()
            asked = _asked_within(own, 4)
            assert asked == ["pulse"] * 4, asked
            assert time.monotonic() - begun > 5, "every two seconds"
            service.push("new", 1)
            own.sees("new", "main table")
            own.quiet()


def test_the_page_works_under_a_path_prefix(browser):
    from prefix import Prefix
    with _quiet_service() as service, Prefix(service.port, "/fleets/north") as proxy:
        fill(service)
        with tab(browser, proxy.url) as own:
            own.open("queue/build-004")
            own.sees("Payload")
            own.page.get_by_role("link", name="Bots").click()
            own.sees("BOT-1")
            assert all("/fleets/north/" in url for url in own.requests if not url.startswith("about:")), own.requests
            own.quiet()


TOKEN = "0123456789abcdef0123456789abcdef"


def _has_sessions(own):
    """Whether the page offers to sign in: where the service has sessions."""
    own.page.locator("h1", has_text="Sign in").or_(own.page.locator("p", has_text="cannot sign in")).first.wait_for()
    return own.page.locator("h1", has_text="Sign in").count() == 1


def _sign_in(own, key):
    if _has_sessions(own):
        own.page.get_by_label("Key", exact=True).fill(key)
        own.button("Sign in").click()
    else:
        own.page.set_extra_http_headers({"Authorization": f"Bearer {key}"})
        own.button("Try again").click()


def test_a_person_signs_in_and_out_with_the_token_and_no_script_can_read_it(browser):
    with Service(token=TOKEN) as service, tab(browser, service.url) as own:
        fill(service)
        own.open("queue")
        own.page.locator(".empty h1").wait_for()
        own.accessible("the sign-in")
        if not _has_sessions(own):
            own.quiet("status of 401")
            return
        _sign_in(own, "not the token of this service")
        own.sees("Refused")
        _sign_in(own, TOKEN)
        own.sees("build-000")
        own.sees("token", ".who")
        own.page.reload()
        own.sees("build-000")
        kept = own.page.evaluate("() => document.cookie + JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }) + location.href")
        assert TOKEN not in kept and "hivekeep_" not in kept, kept
        own.button("Sign out").click()
        own.page.locator("h1", has_text="Sign in").wait_for()
        assert "build-000" not in own.text("body")
        own.quiet("status of 401", "status of 422")


def test_every_screen_asks_one_who_is_not_signed_in_for_a_key_and_shows_nothing_of_the_store(browser):
    with _quiet_service(token=TOKEN) as service:
        fill(service)
        for scheme, size in BOTH:
            with tab(browser, service.url, scheme, size) as own:
                for link in SCREENS:
                    own.open(link)
                    own.page.locator("h1", has_text="Sign in").wait_for()
                    seen = own.text("body")
                    assert not any(word in seen for word in ("BOT-", "build-0", "nightly", "limits", "before the night")), (link, seen)
                own.fits("the sign-in")
                own.accessible(f"the sign-in {scheme}")
                own.quiet("status of 401", "status of 422")


def test_every_dialog_is_whole_in_both_schemes_and_widths(browser):
    with _quiet_service() as service:
        fill(service)
        for scheme, size in ALL:
            with tab(browser, service.url, scheme, size) as own:
                for link, name in DIALOGS:
                    own.open(link)
                    opener = own.button(name).first
                    opener.click()
                    own.page.get_by_role("dialog").wait_for()
                    own.page.wait_for_function("() => !document.querySelector('dialog').innerText.includes('Counting')")
                    own.fits(f"{name} of {link}")
                    box = own.page.get_by_role("dialog").bounding_box()
                    assert box["x"] >= 0 and box["x"] + box["width"] <= own.page.viewport_size["width"], (name, box)
                    wide, seen = own.page.get_by_role("dialog").evaluate("dialog => [dialog.scrollWidth, dialog.clientWidth]")
                    assert wide <= seen, f"{name} of {link} is cut off: {wide} of {seen} pixels"
                    own.accessible(f"{name} of {link} {scheme}")
                    own.page.keyboard.press("Escape")
                    own.page.wait_for_function("() => !document.querySelector('dialog')")
                    assert opener.evaluate("button => button === document.activeElement"), f"the focus does not return to {name} of {link}"
                own.quiet()


def test_ten_tabs_show_what_happens_and_ask_little(browser):
    kinds = ["now", "queue", "schedules", "bots", "timeline", "data", "log", "health", "queue/build-004", "restore/latest"]
    with _quiet_service() as service:
        fill(service)
        # One profile, as a person has it: a browser opens six connections to a service for all its tabs together.
        with tab(browser, service.url) as first:
            tabs = [first] + [Tab(first.page.context.new_page(), service.url) for _ in kinds[1:]]
            for own, link in zip(tabs, kinds):
                own.open(link)
            service.push("seen-by-all", 1)
            tabs[1].sees("seen-by-all", "main table")
            for own in tabs:
                own.settled()
                _all_loaded(own)
                own.requests.clear()
            service.claim("BOT-9", lease_ms=60_000)
            begun = time.monotonic()
            _asked_within(first, 4)
            took = time.monotonic() - begun
            asked = sum(len(own.requests) for own in tabs)
            assert asked <= len(tabs) * (took / 2 + 12), f"{asked} requests in {took:.1f} s"
            for own, link in zip(tabs, kinds):
                own.follow(link)
                assert "Loading" not in own.text(), link
                own.quiet()


def test_a_tab_asks_for_no_more_after_a_walk_through_all_screens_than_before(browser):
    with _quiet_service() as service:
        fill(service)
        with tab(browser, service.url) as own:
            own.open("now")
            _all_loaded(own)
            for _ in range(2):
                for link in [*SCREENS, "now"]:
                    own.follow(link)
            nodes = _nodes(own)
            began = time.monotonic()
            last = _asked_within(own, 8)
            # Two are loaded every 15 seconds, and all that the screen shows once a minute.
            most = 8 + 2 * ((time.monotonic() - began) / 15 + 1) + 6
            assert len(last) <= most, last
            for link in [*SCREENS, "now"]:
                own.follow(link)
            assert _nodes(own) <= nodes * 1.3 + 200, "elements of screens that were left stay"
            own.page.evaluate("""() => {
                Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
                document.dispatchEvent(new Event('visibilitychange'));
            }""")
            own.requests.clear()
            # Nothing tells that nothing happens but the time: eight pulses of a page that is seen.
            own.page.wait_for_timeout(16_000)
            assert len(own.requests) <= 2, own.requests
            own.quiet()


def _nodes(own):
    """The number of nodes in memory, also of those that are on no screen any more."""
    devtools = own.page.context.new_cdp_session(own.page)
    for _ in range(2):
        devtools.send("HeapProfiler.collectGarbage")
    devtools.send("Performance.enable")
    return next(one["value"] for one in devtools.send("Performance.getMetrics")["metrics"] if one["name"] == "Nodes")


def test_the_band_is_on_every_screen_and_in_the_title(browser):
    with _quiet_service("--name", "prod", "--colour", "red") as service, tab(browser, service.url) as own:
        for link in ("now", "log"):
            own.open(link)
            own.sees("prod", ".band")
            assert own.page.title().startswith("prod · "), own.page.title()
        own.quiet()
        with tab(browser, service.url, size=NARROW) as narrow:
            narrow.open("now")
            below = narrow.page.locator("h1").bounding_box()["y"]
            assert below < NARROW["height"] / 2, f"on a narrow screen the content begins at {below}"
            narrow.quiet()


def test_keys_move_the_view_and_change_nothing(browser):
    with _quiet_service() as service:
        fill(service)
        before = service.get("/api/pulse")["state"]
        with tab(browser, service.url) as own:
            own.open("now")
            keys = own.page.keyboard
            for key, title in (("q", "Queue"), ("s", "Schedules"), ("t", "Timeline"), ("b", "Bots"), ("d", "Data"), ("l", "Log"), ("c", "Health"), ("h", "Now")):
                keys.press("g")
                keys.press(key)
                own.page.locator("h1", has_text=title).wait_for()
            keys.press("g")
            keys.press("q")
            own.sees("build-000")
            keys.press("j")
            keys.press("j")
            own.page.wait_for_function("() => document.activeElement.textContent === 'build-001'")
            keys.press("k")
            keys.press("Enter")
            own.page.locator("h1", has_text="build-000").wait_for()
            keys.press("[")
            own.page.locator(".timebar.is-past").wait_for()
            keys.press("n")
            own.page.wait_for_function("() => !document.querySelector('.timebar.is-past')")
            keys.press("g")
            keys.press("q")
            own.settled()
            keys.press("/")
            own.page.wait_for_function("() => document.activeElement.name === 'filter'")
            keys.type("?p[")
            keys.press("Escape")
            keys.press("?")
            own.page.get_by_role("dialog").wait_for()
            own.accessible("the keys")
            keys.press("Escape")
            keys.press("p")
            own.sees("Paused", ".page")
            own.quiet()
        assert service.get("/api/pulse")["state"] == before


def test_rows_do_not_move_under_a_person_who_works_in_them(browser):
    with _quiet_service() as service:
        fill(service)
        with tab(browser, service.url) as own:
            own.open("queue")
            own.sees("build-000")
            own.page.keyboard.press("j")
            service.push("aaa-first", 1)
            own.button("The list has changed: show it").wait_for()
            assert "aaa-first" not in own.text("main table")
            own.button("The list has changed: show it").click()
            own.sees("aaa-first", "main table")
            own.quiet()
        until("the task is there", lambda: service.get("/api/queue/aaa-first"))



def test_a_reader_sees_every_screen_and_no_button_that_would_be_refused(browser):
    with _quiet_service() as service:
        fill(service)
        reader = service.key("ada", "reader")
        with tab(browser, service.url) as own:
            own.open("now")
            _sign_in(own, reader)
            own.sees("ada", ".who")
            for link in SCREENS:
                if not link.startswith("restore/"):
                    own.follow(link)
                    for name in ("Cancel", "Requeue", "Assign", "Hold", "Release", "Forget…", "New restore point", "Edit", "Remove", "Check everything", "New schedule…", "Run now", "Pause this", "Resume", "Remove…"):
                        assert own.button(name).count() == 0, (link, name)
                    assert own.link("Restore…").count() == 0, link
                    own.accessible(f"{link} of a reader")
            own.follow("restore/latest")
            own.sees("A restore needs the role operator")
            own.quiet("status of 401", "status of 422")
        _walk(browser, service, [link for link in SCREENS if not link.startswith("restore/")], [("dark", NARROW)], reader)


def test_a_key_that_is_revoked_ends_what_its_holder_sees(browser):
    with _quiet_service() as service:
        fill(service)
        reader = service.key("ada", "reader")
        with tab(browser, service.url) as own:
            own.open("queue")
            _sign_in(own, reader)
            own.sees("build-000")
            service.run("key", "revoke", "ada")
            own.page.locator(".empty h1").wait_for()
            own.quiet("status of 401", "status of 422")
