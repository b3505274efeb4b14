"""Runs a command until its own standard input closes, which happens however the process at the other end dies.

Standard library only, started by path: it must be quick, and independent of the project.
"""

import os
import subprocess
import sys
import threading

GRACE_SECONDS = 10


def main(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=end_with_parent, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
