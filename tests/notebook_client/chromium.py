"""Chromium of its package set, without an installation: its libraries, fonts and files are in folders of a test."""

import os
import subprocess
from pathlib import Path

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
LIBRARIES = (
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
    "usr/lib/chromium",
)
FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


def program(programs: Path) -> Path:
    """The browser itself; the script in ``usr/bin`` expects it to be installed."""
    return programs / "usr/lib/chromium/chromium"


def driver(programs: Path) -> Path:
    return programs / "usr/bin/chromedriver"


def environment(programs: Path, own: Path) -> dict[str, str]:
    """Of the browser and its driver.

    :param programs: folder of the package set.
    :param own: folder for the files of the browser. The paths of its sockets must be short.
    """
    fonts = own / "fonts.conf"
    fonts.write_text(FONTS.format(fonts=programs / "usr/share/fonts", cache=own / "fonts"), encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(own),
        "TMPDIR": str(own),
        "LD_LIBRARY_PATH": os.pathsep.join(str(programs / folder) for folder in LIBRARIES),
        "FONTCONFIG_FILE": str(fonts),
    }


def why_unusable(programs: Path, own: Path) -> str:
    """Why the browser does not start on this machine, such as a missing system call; empty if it does."""
    page = "data:text/html,<title>shown</title>"
    command = [str(program(programs)), *FLAGS, f"--user-data-dir={own / 'profile'}", "--dump-dom", page]
    try:
        ran = subprocess.run(command, env=environment(programs, own), capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if "shown" in ran.stdout else f"exit code {ran.returncode}: {ran.stderr[-500:]}"
