"""The Data page in a browser: a table whose names are traps, and a phone."""

from __future__ import annotations

import csv
import io

import numpy as np
from playwright.sync_api import Page, expect
from served import App

expect.set_options(timeout=45_000)

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
NAMES = ("<img src=x onerror=alert(1)>", "__proto__", "constructor", "**bold** $x^2$", "{a} {{b}}", "x" * 90, "amount", "class")
USE_CELL = 290  # pixels from the editor's left edge
WIDTHS = "[document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth]"


def table() -> bytes:
    rng = np.random.default_rng(0)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(NAMES)
    for _ in range(90):
        x = rng.normal(size=6)
        writer.writerow([*np.round(x, 3), round(float(x.sum()), 3), "yes" if x[0] > 0.1 * rng.normal() else "no"])
    return text.getvalue().encode()


def leave_out(page: Page, row: int) -> None:
    """Set the second cell of a row, "use as", to "left out"."""
    editor = page.locator("[class*=st-key-columns] [data-testid=stDataFrame]")
    editor.scroll_into_view_if_needed()
    box = editor.bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + USE_CELL, box["y"] + 35 * (row + 1.5))
    cell = page.locator("#portal input").last
    cell.press_sequentially("left out")
    cell.press("Enter")
    page.wait_for_selector(IDLE)


def test_one_edit_after_another_holds_and_outlives_another_page(page: Page, app: App) -> None:
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.goto(f"{app.url}/data")
    page.wait_for_selector(IDLE)
    page.get_by_text("My own table").click()
    page.locator("input[type=file]").set_input_files({"name": "traps.csv", "mimeType": "text/csv", "buffer": table()})
    strongest = page.get_by_text("Strongest:")
    expect(strongest).to_contain_text('with "class"')
    leave_out(page, 1)
    expect(strongest).to_contain_text('with "amount"')
    page.locator("[data-testid=stSidebarNavLink], [data-testid=stTopNavLink]").filter(has_text="Runs").click()
    expect(page.locator("h1")).to_contain_text("Runs")
    page.locator("[data-testid=stSidebarNavLink], [data-testid=stTopNavLink]").filter(has_text="Data").click()
    page.get_by_text("My own table").click()
    expect(strongest).to_contain_text('with "amount"')
    leave_out(page, 0)  # the only target now
    expect(page.get_by_text("No target is left")).to_be_visible()


def test_names_that_are_traps_are_drawn_as_text_and_a_phone_need_not_scroll_sideways(page: Page, app: App) -> None:
    executed: list[str] = []
    page.on("dialog", lambda dialog: (executed.append(dialog.message), dialog.dismiss()))
    page.goto(f"{app.url}/data")
    page.wait_for_selector(IDLE)
    page.get_by_text("My own table").click()
    page.locator("input[type=file]").set_input_files({"name": "traps.csv", "mimeType": "text/csv", "buffer": table()})
    expect(page.get_by_text("90 rows: what was understood")).to_be_visible()
    expect(page.locator(".st-key-associations canvas").first).to_be_visible()
    expect(page.get_by_text("A constant always says")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector(IDLE)
    assert max(page.evaluate(WIDTHS)) <= 390
    assert not executed
