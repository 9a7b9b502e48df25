"""A headless Chromium, driven by the DevTools protocol over its pipe: what a page does in a real browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe"]  # fmt: skip


class Chromium:
    """One tab. `requests` are the addresses it asked for, `problems` what its console and policy said."""

    def __enter__(self) -> Chromium:
        assert PROGRAM is not None
        self._stack = ExitStack()
        profile = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", PROGRAM, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._calls, self._rest, self._session = 0, b"", None
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._write)  # the end of its pipe ends the browser
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._stack.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Result of a method of the protocol. Raises RuntimeError with what the browser says."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (more := os.read(self._read, 1 << 20)):
                raise RuntimeError("Chromium has ended")
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        answer = dict(json.loads(message))
        self._event(answer.get("method", ""), answer.get("params", {}))
        return answer

    def _event(self, name: str, params: dict[str, Any]) -> None:
        if name == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif name == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        elif name == "Page.javascriptDialogOpening":
            self.problems.append(f"dialog: {params['message']}")
        elif name == "Page.loadEventFired":
            self._loaded = True

    def open(self, page: Path | str) -> None:
        """Loads the page; returns once it has fired `load`."""
        self._loaded = False
        self.call("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)
        while not self._loaded:
            self._next()

    def run(self, script: str) -> Any:
        """Value of an expression in the page; a promise is waited for."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", str(done)))
        return done["result"].get("value")

    def until(self, script: str) -> None:
        """Runs it until it is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"!!({script})"):
            assert time.monotonic() < end, f"not so: {script}; {self.problems}"
            time.sleep(0.05)

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)  # fmt: skip

    def scheme(self, name: str) -> None:
        """`light` or `dark`: what the system prefers."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def through(self) -> None:
        """Scrolls to the page's end and back, so that all that is drawn when it comes near is drawn."""
        steps = """(async () => {
            const frame = () => new Promise(done => requestAnimationFrame(done));
            for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
                scrollTo({ top: y, behavior: "instant" });
                for (let i = 0; i < 3; i++) await frame();  // what comes near is told with a frame
            }
            await new Promise(done => setTimeout(done, 300));
            scrollTo({ top: 0, behavior: "instant" });
        })()"""
        self.run(steps)

    def picture(self) -> bytes:
        """The whole page as PNG."""
        box = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": box["width"], "height": box["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])
