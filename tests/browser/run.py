"""The page in a real browser: python3 tests/browser/run.py [WORDS..] runs the tests whose names have one of these words.

It needs the Python package playwright and a chromium; tests/browser/run installs both where that is possible. The
environment names the program (HIVEKEEP), the browser (CHROMIUM) and the file of axe-core (AXE).
"""

import inspect
import os
import sys
import time
import traceback

from playwright.sync_api import sync_playwright

import many
import schedules
import screens
import sights
import strangers
import work


def main():
    words = sys.argv[1:]
    tests = [test for module in (screens, sights, work, schedules, many, strangers) for name, test in inspect.getmembers(module, inspect.isfunction)
             if test.__module__ == module.__name__ and not name.startswith("_") and name.startswith("test_")]
    tests = [test for test in tests if not words or any(word in test.__name__ for word in words)]
    assert tests, "no test has such a name"
    failed = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        for test in tests:
            begun = time.monotonic()
            try:
                test(browser)
                print(f"ok     {test.__name__[5:]} ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception:  # A test may fail in any way; the next one runs all the same.
                failed.append(test.__name__)
                print(f"FAILED {test.__name__[5:]}", flush=True)
                traceback.print_exc()
        browser.close()
    print(f"{len(tests) - len(failed)} of {len(tests)} passed")
    sys.exit(1 if failed else 0)


main()
