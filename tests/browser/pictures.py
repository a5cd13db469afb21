"""Makes the pictures of docs/PAGE.md from a running service: python3 tests/browser/pictures.py"""

import os

from playwright.sync_api import sync_playwright

from fleet import fill
from service import Service, quoted
from tab import tab

FOLDER = "docs/pictures"
SIZE = {"width": 1000, "height": 640}


def main():
    os.makedirs(FOLDER, exist_ok=True)
    with Service("--name", "staging", "--colour", "blue") as service, sync_playwright() as playwright:
        point = fill(service)
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        pictures = [
            ("now", "light", "now"), ("task", "dark", "queue/review-1"), ("compare", "light", f"compare/{quoted(point)}/now?only=config"),
            ("restore", "light", f"restore/{quoted(point)}"), ("past", "dark", f"queue?at={quoted(point)}"),
        ]
        for name, scheme, link in pictures:
            with tab(browser, service.url, scheme, SIZE) as own:
                own.open(link)
                own.page.wait_for_load_state("networkidle")
                own.page.screenshot(path=f"{FOLDER}/page-{name}.png")
        browser.close()


main()
