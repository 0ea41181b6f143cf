"""A server for the whole session, and a browser that reports whatever a person should never see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from served import CHROMIUM, App, served

chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HARMLESS = ("404 (Not Found)",)  # a page opened by its own address asks for its health one folder too deep, then finds it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in str(item.path):
            item.add_marker(pytest.mark.e2e)
            if chromium is None:
                item.add_marker(pytest.mark.skip(reason="no chromium on this machine: apt-get install -y chromium"))


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running
        text = running.text()
    for complaint in ("Traceback", "will be removed", "deprecated", "Deprecat"):
        assert complaint not in text, text[-3000:]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    return {"executable_path": chromium, "args": CHROMIUM}


@pytest.fixture(scope="session")
def base_url(app: App) -> str:
    return app.url


@pytest.fixture(autouse=True)
def nothing_wrong_in_the_browser(context: Any, app: App) -> Iterator[None]:
    """No console error, no uncaught exception, no request to another machine, in any page of the test."""
    wrong: list[str] = []
    context.set_default_timeout(45_000)
    context.on(
        "console", lambda m: wrong.append(m.text) if m.type == "error" and not any(h in m.text for h in HARMLESS) else None
    )
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((app.url, "data:", "blob:")) else None)
    yield
    assert not wrong, wrong
