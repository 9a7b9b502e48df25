"""A real PostgreSQL of the tests' own, from Debian's packages: in a temporary folder, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.waiting import PATIENCE

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
CONNECTIONS = 200
ACCESS = f"local all {USER} trust\nlocal all all scram-sha-256\n"
"""Only this user needs no password."""
SETTINGS = f"-c listen_addresses= -c max_connections={CONNECTIONS} -c shared_buffers=32MB"


@dataclass
class Postgres:
    folder: Path
    """Holds the data and the socket; postgres refuses to run as root, so then it is user postgres's."""
    tools: Path

    def __post_init__(self) -> None:
        self._numbers = count()

    @staticmethod
    def installed() -> Path | None:
        """The folder of its tools."""
        found = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
        return max(found, default=None, key=lambda path: int(path.parent.name))

    @classmethod
    def start_new(cls) -> Postgres | None:
        """Makes and starts a server; None where the package is not installed."""
        if (tools := cls.installed()) is None:
            return None
        # short and open to all: pytest's own folders are root's alone
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if os.getuid() == 0:
            shutil.chown(folder, USER)
        server = cls(folder, tools)
        server._run("initdb", "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8")
        (folder / "data" / "pg_hba.conf").write_text(ACCESS)
        server.start()
        return server

    def database(self, password: str | None = None) -> str:
        """URL of a new database; with a password, which is not in it, that of a new user."""
        name, user = f"d{next(self._numbers)}", USER
        here = ("-h", str(self.folder), "-U", USER)
        if password:
            user = f"of_{name}"
            self._run("psql", *here, "-c", f"CREATE ROLE {user} LOGIN PASSWORD '{password}'", data=False)
        self._run("createdb", *here, "-O", user, name, data=False)
        return f"postgresql+psycopg://{user}@/{name}?host={self.folder}"

    def start(self) -> None:
        options = f"-k {self.folder} {SETTINGS}"
        self._run("pg_ctl", "start", "-w", "-s", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """At once, as a crash does."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "immediate")

    def remove(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, tool: str, *arguments: str, data: bool = True) -> None:
        command = [str(self.tools / tool), *(["-D", str(self.folder / "data")] if data else []), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", USER, "--", *command]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=PATIENCE)
