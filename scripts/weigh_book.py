"""Weigh the built book and time its first sight: what tests do not hold, because it depends on the machine.

    python scripts/weigh_book.py [_build/html] [--pages book/index.html chapters/16_dann.html]

For each page: kilobytes after gzip before and with pictures, elements, formulas, and the time to the first words on a
line of 1.6 Mbit/s with 150 ms of delay, as on a poor mobile network, from a server that packs text by gzip.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.site import browser as looking
from tests.site.pages import PAGES

LINE = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
PACKED = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@functools.cache
def packed(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), 6, mtime=0)


class PackingHandler(http.server.SimpleHTTPRequestHandler):
    """Serves text packed by gzip, as GitHub Pages does."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in PACKED or not path.is_file():
            return super().do_GET()
        body = packed(str(path))
        self.send_response(200)
        self.send_header("Content-Type", f"{PACKED[path.suffix]}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def first_paint(browser: Any, address: str, name: str) -> float:
    """Seconds until the first words show, with an empty cache on a slow line."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", LINE)
    page.goto(f"{address}/{name}", wait_until="load", timeout=120_000)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    seconds = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    context.close()
    return float(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", nargs="?", type=Path, default=Path("_build/html"))
    parser.add_argument("--pages", nargs="+", default=PAGES)
    options = parser.parse_args()
    executable = looking.find_chromium()
    if executable is None:
        print("There is no Chromium here; set XFERKIT_CHROMIUM.", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    book = options.book.resolve()
    print(f"{'page':36} {'KB':>6} {'with pictures':>14} {'elements':>9} {'formulas':>9} {'first words, s':>15}")
    with sync_playwright() as play, looking.serve(book, PackingHandler) as address:
        browser = play.chromium.launch(executable_path=executable, args=looking.FLAGS)
        for name in options.pages:
            seen = looking.visit(browser, book, address, name, axe=False)
            plain, whole = (sum(looking.weight(book, seen.files, pictures=with_).values()) for with_ in (False, True))
            seconds = first_paint(browser, address, name)
            print(
                f"{name:36} {plain / 1000:6.0f} {whole / 1000:14.0f} {seen.nodes:9} {seen.formulas:9} {seconds:15.1f}",
                flush=True,
            )
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
