"""Browser figures of the running app, as JSON: `python tests/e2e/measure.py`. To be read on a quiet machine.

usable: from the server's first answer to a page that waits for input. first_curve: from Run to the first epoch in the
figure, with a warm worker. stop: from Stop to the page saying so.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.sync_api import Page, sync_playwright  # noqa: E402
from served import CHROMIUM, App, served  # noqa: E402

from mtl_core.store import open_store  # noqa: E402

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
EPOCH = "() => /at epoch ([1-9]|1\\d|2\\d)\\b/.test(document.querySelector('.st-key-figure [aria-label]')?.ariaLabel ?? '')"
TIMES = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, served(Path(folder)) as app:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        started = time.monotonic()
        page.goto(app.url)
        page.wait_for_selector(".st-key-figure canvas")
        figure = time.monotonic() - started
        page.wait_for_selector(IDLE)
        usable = time.monotonic() - started
        warm(app)
        timings = [once(page, app, 100 + n) for n in range(TIMES)]
        named = {name: round(median(one[name] for one in timings), 2) for name in timings[0]}
        print(json.dumps({"server_up": round(app.ready, 2), "figure": round(figure, 2), "usable": round(usable, 2), **named}))


def warm(app: App) -> None:
    """Wait until a worker has nothing to do."""
    store = open_store(app.store_url)
    while not any(worker.state == "idle" for worker in store.workers.live()):
        time.sleep(0.1)


def once(page: Page, app: App, epochs: int) -> dict[str, float]:
    """One run, stopped after its first curve."""
    page.goto(app.url)
    page.wait_for_selector(IDLE)
    page.get_by_text("Seeds, training, selection").click()
    box = page.locator("[class*=st-key-epochs-] input")
    box.fill(str(epochs))
    box.press("Enter")
    page.get_by_text("changed, Run to update").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector(IDLE)
    started = time.monotonic()
    page.locator(".st-key-run button").click()
    page.wait_for_function(EPOCH)
    first_curve = time.monotonic() - started
    started = time.monotonic()
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-runbar").get_by_text("stopped", exact=True).first.wait_for()
    return {"first_curve": first_curve, "stop": time.monotonic() - started}


if __name__ == "__main__":
    main()
