"""A loopback stand-in for W&B's server: answers what a client needs to run online, keeps what it sent."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VIEWER = {"id": "u1", "entity": "me", "username": "me", "email": "me@local", "flags": "{}", "teams": {"edges": []}}  # noqa: E501 # fmt: skip
PROJECT = {"id": "p1", "name": "limo-ablate", "entity": {"id": "e1", "name": "me"}}
SERVER = {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}


@dataclass
class WandbServer:
    url: str = ""
    operations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """GraphQL operations and their variables."""
    streamed: list[dict[str, Any]] = field(default_factory=list)
    """Bodies posted to the run's file stream."""

    def variables(self, operation: str) -> list[dict[str, Any]]:
        return [variables for name, variables in self.operations if name == operation]

    def history(self) -> list[dict[str, Any]]:
        """The run's history rows."""
        files = [body["files"] for body in self.streamed if body.get("files")]
        return [
            json.loads(line) for f in files for line in f.get("wandb-history.jsonl", {}).get("content", [])
        ]

    def answer(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.operations.append((name, variables))
        run = {"id": "b1", "name": variables.get("name"), "displayName": "x", "config": "{}", "historyLineCount": 0, "project": PROJECT}  # noqa: E501 # fmt: skip
        files = [{"name": f, "uploadUrl": f"{self.url}/upload/{f}"} for f in variables.get("files") or []]
        artifact = {
            "id": "a1",
            "state": "COMMITTED",
            "artifactSequence": {"id": "q1", "latestArtifact": None},
        }
        answers = {
            "Viewer": {"viewer": VIEWER, "serverInfo": SERVER},
            "ServerFeaturesQuery": {"serverInfo": SERVER},
            "UpsertBucket": {"upsertBucket": {"bucket": run, "inserted": True}},
            "CreateRunFiles": {"createRunFiles": {"runID": "b1", "uploadHeaders": [], "files": files}},
            "ArtifactType": {"project": None},
            "CreateArtifact": {"createArtifact": {"artifact": artifact}},
        }
        return {"data": answers.get(name, {})}


@contextmanager
def serve() -> Iterator[WandbServer]:
    server = WandbServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            reply: dict[str, Any] = {}
            if self.path.endswith("/graphql"):
                asked = json.loads(body)
                reply = server.answer(_name(asked), asked.get("variables") or {})
            elif self.path.endswith("/file_stream"):
                server.streamed.append(json.loads(body))
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_PUT = do_GET = do_POST

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()


def _name(asked: dict[str, Any]) -> str:
    """`UpsertBucket` of `mutation UpsertBucket(...) {...}`."""
    return str(asked.get("operationName") or asked["query"].split("(")[0].split("{")[0].split()[-1])
