"""The S3 API on this machine: moto's server, from an environment of its own, behind a line that can fail."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

MOTO = Path(__file__).parent.parent / ".s3" / "bin" / "moto_server"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
BUCKET = "bucket"
REFUSED = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """moto, with a bucket."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [str(MOTO), "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(Request(f"http://127.0.0.1:{self.port}/{BUCKET}", method="PUT")).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Line:
    """A proxy before the server, whose faults can be set at any time."""

    def __init__(self, server: Server) -> None:
        self._server, self.port = server, free_port()
        self.errors, self.torn, self.pause = 0.0, 0.0, 0.0
        """Share of requests that get 503, share of connections that are cut, seconds before each piece."""
        self._away = False
        self._random = random.Random(0)
        self._listen()
        self.environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def go_away(self, seconds: float) -> None:
        """Refuses all connections for so long; those that are open end."""
        self._away = True
        self._listener.close()
        threading.Timer(seconds, self._listen).start()

    def close(self) -> None:
        self._away = True
        self._listener.close()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._away = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._random.random() < self.errors:
            with suppress(OSError), client:
                client.recv(65536)
                client.sendall(REFUSED)
            return
        cut = self._random.random() < self.torn
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server.port)) as server:
            back = threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True)
            back.start()
            self._pass_on(client, server, cut)
            back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, cut: bool) -> None:
        with suppress(OSError):
            while (piece := source.recv(65536)) and not self._away:
                time.sleep(self.pause)
                target.sendall(piece[: len(piece) // 2] if cut else piece)
                if cut:
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def is_wanted() -> bool:
    return os.environ.get("CI_S3") == "1"
