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
#: Where CI is set a missing browser fails the tests that need one; elsewhere they are skipped.
IS_MISSING = PROGRAM is None and not os.environ.get("CI")
_KEYS = {"Enter": ("\r", 13), "Tab": ("\t", 9), "Escape": ("", 27)}


class Chromium:
    """One tab. What the console complains about is in `complaints`, what was asked of the network in `requests`."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
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
        """The value of a JavaScript expression; of a promise, what it comes to."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression[:200]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def set_cookie(self, url: str, name: str, value: str) -> None:
        self._call("Network.setCookie", url=url, name=name, value=value)

    def run_scripts(self, *, on: bool) -> None:
        """Whether pages that are opened from now on may run their scripts."""
        self._call("Emulation.setScriptExecutionDisabled", value=not on)

    def hide(self, *, is_hidden: bool) -> None:
        """Put the tab behind another, or in front again."""
        if is_hidden:
            self._other = self._call_browser("Target.createTarget", url="about:blank")["targetId"]
            self._call_browser("Target.activateTarget", targetId=self._other)
        else:
            self._call_browser("Target.closeTarget", targetId=self._other)
            self._call("Page.bringToFront")

    def wait_for(self, expression: str, seconds: float = 15) -> None:
        """Wait until a JavaScript expression is true of the page; what fails while a page loads is not true yet."""
        deadline = time.monotonic() + seconds
        while not self._is_true(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {expression}; the page says: {self.ask('document.body?.innerText')}")
            time.sleep(0.05)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.ask(expression))
        except AssertionError:
            return False

    def type(self, text: str) -> None:
        self._call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        text, code = _KEYS[key] if key in _KEYS else (key, ord(key.upper()))
        params = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        is_text = key == "Enter" or key not in _KEYS
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text if is_text else "", **params)
        self._call("Input.dispatchKeyEvent", type="keyUp", **params)

    def tab_to(self, expression: str) -> None:
        """Press Tab until the focus is where the expression says."""
        for _ in range(30):
            if self.ask(expression):
                return
            self.press("Tab")
        raise AssertionError(f"no key leads to: {expression}")

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Keep a picture of the page; not the whole of it: of the window."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call_browser(self, method: str, **parameters: Any) -> Any:
        """Call the browser itself, not the tab."""
        session, self._session = self._session, ""
        try:
            return self._call(method, **parameters)
        finally:
            self._session = session

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
            self._note(said.get("method", ""), said.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Log.entryAdded":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str([each.get("value") for each in params["args"]]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

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
