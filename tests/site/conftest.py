"""The built book and one browser for all tests of the site."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.places import ROOT
from tests.site import browser as looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


def _miss(reason: str) -> None:
    """Skip, or fail where the tests must run."""
    if os.environ.get("XFERKIT_SITE_TESTS") == "require":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for the whole run."""
    if importlib.util.find_spec("playwright") is None:
        _miss("Playwright is not installed: make setup")
    executable = looking.find_chromium()
    if executable is None:
        _miss("there is no Chromium here (Debian: apt-get install chromium; elsewhere set XFERKIT_CHROMIUM)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=looking.FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def book(chromium: Browser) -> Path:
    """The built book: XFERKIT_BOOK, or this checkout's, brought up to date first.

    It asks for the browser, so that nobody waits for a build whose tests are skipped.
    """
    if given := os.environ.get("XFERKIT_BOOK"):
        return Path(given).resolve()
    if sys.platform == "win32":
        built = ROOT / "_build/html"
        if not built.exists():
            _miss("the book is not built")
        return built
    import fcntl

    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build/.building").open("w") as lock:  # workers side by side: one builds, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(["make", "-q", "_build/.book"], cwd=ROOT, capture_output=True).returncode:
            done = subprocess.run(["make", "book"], cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                pytest.fail(f"the book does not build:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}", pytrace=False)
    return ROOT / "_build/html"


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """Where the built book is served."""
    with looking.serve(book) as url:
        yield url


@pytest.fixture(params=["http", "file"])
def origin(request: pytest.FixtureRequest, book: Path, address: str) -> str:
    """Where the book is read from: a server, or the disk."""
    return address if request.param == "http" else book.as_uri()


@pytest.fixture
def said() -> list[str]:
    """What the browser complained about; empty at the end of a test."""
    return []


@pytest.fixture
def open_page(chromium: Browser, said: list[str]) -> Iterator[Open]:
    """Open an address in a fresh browser context of a given width."""
    contexts = []

    def opened(url: str, width: int = 1280, **options: object) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        seconds = float(os.environ.get("XFERKIT_SITE_SECONDS", "15"))  # more on a busy machine
        context.set_default_timeout(1000 * seconds)
        contexts.append(context)
        context.add_init_script(looking.PROBES.read_text(encoding="utf-8"))
        page = context.new_page()
        page.on("console", lambda m: said.append(m.text) if m.type in ("warning", "error") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
