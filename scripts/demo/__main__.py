"""The demo's story: start everything, link the account, back up, verify, prove, stay.

Exit status with --once: 0 only if every file of the account lies in both destinations, verified
and proved equal, or is listed with the reason why Google refuses it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts import ports, product
from scripts.demo import catalog, proof, report, stage
from scripts.demo.stage import Stage
from scripts.demo.truth import Truth
from scripts.demo.visitor import Visitor
from scripts.processes import Services, Stopped
from scripts.reporting import ROOT, Failure, run_script, say

S3 = "Demo S3 bucket"
LOCAL = "Demo folder"
INTERRUPTED = 130


def main() -> int:
    """One demo, from the first process to the last."""
    options = _options()
    ports.require(options.port, "make demo")
    played = False
    try:
        with (
            stage.opened(options.folder, options.port, fresh=options.fresh) as demo,
            Services() as services,
        ):
            proved = _play(demo, services)
            if options.once:
                return 0 if proved else 1
            played = True
            _tell(demo)
            services.keep_running()
    except Stopped:
        say("Stopped everything.")
    return 0 if played else INTERRUPTED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--folder", type=Path, default=stage.DEFAULT_FOLDER)
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    return parser.parse_args()


def _play(demo: Stage, services: Services) -> bool:
    """Everything up to the table; whether all is proved."""
    say("Starting the Google stand-in and an S3 server …")
    google_url = stage.start_google(demo, services)
    stage.start_store(demo, services)
    env = demo.environment(google_url)
    say("Preparing the database, starting web server and workers …")
    product.prepare(env)
    demo.keep_settings(env)
    new = _make_administrator(demo, env)
    services.start(product.web(demo.web_port, env, demo.log("web")))
    services.wait_ready("web server", lambda: ports.answers(demo.web_port))
    services.start(product.workers(env, demo.log("workers")))
    account = Truth(google_url, demo.served_notes).account
    say(f"Linking {account['email']} through the consent page …")
    visitor = Visitor(demo.url)
    visitor.log_in(demo.memory.username, demo.memory.password)
    visitor.link_google(account["sub"])
    known = _Known() if new else _known(env)
    _set_up(demo, env, account["email"], known)
    started = time.monotonic()
    say("Backing up …")
    _command(env, "backup", "--wait")
    say("Verifying: reading everything back …")
    _command(env, "verify", "--all", "--wait")
    return _prove(demo, google_url, time.monotonic() - started)


def _make_administrator(demo: Stage, env: Mapping[str, str]) -> bool:
    """The person of the demo; whether they are new, and nothing can be theirs yet."""
    made = product.attempt(
        env, "setup_admin", "--username", demo.memory.username, text=f"{demo.memory.password}\n"
    )
    if made.returncode != 0 and "already" not in made.stderr:
        raise Failure(f"manage.py setup_admin: {made.stderr.strip()}")
    return made.returncode == 0


@dataclass(frozen=True)
class _Known:
    """What earlier runs have set up: destinations by name, the source and where it is kept."""

    destinations: Collection[str] = ()
    source: str = ""
    attached: Collection[str] = ()


def _known(env: Mapping[str, str]) -> _Known:
    destinations = json.loads(product.manage(env, "destination", "list", "--json"))["destinations"]
    names = {destination["name"] for destination in destinations}
    sources = json.loads(product.manage(env, "source", "list", "--json"))["sources"]
    if not sources:
        return _Known(names)
    return _Known(names, str(sources[0]["id"]), sources[0]["destinations"])


def _set_up(demo: Stage, env: Mapping[str, str], email: str, known: _Known) -> None:
    """Two destinations and the source, where they are not there from an earlier run."""
    if S3 not in known.destinations:
        _add_s3(demo, env)
    if LOCAL not in known.destinations:
        demo.local_folder.mkdir(exist_ok=True)
        path = f"path={demo.local_folder}"
        product.manage(env, "destination", "add", "local", "--name", LOCAL, "--set", path)
    if not known.source:
        product.manage(env, "source", "add", "--account", email, "--destination", S3, LOCAL)
        return
    for name in {S3, LOCAL} - set(known.attached):
        product.manage(env, "destination", "attach", name, "--source", known.source)


def _add_s3(demo: Stage, env: Mapping[str, str]) -> None:
    """The bucket of the embedded server; its keys go by the environment, not the command line."""
    keys = {"DEMO_S3_KEY": demo.memory.s3_key, "DEMO_S3_SECRET": demo.memory.s3_secret}
    product.manage(
        {**env, **keys},
        *("destination", "add", "s3", "--name", S3, "--set", "provider=rclone"),
        *("--set", f"endpoint={demo.s3_url}", "--set", f"bucket={stage.BUCKET}"),
        *("--secret-env", "access_key_id=DEMO_S3_KEY"),
        *("--secret-env", "secret_access_key=DEMO_S3_SECRET"),
    )


def _command(env: Mapping[str, str], *arguments: str) -> None:
    """A command that a person watches; what it failed at shows in the proof."""
    subprocess.run([*product.MANAGE, *arguments], cwd=ROOT, env=dict(env))


def _prove(demo: Stage, google_url: str, seconds: float) -> bool:
    say("Proving it: every stored byte against what the stand-in served …\n")
    truth = Truth(google_url, demo.served_notes)
    stores = {S3: proof.s3_reader(demo), LOCAL: proof.folder_reader(demo.local_folder)}
    verdict = proof.prove(truth, catalog.read(demo.folder / "backup.sqlite3"), stores)
    read_files = len(truth.downloaded())
    for line in report.lines(
        verdict, account=truth.account["email"], read_files=read_files, seconds=seconds
    ):
        say(line)
    say("NOT proved." if verdict.wrong else "Proved: all of it is there, byte for byte.")
    return not verdict.wrong


def _tell(demo: Stage) -> None:
    say(f"\nDashboard: {demo.url}")
    say(f"Log in as: {demo.memory.username}")
    say(f"Password:  {demo.memory.password}")
    say(f"Commands:  ENV_FILE={demo.settings_file} .venv/bin/python manage.py status")
    say("Ctrl-C stops everything.")


if __name__ == "__main__":
    run_script(main)
