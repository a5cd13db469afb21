"""A tab with the page in it, which notes every message and every request."""

import contextlib
import os

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
AXE = os.environ.get("AXE", "target/browser/axe.min.js")
#: With a folder here, the files of the page come from it, so that a change is tried without building the program.
FILES = os.environ.get("PAGE_FILES")
#: Waiting is for a slow machine; nothing waits this long unless it fails.
PATIENCE = 20_000


class Tab:
    def __init__(self, page, base):
        self.page = page
        self.base = base
        self.messages = []
        self.requests = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, link):
        """Opens a screen by its link, in a page that is loaded anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}#/{link}")
        self.settled()

    def follow(self, link):
        """Goes to a screen as a click on a link does."""
        self.page.evaluate("link => { location.hash = `#/${link}`; }", link)
        self.settled()

    def settled(self):
        """Waits until the screen shows what it loads."""
        self.page.wait_for_selector("h1")
        self.page.wait_for_function("() => !document.querySelector('.wait')")

    def text(self, selector="main"):
        return self.page.inner_text(selector)

    def sees(self, text, selector="main"):
        self.page.locator(selector, has_text=text).first.wait_for()

    def button(self, name, exact=True):
        return self.page.get_by_role("button", name=name, exact=exact)

    def link(self, name, exact=True):
        return self.page.get_by_role("link", name=name, exact=exact)

    def quiet(self, *allowed):
        """No message was written but those that contain one of these texts."""
        said = [message for message in self.messages if not any(text in message for text in allowed)]
        assert not said, said
        self.messages.clear()

    def fits(self, what):
        wide, seen = self.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen, f"{what} is {wide} pixels wide, and the window {seen}"

    def accessible(self, what):
        """axe-core finds nothing."""
        with open(AXE, encoding="utf-8") as file:
            self.page.evaluate(file.read())
        found = self.page.evaluate("async () => (await axe.run()).violations.map(own => `${own.id}: ${own.nodes.map(node => node.html).slice(0, 3)}`)")
        assert not found, (what, found)


@contextlib.contextmanager
def tab(browser, base, scheme="light", size=None):
    context = browser.new_context(viewport=size or WIDE, color_scheme=scheme, reduced_motion="reduce")
    if FILES:
        context.route("**/page/*.*", lambda route: route.fulfill(path=os.path.join(FILES, route.request.url.rsplit("/", 1)[1])))
    try:
        yield Tab(context.new_page(), base)
    finally:
        context.close()
