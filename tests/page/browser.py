# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).

The protocol travels over a pair of pipes (--remote-debugging-pipe): messages are JSON, each ended by a NUL, so that
nothing but the standard library is needed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path

KEYS = {  # name: (code, virtual key, text)
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Space": ("Space", 32, " "),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "Backspace": ("Backspace", 8, ""),
}
CONTROL, SHIFT = 2, 8


class Failure(Exception):
    pass


class Browser:
    def __init__(self, program: str):
        self.profile = tempfile.TemporaryDirectory(prefix="gptjt-page-")
        to_browser, self.out = os.pipe()
        self.inp, from_browser = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_browser, from_browser)]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        arguments = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self.profile.name}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-extensions",
            "--disable-component-update",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
        ]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium refuses to be root with one
        self.process = subprocess.Popen(
            [program, *arguments, "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (to_browser, from_browser, *high):
            os.close(fd)
        self.buffer, self.id, self.replies, self.events = b"", 0, {}, []

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (Failure, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()

    def pump(self, seconds: float):
        """Reads what comes within that time; returns after the first piece."""
        if not select.select([self.inp], [], [], max(0, seconds))[0]:
            return
        data = os.read(self.inp, 1 << 20)
        if not data:
            raise Failure("the browser ended")
        *messages, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.replies[message["id"]] = message
            else:
                self.events.append(message)

    def call(self, method: str, session: str | None = None, timeout: float = 60, **parameters):
        self.id += 1
        message = {"id": self.id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while self.id not in self.replies:
            if time.monotonic() > end:
                raise Failure(f"{method}: no reply in {timeout} s")
            self.pump(end - time.monotonic())
        reply = self.replies.pop(self.id)
        if "error" in reply:
            raise Failure(f"{method}: {reply['error']['message']}")
        return reply["result"]


class Page:
    """One tab, in a browser context of its own: no storage is shared with other tabs."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        width: int = 1280,
        height: int = 900,
        phone: bool = False,
        dark: bool = False,
        still: bool = True,
        scale: float = 1,
    ):
        self.browser, self.url = browser, url
        self.context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        browser.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
            browserContextId=self.context,
        )
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        if phone:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            ],
        )
        self.go(url)

    def call(self, method: str, **parameters):
        return self.browser.call(method, session=self.session, **parameters)

    def close(self):
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def go(self, url: str):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'", "the page to load")

    def events(self, method: str) -> list[dict]:
        return [
            e["params"] for e in self.browser.events if e.get("sessionId") == self.session and e["method"] == method
        ]

    def complaints(self) -> list[str]:
        """Errors and warnings of scripts, and whatever the policy had to block; not answers with an error status."""
        out = [
            e["exceptionDetails"].get("exception", {}).get("description", e["exceptionDetails"]["text"])
            for e in self.events("Runtime.exceptionThrown")
        ]
        out += [
            str(e["args"])
            for e in self.events("Runtime.consoleAPICalled")
            if e["type"] in ("error", "warning", "assert")
        ]
        out += [
            f"{e['entry']['source']}: {e['entry']['text']}"
            for e in self.events("Log.entryAdded")
            if e["entry"]["level"] in ("error", "warning") and e["entry"]["source"] != "network"
        ]
        return out

    def asked(self) -> list[str]:
        return [e["request"]["url"] for e in self.events("Network.requestWillBeSent")]

    def eval(self, script: str):
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failure(f"{script}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def wait(self, script: str, what: str, seconds: float = 30):
        end = time.monotonic() + seconds
        while not self.eval(f"Boolean({script})"):
            if time.monotonic() > end:
                raise Failure(f"waited {seconds} s for {what}")
            self.browser.pump(0.03)

    def text(self, selector: str) -> str:
        return self.eval(f"document.querySelector({json.dumps(selector)}).innerText")

    def place(self, selector: str) -> tuple[float, float]:
        at = self.eval(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            if (!e) return null;
            window.aimed = e;
            e.scrollIntoView({{block: "center", behavior: "instant"}});
            const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, r.width]; }})()""")
        if not at or not at[2]:
            raise Failure(f"{selector} is not on the page")
        return at[0], at[1]

    def click(self, selector: str):
        x, y = self.place(selector)
        self.eval(
            "window.hit = null; document.addEventListener('click', (event) => (window.hit = event.target), {capture: true, once: true})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        if not self.eval("aimed.contains(hit)"):
            raise Failure(
                f"the click on {selector} at {x}, {y} met {self.eval('hit?.outerHTML.slice(0, 80)')}, now there is {self.eval(f'document.elementFromPoint({x}, {y})?.outerHTML.slice(0, 80)')}"
            )

    def hover(self, selector: str):
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def key(self, name: str, modifiers: int = 0, times: int = 1):
        code, number, text = KEYS[name]
        name = text if name == "Space" else name
        for _ in range(times):
            self.call(
                "Input.dispatchKeyEvent",
                type="keyDown" if text else "rawKeyDown",
                key=name,
                code=code,
                windowsVirtualKeyCode=number,
                text=text,
                modifiers=modifiers,
            )
            self.call(
                "Input.dispatchKeyEvent",
                type="keyUp",
                key=name,
                code=code,
                windowsVirtualKeyCode=number,
                modifiers=modifiers,
            )

    def write(self, text: str):
        self.call("Input.insertText", text=text)

    def fill(self, selector: str, text: str):
        self.eval(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select(); }})()")
        if text:
            self.write(text)
        else:
            self.key("Backspace")

    def picture(self, path: Path, full: bool = False):
        options = {"captureBeyondViewport": full}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", **options)["data"]
        path.write_bytes(base64.b64decode(data))
