"""What only a browser can do with the forms of Compare: a dialog that stays open, cells that are typed into."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from served import App

expect.set_options(timeout=45_000)  # a loaded machine is slow, not wrong

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
EPOCH_CELL = (150, 52)  # from the table's corner: behind the rows' marks and the name, in the first row


def opened(page: Page, app: App) -> Page:
    page.goto(app.url)
    page.wait_for_selector(IDLE)
    page.wait_for_selector(".st-key-figure canvas")
    return page


def test_an_arm_on_fewer_tasks_is_applied_and_one_on_none_is_refused(page: Page, app: App) -> None:
    opened(page, app)
    page.locator(".st-key-arm-0 button").click()
    box = page.locator("[data-testid=stDialog] [data-testid=stMultiSelect] input")
    box.press("Backspace")
    expect(page.locator("[data-testid=stDialog] [data-testid=stMultiSelect]")).not_to_contain_text("daily_forecast")
    page.locator(".st-key-arm-apply button").click()
    expect(page.locator(".st-key-arm-0")).to_contain_text("5 tasks")

    page.locator(".st-key-arm-0 button").click()
    for _ in range(5):
        box.press("Backspace")
        page.wait_for_selector(IDLE)
    page.locator(".st-key-arm-apply button").click()
    expect(page.locator("[data-testid=stDialog]")).to_contain_text("An arm trains at least one task")


def test_epochs_typed_into_the_table_of_phases_are_those_of_the_training(page: Page, app: App) -> None:
    page.set_viewport_size({"width": 1280, "height": 1200})  # the mouse reaches only what is seen
    opened(page, app)
    page.get_by_text("Seeds, training, selection").click()
    page.locator("[class*=st-key-phases] [data-testid=stSelectbox]").click()
    page.get_by_role("option", name="these").click()
    expect(page.locator("[class*=st-key-epochs-of-phases-30] input")).to_be_disabled()
    table = page.locator("[class*=st-key-phase-table] [data-testid=stDataFrame]").bounding_box()
    assert table is not None
    page.mouse.dblclick(table["x"] + EPOCH_CELL[0], table["y"] + EPOCH_CELL[1])
    cell = page.locator("#portal input").last  # the table's editor of one cell
    cell.press("Control+A")
    cell.press_sequentially("3")
    cell.press("Enter")
    expect(page.locator("[class*=st-key-epochs-of-phases-23] input")).to_have_value("23")
