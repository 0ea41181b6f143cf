"""Browser figures of the running app, as JSON: `python tests/e2e/measure.py`. To be read on a quiet machine.

run_button, figure, idle: from the server's first answer to the first page ever. first_curve: from Run to the first epoch in the
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
STOPPED = "() => /Stopped after/.test(document.querySelector('.st-key-progress')?.innerText ?? '')"
CLICK = """([button, met]) => new Promise(done => {
  const holds = eval(met), started = performance.now();
  document.querySelector(button).click();
  const look = () => holds() ? done((performance.now() - started) / 1000) : requestAnimationFrame(look);
  look();
})"""
TIMES = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, served(Path(folder)) as app:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        started = time.monotonic()
        page.goto(app.url)
        page.wait_for_selector(".st-key-run button:enabled")
        run_button = time.monotonic() - started
        page.wait_for_selector(".st-key-figure canvas")
        figure = time.monotonic() - started
        page.wait_for_selector(IDLE)
        usable = time.monotonic() - started
        warm(app)
        timings = [once(page, app, 100 + n) for n in range(TIMES)]
        named = {name: round(median(one[name] for one in timings), 2) for name in timings[0]}
        first = {"server_up": app.ready, "run_button": run_button, "figure": figure, "idle": usable}
        print(json.dumps({**{name: round(value, 2) for name, value in first.items()}, **named}))


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
    first_curve = page.evaluate(CLICK, [".st-key-run button", EPOCH])
    page.wait_for_selector(".st-key-stop button:enabled")
    page.wait_for_timeout(1500)
    return {"first_curve": first_curve, "stop": page.evaluate(CLICK, [".st-key-stop button", STOPPED])}


if __name__ == "__main__":
    main()
