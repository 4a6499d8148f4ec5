"""Make `.venv` and install one requirements file into it, only when it has changed.

Runs with the system's Python, so it imports nothing but the standard library. pip's own output
goes to `.venv/pip.log`. The stamp beside it holds the hash of what was installed; a larger set
(development) counts for the smaller ones (demo, runtime) that it includes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.reporting import ROOT, Failure, run_script, say

VENV = ROOT / ".venv"
STAMP = VENV / "installed.json"
LOG = VENV / "pip.log"
# Each includes the one before it.
SETS = ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt")
NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Network is unreachable",
    "Connection refused",
    "connection broken",
    "(from versions: none)",
)


def main() -> int:
    """Bring `.venv` to the state that the named requirements file asks for."""
    wanted = sys.argv[1]
    if sys.version_info < (3, 11):  # noqa: UP036  (run by whatever Python the machine has)
        raise Failure(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    if is_installed(wanted):
        return 0
    make_venv()
    say("Installing Python packages (a minute or two the first time) …")
    install(wanted)
    return 0


def digest(name: str) -> str:
    """The hash of a requirements file and of those that it includes."""
    index = SETS.index(name)
    text = b"".join((ROOT / part).read_bytes() for part in SETS[: index + 1])
    return hashlib.sha256(text).hexdigest()


def is_installed(wanted: str) -> bool:
    """Whether this set, or a larger one, is in place as the files say now."""
    if not works(VENV / "bin" / "python") or not STAMP.exists():
        return False
    installed = json.loads(STAMP.read_text())
    larger = SETS[SETS.index(wanted) :]
    return any(installed.get(name) == digest(name) for name in larger)


def works(python: Path) -> bool:
    """Whether this interpreter starts; one that was moved or removed does not."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0


def make_venv() -> None:
    """Create `.venv`, anew if its Python no longer works."""
    if works(VENV / "bin" / "python"):
        return
    say("Making the virtual environment .venv …")
    try:
        import venv  # some systems package it apart from Python

        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except (subprocess.CalledProcessError, ModuleNotFoundError) as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise Failure(
            "Python can't make virtual environments here (venv or ensurepip is missing); "
            f"on Debian or Ubuntu: sudo apt-get install python{version}-venv"
        ) from error
    except OSError as error:
        raise Failure(f"can't write {VENV}: {error.strerror or error}.") from error


def install(wanted: str) -> None:
    """Let pip install the exact versions; stamp it when done."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "--retries", "1", "install", "--requirement", str(ROOT / wanted)]
    with LOG.open("wb") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if status != 0:
        raise Failure(explain(LOG.read_text(errors="replace")))
    STAMP.write_text(json.dumps({wanted: digest(wanted)}))


def explain(log: str) -> str:
    """What a person should do about a failed installation, in one line."""
    if any(sign in log for sign in NO_NETWORK):
        return (
            "can't reach the Python package index (no network?); connect, or set PIP_INDEX_URL "
            "to a mirror that you can reach, and run the same command again."
        )
    if "No space left on device" in log:
        return "the disk is full; free about 700 MB and run the same command again."
    last = [line for line in log.splitlines() if line.startswith("ERROR")]
    return f"pip failed: {last[-1] if last else 'no reason given'} (all of it: .venv/pip.log)"


if __name__ == "__main__":
    run_script(main)
