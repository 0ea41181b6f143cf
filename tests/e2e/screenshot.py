"""The README's picture, taken from the running app: `python tests/e2e/screenshot.py`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.sync_api import sync_playwright  # noqa: E402
from served import CHROMIUM, served  # noqa: E402

TARGET = ROOT / "docs" / "screenshot.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, served(Path(folder)) as app:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 1020})
        page.goto(app.url)
        page.wait_for_selector(".st-key-figure canvas")
        page.wait_for_selector(".st-key-cards [data-testid=stMetric]")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        page.wait_for_timeout(1000)  # fonts
        TARGET.parent.mkdir(exist_ok=True)
        page.screenshot(path=TARGET)


if __name__ == "__main__":
    main()
