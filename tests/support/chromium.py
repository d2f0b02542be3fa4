"""A real browser for tests: Debian's chromium without a screen, driven by keys over its debugging pipe."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
_KEYS = {"Enter": ("\r", 13), "Tab": ("\t", 9)}


class Chromium:
    """One tab. Whatever the console complains about is in `complaints`."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)
        self.wait_for("document.readyState == 'complete'")

    def size(self, width: int, height: int, *, scheme: str = "light") -> None:
        """A window of so many pixels, under a light or dark system."""
        mobile = width < 600
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def ask(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 15) -> None:
        """Wait until a JavaScript expression is true of the page."""
        deadline = time.monotonic() + seconds
        while not self.ask(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {expression}; the page says: {self.ask('document.body?.innerText')}")
            time.sleep(0.05)

    def type(self, text: str) -> None:
        self._call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        text, code = _KEYS[key]
        params = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text if key == "Enter" else "", **params)
        self._call("Input.dispatchKeyEvent", type="keyUp", **params)

    def tab_to(self, expression: str) -> None:
        """Press Tab until the focus is where the expression says."""
        for _ in range(30):
            if self.ask(expression):
                return
            self.press("Tab")
        raise AssertionError(f"no key leads to: {expression}")

    def picture(self, path: Path) -> None:
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                if "error" in said:
                    raise AssertionError(f"{method}: {said['error']}")
                return said["result"]
            if said.get("method") == "Log.entryAdded":
                self.complaints.append(said["params"]["entry"]["text"])

    def _read(self) -> Any:
        while b"\0" not in self._buffer:
            part = os.read(self._back, 65536)
            if not part:
                raise AssertionError("chromium ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser with a fresh profile, gone when the block ends."""
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    profile = tempfile.mkdtemp(prefix="tds-chromium-")
    argv = [
        PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={profile}", "--remote-debugging-pipe",
    ]  # fmt: skip

    # The browser reads commands from descriptor 3 and answers on 4.
    shell = f'exec "$@" 3<&{to_read} 4>&{back_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *argv],
        pass_fds=(to_read, back_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_read)
    os.close(back_write)
    try:
        yield Chromium(to_write, back_read)
    finally:
        process.terminate()
        process.wait(10)
        os.close(to_write)
        os.close(back_read)
        shutil.rmtree(profile, ignore_errors=True)
