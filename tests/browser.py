"""What a reader's browser finds on the built site: problems, one line each."""

import functools
import http.server
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from skinsynth.book import gates

MODES = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 390)}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = ("serious", "critical")


def found():
    """Path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def served(site):
    """Address of a local server of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def _sliders(page):
    """Problems of the range controls: a key and the mouse have to change the picture and the value."""
    for i, control in enumerate(page.query_selector_all(".ss-slider input[type=range]")):
        slider = control.evaluate_handle("e => e.closest('.ss-slider')")
        shown = "e => [e.querySelector('output').textContent, [...e.querySelectorAll('img')].findIndex(x => !x.hidden)].join()"
        states = [slider.evaluate(shown)]
        control.scroll_into_view_if_needed()
        control.focus()
        page.keyboard.press("Home")
        states.append(slider.evaluate(shown))
        page.keyboard.press("End")
        states.append(slider.evaluate(shown))
        box = control.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        states.append(slider.evaluate(shown))
        if states[1] == states[2]:
            yield f"slider {i} does not move by keyboard"
        if states[3] in states[1:3]:
            yield f"slider {i} does not move by mouse"


def _page(page, base, name, mode, axe):
    """Problems of one page in one mode."""
    said, asked = [], []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    page.on(
        "request",
        lambda r: asked.append(r.url) if not r.url.startswith((base, "data:", "blob:")) else None,
    )
    page.goto(base + name, wait_until="load")
    page.wait_for_timeout(200)
    yield from (f"console: {text[:120]}" for text in said)
    yield from (f"a request leaves the site: {url[:100]}" for url in asked)
    wide, room = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    if wide > room:
        yield f"scrolls sideways: {wide} pixels in {room}"
    bare = page.evaluate(
        "[...document.images].filter(i => !i.alt && !i.closest('[aria-hidden=true]')).map(i => i.src)"
    )
    yield from (f"image without alt text: {src[:80]}" for src in bare)
    yield from _sliders(page)
    if mode == "light":
        zoom = page.query_selector(".bd-article img.ss-zoom")
        if zoom:
            zoom.scroll_into_view_if_needed()
            zoom.click()
            if not page.query_selector("dialog.ss-box[open]"):
                yield "a click on a picture does not enlarge it"
            page.keyboard.press("Escape")
    for wrong in axe.run(page).response["violations"]:
        if wrong["impact"] in SERIOUS:
            yield f"axe, {wrong['impact']}: {wrong['id']}: {wrong['nodes'][0]['html'][:120]}"


def _mode(base, names, mode):
    """Problems and counts of every page in one mode."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    axe, seen, count = Axe(), [], Counter(pages=len(names))
    scheme, width = MODES[mode]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=found(), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        for name in names:
            page = context.new_page()
            seen += [f"{mode}, {name}: {p}" for p in _page(page, base, name, mode, axe)]
            count["sliders"] += len(page.query_selector_all(".ss-slider input[type=range]"))
            count["pictures"] += len(page.query_selector_all("img.ss-zoom"))
            page.close()
        browser.close()
    return seen, count


def problems(site, once=()):
    """Every page of a site in light, dark and phone width: (list of "mode, page: problem", what was
    looked at: counts of pages, sliders and pictures that a click enlarges).

    once: parts of the addresses of pages that are looked at in light alone.
    """
    pages = gates.html_pages(site)
    names = [str(p.relative_to(site)) for p in pages]
    fewer = [name for name in names if not any(part in name for part in once)]
    looked_at = [names if mode == "light" else fewer for mode in MODES]
    with (
        served(site) as base,
        ThreadPoolExecutor(len(MODES)) as pool,
    ):  # a browser each: they use one core
        found_by = list(pool.map(functools.partial(_mode, base), looked_at, MODES))
    return [p for seen, _ in found_by for p in seen], sum(
        (count for _, count in found_by), Counter()
    )
