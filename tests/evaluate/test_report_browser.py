"""The page of a run in a real browser: headless Chromium, driven by its DevTools protocol.

The client is a websocket of the standard library's sockets, so the tests need nothing but the
browser, and are skipped where there is none.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from truez.evaluate.page.report import write_run_page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

PATIENCE = 30.0  # seconds


class Socket:
    """The client's side of a websocket: text frames only, as the protocol has them."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.stream = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.stream.recv(1)
        assert b" 101 " in head

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x81, 0x80 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x81, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x81, 0x80 | 127, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.stream.sendall(head + mask + masked)

    def receive(self) -> str:
        text, last = b"", False
        while not last:
            first, size = self._read(2)
            last = bool(first & 0x80)
            if size == 126:
                (size,) = struct.unpack(">H", self._read(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", self._read(8))
            text += self._read(size)
        return text.decode()

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.stream.recv(size - len(data))
            if not part:
                raise ConnectionError("the browser has gone")
            data += part
        return bytes(data)


class Page:
    """A tab: commands are sent and awaited, what goes wrong on the page is collected."""

    def __init__(self, address: str) -> None:
        self.socket = Socket(address)
        self.number = 0
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.receive())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._event(answer)

    def _event(self, event: dict) -> None:
        method, details = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            self.troubles.append(details["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.troubles.append(json.dumps(details["args"]))
        elif method == "Log.entryAdded":
            self.troubles.append(details["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"][:60])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def open(self, path: Path, *, width: int, height: int = 900, touch: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if touch else 1, mobile=touch,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=5)
        self.loaded = False
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> object:
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until it is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < end, f"still not true: {expression}"
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def center(self, selector: str) -> tuple[float, float]:
        self.value(
            f"document.querySelector('{selector}').scrollIntoView({{block: 'center', "
            "behavior: 'instant'})"
        )
        time.sleep(0.3)  # a wheel right after scrolling is taken for more of it
        rect = self.value(
            f"(r => [r.x, r.y, r.width, r.height])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        return rect[0] + rect[2] / 2, rect[1] + rect[3] / 2

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name: str, text: str = "") -> None:
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(data["data"]))


@contextlib.contextmanager
def browser(profile: Path):
    """A Chromium with one tab, which is closed at the end."""
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions",
        "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE
        while not (port.is_file() and len(port.read_text().splitlines()) == 2):
            assert process.poll() is None, "Chromium did not start"
            assert time.monotonic() < end, "Chromium did not say where it listens"
            time.sleep(0.05)
        number, path = port.read_text().splitlines()
        root = Socket(f"ws://127.0.0.1:{number}{path}")
        root.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        targets = json.loads(root.receive())["result"]["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        page = Page(f"ws://127.0.0.1:{number}/devtools/page/{target}")
        yield page
        page.socket.stream.close()
        root.stream.close()
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def make_run(folder: Path) -> Path:
    place = Path(__file__).with_name("synthetic_run.py")
    spec = importlib.util.spec_from_file_location("synthetic_run", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_run(folder)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_run_page(make_run(tmp_path_factory.mktemp("browser") / "run"))


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def wide(tab, report):
    tab.open(report, width=1280)
    tab.until("document.getElementById('viewer').dataset.slab !== undefined")
    tab.settle()
    yield tab
    assert tab.troubles == []


@pytest.fixture
def phone(tab, report):
    tab.open(report, width=375, height=812, touch=True)
    tab.until("document.getElementById('viewer').dataset.slab !== undefined")
    tab.settle()
    yield tab
    assert tab.troubles == []


STATE = "(({slab, view, zoom, center}) => ({slab, view, zoom, center}))(viewer.dataset)"
SHOWN = "[...document.querySelectorAll('.panel:not([hidden])')].map(p => p.dataset.field)"
PICTURES = (
    "Object.fromEntries([...document.querySelectorAll('.panel:not([hidden])')]"
    ".map(p => [p.dataset.field, p.querySelector('canvas').toDataURL()]))"
)


def overflow(page):
    """How far the page is wider than the window, and what sticks out of it."""
    return page.value(
        "[document.documentElement.scrollWidth - innerWidth, "
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, pre, .skip') && "
        "e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))]"
    )


def test_it_opens_without_trouble_and_asks_the_network_for_nothing(wide, report):
    assert wide.value("document.querySelector('h1').textContent") == "run"
    assert wide.value("document.querySelectorAll('figure.card img').length") == 4
    assert wide.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    foreign = [u for u in wide.requests if not u.startswith(("data:", "file:", "about:"))]
    assert foreign == []
    assert any(url.startswith("file:") for url in wide.requests)


def test_nothing_sticks_out_on_a_screen(wide):
    assert overflow(wide) == [0, []]


def test_nothing_sticks_out_on_a_phone(phone):
    assert phone.value("innerWidth") == 375
    assert overflow(phone) == [0, []]


def test_four_panels_with_pictures_that_differ(wide):
    assert wide.value(SHOWN) == ["truth", "unet", "spec", "photo"]
    pictures = wide.value(PICTURES)
    assert len(set(pictures.values())) == 4


def test_the_slider_moves_and_the_pictures_change(wide):
    before = wide.value(PICTURES)
    start = int(wide.value(STATE)["slab"])
    text = wide.value("document.getElementById('slab-text').textContent")
    wide.value("document.getElementById('slab').focus()")
    wide.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", windowsVirtualKeyCode=39)
    wide.until(f"viewer.dataset.slab === '{start + 1}'")
    wide.settle()
    after = wide.value(PICTURES)
    assert all(after[name] != before[name] for name in before)
    assert wide.value("document.getElementById('slab-text').textContent") != text


def test_dragging_the_slider_reaches_its_ends(wide):
    x, y = wide.center("#slab")
    left, right = wide.value(
        "(r => [r.left, r.right])(document.getElementById('slab').getBoundingClientRect())"
    )
    last = wide.value("Number(document.getElementById('slab').max)")
    wide.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    wide.mouse("mouseMoved", right - 1, y, button="left", buttons=1)
    wide.mouse("mouseReleased", right - 1, y, button="left", clickCount=1)
    wide.until(f"viewer.dataset.slab === '{last}'")
    wide.mouse("mousePressed", left + 1, y, button="left", buttons=1, clickCount=1)
    wide.mouse("mouseReleased", left + 1, y, button="left", clickCount=1)
    wide.until("viewer.dataset.slab === '0'")


def test_arrow_keys_on_the_panels_move_the_slab(wide):
    start = int(wide.value(STATE)["slab"])
    wide.value("document.getElementById('panels').focus()")
    wide.key("ArrowLeft")
    wide.until(f"viewer.dataset.slab === '{start - 1}'")
    wide.key("End")
    wide.until("viewer.dataset.slab === document.getElementById('slab').max")


def test_a_wheel_on_one_panel_zooms_all_and_a_double_click_resets(wide):
    before = wide.value(PICTURES)
    x, y = wide.center(".panel[data-field=spec] canvas")
    wide.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    wide.until("Number(viewer.dataset.zoom) > 2")
    wide.settle()
    zoomed = wide.value(PICTURES)
    assert all(zoomed[name] != before[name] for name in before)
    bar = float(wide.value("viewer.dataset.scaleBar"))
    for count in (1, 2):
        wide.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=count)
        wide.mouse("mouseReleased", x, y, button="left", clickCount=count)
    wide.until("viewer.dataset.zoom === '1.000'")
    assert float(wide.value("viewer.dataset.scaleBar")) > bar
    wide.mouse("mouseMoved", 2, 2)  # no crosshair
    wide.settle()
    assert wide.value(PICTURES) == before


def test_dragging_one_panel_moves_all(wide):
    x, y = wide.center(".panel[data-field=photo] canvas")
    wide.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    wide.until("Number(viewer.dataset.zoom) > 2")
    wide.settle()
    before, center = wide.value(PICTURES), wide.value(STATE)["center"]
    wide.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    wide.mouse("mouseMoved", x + 40, y - 25, button="left", buttons=1)
    wide.mouse("mouseReleased", x + 40, y - 25, button="left", clickCount=1)
    wide.settle()
    after, moved = wide.value(PICTURES), wide.value(STATE)["center"]
    assert all(after[name] != before[name] for name in before)
    (old_x, old_y), (new_x, new_y) = (map(float, text.split()) for text in (center, moved))
    assert new_x < old_x  # the picture follows the pointer
    assert new_y > old_y


def test_the_pointer_reads_every_field(wide):
    x, y = wide.center(".panel[data-field=truth] canvas")
    wide.mouse("mouseMoved", x, y)
    wide.settle()
    read = wide.value(
        "[...document.querySelectorAll('.panel:not([hidden]) output')].map(o => o.textContent)"
    )
    assert len(read) == 4
    assert all(text.lstrip("≤≥ ").replace(".", "").isdigit() for text in read)


def test_the_cut_can_be_changed(wide):
    before = wide.value(PICTURES)
    x, y = wide.center("input[value=across]")
    wide.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    wide.mouse("mouseReleased", x, y, button="left", clickCount=1)
    wide.until("viewer.dataset.view === 'across'")
    wide.settle()
    after = wide.value(PICTURES)
    assert all(after[name] != before[name] for name in before)
    assert wide.value("document.getElementById('slab-text').textContent").startswith("z from")


def test_reconstructions_are_chosen_and_one_is_always_left(wide):
    def click(name):
        x, y = wide.center(f"input[name=field][value={name}]")
        wide.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        wide.mouse("mouseReleased", x, y, button="left", clickCount=1)

    click("wiener")
    wide.until(f"{SHOWN}.length === 5")
    wide.until("viewer.querySelectorAll('.panel:not([hidden]) canvas:not([hidden])').length === 5")
    wide.settle()
    assert len(set(wide.value(PICTURES).values())) == 5
    assert overflow(wide) == [0, []]
    click("unet")
    wide.until(f"{SHOWN}.length === 4")
    assert wide.value(SHOWN) == ["truth", "wiener", "spec", "photo"]
    click("wiener")  # the last one stays
    wide.settle()
    assert wide.value(SHOWN) == ["truth", "wiener", "spec", "photo"]


def test_two_fingers_zoom_on_a_phone_and_one_moves(phone):
    x, y = phone.center(".panel[data-field=truth] canvas")

    def touch(kind, *points):
        phone.call(
            "Input.dispatchTouchEvent", type=kind,
            touchPoints=[{"x": a, "y": b, "id": i} for i, (a, b) in enumerate(points)],
        )  # fmt: skip

    before = phone.value(PICTURES)
    touch("touchStart", (x - 15, y), (x + 15, y))
    for wider in range(18, 46, 3):
        touch("touchMove", (x - wider, y), (x + wider, y))
    touch("touchEnd")
    phone.until("Number(viewer.dataset.zoom) > 2")
    phone.settle()
    zoomed, center = phone.value(PICTURES), phone.value(STATE)["center"]
    assert all(zoomed[name] != before[name] for name in before)
    touch("touchStart", (x, y))
    touch("touchMove", (x - 30, y - 20))
    touch("touchEnd")
    phone.settle()
    assert phone.value(STATE)["center"] != center
    assert all(phone.value(PICTURES)[name] != zoomed[name] for name in before)


def test_it_can_be_read_without_its_script(tab, report):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=1280, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        tab.call("Page.navigate", url=report.resolve().as_uri())
        tab.until("document.readyState === 'complete'")
        stills = "[...document.querySelectorAll('.panel:not([hidden]) img.still')]"
        assert tab.value(f"{stills}.length") == 4
        assert tab.value(f"{stills}.every(i => i.naturalWidth > 0 && i.clientHeight > 100)")
        assert tab.value("getComputedStyle(document.getElementById('controls')).display") == "none"
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
