"""Drives JupyterLab in Chromium, and prints what was seen as JSON. It runs with the package set of JupyterLab.

Arguments: the address of the notebook, the folder for pictures, and the folder of Chromium's package set.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.notebook_client import chromium

SECONDS = 240
KERNEL = """
const panel = [...(window.jupyterapp?.shell.widgets("main") ?? [])].find(each => each.sessionContext);
return panel?.sessionContext.session?.kernel?.status;
"""
ACTIVATE = """
const panel = [...window.jupyterapp.shell.widgets("main")].find(each => each.sessionContext);
window.jupyterapp.shell.activateById(panel.id);
return window.jupyterapp.commands.isEnabled("notebook:run-all-cells");
"""
RUN = 'window.jupyterapp.commands.execute("notebook:run-all-cells")'
TEXT = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent).join(' ')"
PHASES = """
const phases = [...document.querySelectorAll(".mlp-phase")];
return Object.fromEntries(phases.map(each => [each.textContent, each.dataset.state]));
"""


class Session:
    """A browser with the notebook open.

    :param own: folder for the files of the browser.
    """

    def __init__(self, url: str, pictures: Path, programs: Path, own: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(chromium.program(programs))
        for flag in (*chromium.FLAGS, "--window-size=1180,1000", f"--user-data-dir={own / 'profile'}"):
            options.add_argument(flag)
        service = Service(str(chromium.driver(programs)), env=chromium.environment(programs, own))
        self.browser = webdriver.Chrome(options=options, service=service)
        self.browser.set_script_timeout(SECONDS)
        # JupyterLab runs the notebook that has the focus, and a page without a window may have none.
        self.browser.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
        self.pictures = pictures
        self.browser.get(url)

    def until(self, what: str, look: Any) -> Any:
        """Wait until ``look`` returns something true."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if found := look():
                    return found
            except (StaleElementReferenceException, WebDriverException):
                pass
            time.sleep(0.1)
        self.browser.save_screenshot(str(self.pictures / "failed.png"))
        raise TimeoutError(f"{what}; the page says: {self.browser.find_element(By.TAG_NAME, 'body').text[:2000]}")

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return str(self.browser.execute_script(TEXT, selector))

    def click(self, selector: str) -> None:
        self.until(f"{selector} to be there", lambda: self.all(selector))
        self.browser.execute_script("arguments[0].click()", self.all(selector)[0])

    def has_kernel(self) -> bool:
        """Whether a kernel is idle, and no dialog is open."""
        return self.browser.execute_script(KERNEL) == "idle" and not self.all(".jp-Dialog")

    def accept(self) -> bool:
        """Whether a dialog was open and has been accepted."""
        if not self.all(".jp-Dialog .jp-mod-accept"):
            return False
        self.click(".jp-Dialog .jp-mod-accept")
        return True

    def picture(self, name: str) -> None:
        widget = self.all(".mlp")[0]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", widget)
        time.sleep(0.3)
        widget.screenshot(str(self.pictures / f"{name}.png"))

    def phases(self) -> dict[str, str]:
        return dict(self.browser.execute_script(PHASES))


def drive(session: Session) -> dict[str, Any]:
    """Use the widget as a person does."""
    seen: dict[str, Any] = {}
    session.until("the notebook to open", lambda: session.all(".jp-Notebook .jp-Cell"))
    session.until("a kernel or the question for one", lambda: session.has_kernel() or session.accept())
    session.until("the kernel to be idle", session.has_kernel)
    session.until("the notebook to be the active one", lambda: session.browser.execute_script(ACTIVATE))
    session.browser.execute_script(RUN)
    session.until("the widget to appear", lambda: session.all(".mlp"))
    seen["choices"] = [each.get_attribute("value") for each in session.all(".mlp datalist option")]

    session.click(".mlp-ask")
    session.until("the advice to appear", lambda: session.all(".mlp-plot"))
    seen["plot"] = session.text(".mlp-plot text")
    seen["bars"] = {name: len(session.all(f".mlp-{name}")) for name in ("prepare", "run", "cost")}
    seen["advice"] = session.text(".mlp-advice")
    session.picture("notebook-client-advice")

    session.click('.mlp input[value="aws"]')
    session.click(".mlp-start")
    session.until("a batch to be done", lambda: session.phases().get("prepare") == "running" and share(session) > 0)
    seen["running"] = {"phases": session.phases(), "share": share(session), "status": session.text(".mlp-status")}
    session.picture("notebook-client-run")
    session.click(".mlp-stop")
    session.until("the end", lambda: "cancelled" in session.text(".mlp-status"))
    seen["cancelled"] = {"phases": session.phases(), "status": session.text(".mlp-status")}

    session.click('.mlp input[value="local"]')
    session.click(".mlp-start")
    session.until("the end", lambda: "succeeded locally" in session.text(".mlp-status"))
    seen["local"] = {"phases": session.phases(), "share": share(session)}

    field = session.all(".mlp-input")[0]
    field.clear()
    field.send_keys("s3://data/<img src=x onerror=alert(1)>/")
    session.click(".mlp-ask")
    seen["error"] = session.until("the refusal", lambda: session.text(".mlp-error"))
    seen["images"] = len(session.all(".mlp img"))
    return seen


def share(session: Session) -> float:
    """What the progress bar shows."""
    bars = session.all(".mlp progress")
    return float(bars[0].get_attribute("value") or 0) if bars else 0.0


def main(url: str, pictures: str, programs: str) -> None:
    """Open the notebook, use it, and close the browser in any case."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as own:
        session = Session(url, Path(pictures), Path(programs), Path(own))
        try:
            print(json.dumps(drive(session)))
        finally:
            session.browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
