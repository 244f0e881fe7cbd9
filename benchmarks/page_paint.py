"""How soon a report's page is on the screen, from disk, by the browser's own clock.

In: the path of a page. Each run is a browser of its own with an empty profile. Prints the size, the first paint, first
and largest contentful paint, and when the document is ready with its gallery: the median and the slowest of the runs.
Exits 1 where the slowest first paint is over the budget.

Usage: python benchmarks/page_paint.py runs/demo/report/index.html [--runs 5] [--phone]
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Browser, BrowserType, sync_playwright

BUDGET_MS = 1500
DESKTOP, PHONE = (1280, 900), (390, 844)
MEASURES = """async () => {
  await new Promise((done) => setTimeout(done, 1500));
  const largest = await new Promise((done) => {
    new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime))
      .observe({ type: "largest-contentful-paint", buffered: true });
  });
  const [loaded] = performance.getEntriesByType("navigation");
  const paints = performance.getEntriesByType("paint").map((entry) => [entry.name, entry.startTime]);
  return {
    ...Object.fromEntries(paints),
    "largest-contentful-paint": largest,
    "document and gallery ready": loaded.domContentLoadedEventEnd,
  };
}"""


def measure(browsers: BrowserType, chromium: str, address: str, size: tuple[int, int]) -> tuple[str, dict[str, float]]:
    """One opening of the page in a new browser: the browser's version, and milliseconds by measure."""
    browser: Browser = browsers.launch(executable_path=chromium, args=["--no-sandbox"])
    try:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(address)
        found: dict[str, float] = page.evaluate(MEASURES)
        return browser.version, found
    finally:
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--phone", action="store_true", help="390 x 844 instead of 1280 x 900")
    options = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium or Chrome is installed: nothing can be measured")
    with sync_playwright() as playwright:
        opened = [
            measure(playwright.chromium, chromium, options.page.resolve().as_uri(), PHONE if options.phone else DESKTOP)
            for _ in range(options.runs)
        ]
    print(
        f"{options.page}: {options.page.stat().st_size / 1e6:.1f} MB; Chromium {opened[0][0]} on {platform.machine()}"
    )
    for name in opened[0][1]:
        times = [found[name] for _, found in opened]
        print(f"{name:28} median {statistics.median(times):6.0f} ms   slowest {max(times):6.0f} ms")
    slowest = max(found["first-paint"] for _, found in opened)
    print(f"budget for the first paint: {BUDGET_MS} ms: {'kept' if slowest <= BUDGET_MS else 'broken'}")
    return 0 if slowest <= BUDGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
