"""Looking at the built book as a reader's browser does: one visit to a page gathers everything that tests ask about.

A visit is slow and a question is quick. So `visit` opens a page once from http:// and once from file://, in light and
dark, at every width, and notes what it sees in a `Visit`; the tests are assertions about that note. To hold a new
thing (a quiz, a card, an interactive figure), add a field here and a test that reads it.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

HERE = Path(__file__).parent
AXE = HERE / "axe" / "axe.min.js"
PROBES = HERE / "probes.js"
WIDTHS = (320, 390, 768, 1280)
HEIGHT = 900
PICTURES = {".png", ".webp", ".jpg", ".jpeg", ".gif", ".svg", ".avif"}

# A browser that asks nobody anything: no updates, no reports, and no name of another machine can be resolved, so that
# a page that needs the network fails here as it does on a train.
FLAGS = [
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
    "--no-first-run", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip


def find_chromium() -> str | None:
    """The system's Chromium or Chrome: XFERKIT_CHROMIUM, or what lies on the path."""
    if named := os.environ.get("XFERKIT_CHROMIUM"):
        return named
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test that fails shows what it needs."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves a page breaks its downloads off; that is no fault."""


@contextmanager
def serve(folder: Path, handler: Callable[..., http.server.SimpleHTTPRequestHandler] = Handler) -> Iterator[str]:
    """Serve a folder on this machine; gives the address, without a slash at the end."""
    server = _Server(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Visit:
    """What one page showed. Lists of faults are empty where all is well."""

    page: str
    console: list[str] = field(default_factory=list)
    """Warnings, errors and uncaught exceptions, each with the scheme that the page came by."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests that left the book."""
    failed: list[str] = field(default_factory=list)
    """Requests without an answer, or answered with an error."""
    files: set[str] = field(default_factory=set)
    """The book's files that the page loaded, pictures further down included, relative to the book."""
    overflow: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    """Pictures without words, without a size, not lazy, or not shown."""
    focus: list[str] = field(default_factory=list)
    """What can be reached by keyboard and does not show that it has been."""
    stops: list[str] = field(default_factory=list)
    """The first stops of a walk with the tab key."""
    glyphs: list[str] = field(default_factory=list)
    """Icons that wait for an icon font."""
    formulas: int = 0
    unset_formulas: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    """Places where the order of headings skips a level, and pages with other than one h1."""
    axe: list[str] = field(default_factory=list)
    """What axe-core calls serious or critical, in light and in dark."""
    minor: list[str] = field(default_factory=list)
    """What it calls minor or moderate: reported, not held."""
    nodes: int = 0


def watch(page: Page, origin: str, visit: Visit, label: str) -> None:
    """Note what the page says, asks for and does not get."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("warning", "error", "assert"):
            visit.console.append(f"{label}: {message.type}: {message.text[:200]}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            visit.elsewhere.append(f"{label}: {request.url[:200]}")

    def on_failed(request: Request) -> None:
        visit.failed.append(f"{label}: {request.url[:200]} ({request.failure})")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            visit.failed.append(f"{label}: {response.url[:200]} (HTTP {response.status})")

    page.on("console", on_console)
    page.on("pageerror", lambda error: visit.console.append(f"{label}: exception: {str(error)[:200]}"))
    page.on("request", on_request)
    page.on("requestfailed", on_failed)
    page.on("response", on_response)


def settle(page: Page) -> None:
    """Wait until scripts, formulas, fonts and pictures (those further down too) are there, and stop all movement."""
    page.evaluate("async () => { await window.probes.settle(); }")


def visit(browser: Browser, book: Path, address: str, name: str, *, axe: bool = True) -> Visit:
    """Look at one page of a built book, from `address` (http://) and from the file itself."""
    seen = Visit(name)
    probes = PROBES.read_text(encoding="utf-8")

    context = browser.new_context(viewport={"width": 1280, "height": HEIGHT}, color_scheme="light")
    context.add_init_script(probes)
    page = context.new_page()
    watch(page, address, seen, "http")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(f"{address}/{name}", wait_until="load")
    settle(page)
    seen.files = {_relative(url, address) for url in loaded if url.startswith(address)} - {"favicon.ico"}
    seen.nodes = int(page.evaluate("document.getElementsByTagName('*').length"))
    seen.formulas, seen.unset_formulas = page.evaluate("window.probes.formulas()")
    seen.headings = page.evaluate("window.probes.headings()")
    seen.pictures = page.evaluate("window.probes.pictures()")
    seen.glyphs = page.evaluate("window.probes.glyphs()")
    seen.stops = _walk(page)
    seen.focus = page.evaluate("window.probes.focus()")
    if axe:
        page.evaluate("window.probes.thin()")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        _run_axe(page, seen, "light, 1280 px")
    page.evaluate("window.probes.open()")
    for width in sorted(WIDTHS, reverse=True):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate("window.probes.frames()")
        for probe in ("overflow", "broken", "cut"):
            seen.overflow += [f"{width} px: {fault}" for fault in page.evaluate(f"window.probes.{probe}()")]
    if axe:
        page.evaluate("window.probes.theme('dark')")
        page.set_viewport_size({"width": 390, "height": HEIGHT})
        page.evaluate("window.probes.frames()")
        _run_axe(page, seen, "dark, 390 px, folds open")
    context.close()

    context = browser.new_context(viewport={"width": 390, "height": HEIGHT}, color_scheme="dark")
    context.add_init_script(probes)
    page = context.new_page()
    watch(page, "file://", seen, "file")
    page.goto((book / name).as_uri(), wait_until="load")
    settle(page)
    context.close()
    return seen


def _relative(url: str, address: str) -> str:
    return unquote(urlsplit(url[len(address) :].lstrip("/")).path)


def _walk(page: Page, steps: int = 8) -> list[str]:
    stops = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        stops.append(str(page.evaluate("window.probes.focused()")))
    return stops


def _run_axe(page: Page, seen: Visit, label: str) -> None:
    for rule, impact, target, text in page.evaluate("window.probes.axe()"):
        into = seen.axe if impact in ("serious", "critical") else seen.minor
        into.append(f"{label}: {rule} ({impact}) at {target}: {text}")


@functools.cache
def _gzip_size(path: str, stamp: int) -> int:
    return len(gzip.compress(Path(path).read_bytes(), 9, mtime=0))


def gzip_size(path: Path) -> int:
    """The bytes of a file as a server sends it, packed by gzip (what is packed already hardly changes)."""
    return _gzip_size(str(path), path.stat().st_mtime_ns)


def weight(book: Path, files: set[str], *, pictures: bool) -> dict[str, int]:
    """Bytes after gzip of the files that a page loads, the heaviest first."""
    kept = {name for name in files if pictures or Path(name).suffix.lower() not in PICTURES}
    sizes = {name: gzip_size(book / name) for name in kept}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def sha256(path: Path) -> str:
    """The sum by which a vendored file is known."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
