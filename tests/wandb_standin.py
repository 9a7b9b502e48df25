"""A loopback stand-in for W&B's server: answers what the real client asks, keeps what it sent, and can fail.

with serve() as server:                     # WANDB_BASE_URL=server.url, any key of 40 characters
    server.fault = lambda what: "500" if what == "CreateArtifact" else None

It knows runs (also resumed ones), sweeps, agents, what `wandb sweep-scheduler` needs, projects, and the views
of wandb-workspaces (workspaces and reports); nothing of users.
"""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import yaml

Fault = Literal["500", "close", "hang", "empty", "refuse"]
KEY = "0" * 40
VIEWER = {"id": "u1", "entity": "me", "username": "me", "email": "me@local", "flags": "{}", "teams": {"edges": []}}  # noqa: E501 # fmt: skip
PROJECT = {"id": "p1", "name": "limo-ablate", "entity": {"id": "e1", "name": "me"}}
FEATURES = [
    {"name": name, "isEnabled": True} for name in ("SWEEPS_LOCAL_SCHEDULER", "SWEEPS_QUERY_FILTERING")
]
"""What a server must have for `wandb sweep-scheduler`."""
SERVER = {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": FEATURES}
ARTIFACT = {"id": "a1", "state": "COMMITTED", "artifactSequence": {"id": "q1", "latestArtifact": None}}
LAST_PAGE = {"hasNextPage": False, "endCursor": None}


@dataclass
class Run:
    """What the server has of a run."""

    config: dict[str, Any] = field(default_factory=dict)
    history: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Line number -> row: a line sent again replaces the first."""
    summary: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    sweep: str | None = None
    group: str | None = None
    job_type: str | None = None


@dataclass
class Standin:
    url: str = ""
    fault: Callable[[str], Fault | None] = lambda what: None
    """Asked with the name of each GraphQL operation, or `file_stream`, `upload`."""
    operations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """GraphQL operations and their variables."""
    runs: dict[str, Run] = field(default_factory=dict)
    sweep: dict[str, Any] = field(default_factory=dict)
    """The declared sweep: W&B's YAML."""
    sweep_state: str = "RUNNING"
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """Configurations of the sweep's runs that no agent has taken yet."""
    taken: int = 0
    run_cap: int | None = None
    """Runs of the sweep after which it is finished."""
    projects: list[str] = field(default_factory=list)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Id -> what was saved last: workspaces (type `project-view`) and reports (`runs`)."""
    failures: int = 0
    """Requests that a fault was answered to."""

    def variables(self, operation: str) -> list[dict[str, Any]]:
        return [variables for name, variables in self.operations if name == operation]

    def answer(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.operations.append((name, variables))
        answer = getattr(self, f"_{name}", None)
        return {"data": answer(variables) if answer else {}}

    def stream(self, run: str, body: dict[str, Any]) -> None:
        """The run's file stream: history, summary, and how it ended."""
        known = self.runs.setdefault(run, Run())
        files = body.get("files") or {}
        history = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
        for number, line in enumerate(history["content"], history["offset"]):
            known.history[number] = json.loads(line)
        for line in files.get("wandb-summary.json", {}).get("content", []):
            known.summary |= json.loads(line)
        if body.get("complete"):
            known.state = "finished" if body.get("exitcode") == 0 else "failed"

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": VIEWER, "serverInfo": SERVER}

    def _ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": SERVER}

    def _RunResumeStatus(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(asked["name"])
        if run is None:
            return {"model": PROJECT | {"bucket": None}}
        last = [run.history[max(run.history)]] if run.history else []
        bucket = {
            "id": asked["name"], "name": asked["name"], "summaryMetrics": json.dumps(run.summary),
            "displayName": "x", "logLineCount": 0, "historyLineCount": len(run.history), "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in last]), "eventsTail": "[]",
            "config": json.dumps(run.config), "tags": [], "notes": "", "wandbConfig": '{"t": 1}',
        }  # fmt: skip
        return {"model": PROJECT | {"bucket": bucket}}

    def _UpsertBucket(self, asked: dict[str, Any]) -> dict[str, Any]:
        inserted = asked["name"] not in self.runs
        run = self.runs.setdefault(asked["name"], Run())
        run.config |= json.loads(asked.get("config") or "{}")
        run.sweep = asked.get("sweep") or run.sweep
        run.group, run.job_type = asked.get("groupName") or run.group, asked.get("jobType") or run.job_type
        self.projects = list(dict.fromkeys([*self.projects, asked.get("project") or PROJECT["name"]]))
        bucket = {"id": asked["name"], "name": asked["name"], "displayName": "x", "config": "{}", "sweepName": run.sweep, "historyLineCount": len(run.history), "project": PROJECT}  # noqa: E501 # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _GetDefaultEntity(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "u1", "entity": "me"}}

    def _GetProjects(self, asked: dict[str, Any]) -> dict[str, Any]:
        nodes = [
            {"__typename": "Project", "id": f"p-{name}", "name": name, "entityName": asked["entity"],
             "createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
            for name in self.projects
        ]  # fmt: skip
        page = LAST_PAGE | {"__typename": "PageInfo"}
        return {"models": {"pageInfo": page, "edges": [{"node": node} for node in nodes]}}

    def _ProjectInternalId(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = asked["projectName"] in self.projects
        return {"project": {"id": "p1", "internalId": "7"} if known else None}

    def _UpsertView2(self, asked: dict[str, Any]) -> dict[str, Any]:
        """As the real one: of an id it knows it is an update, else a new view."""
        inserted = not asked.get("id")
        view = asked | {"id": asked.get("id") or f"v{len(self.views) + 1}"}
        if not inserted and view["id"] not in self.views:
            return {"upsertView": None}
        self.views[view["id"]] = view
        project = {"id": "p1", "name": asked["projectName"], "entityName": asked["entityName"]}
        shown = {key: view[key] for key in ("id", "type", "name", "displayName", "description", "spec")}
        return {"upsertView": {"view": shown | {"project": project}, "inserted": inserted}}

    _upsertView = _UpsertView2

    def _CreateRunFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": f, "uploadUrl": f"{self.url}/upload/{f}"} for f in asked["files"]]
        return {"createRunFiles": {"runID": "b1", "uploadHeaders": [], "files": files}}

    def _ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": None}

    def _CreateArtifact(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"createArtifact": {"artifact": ARTIFACT}}

    def _UpsertSweep(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.sweep = yaml.safe_load(asked["config"])
        if self.sweep["method"] == "grid":
            axes = {key: spec["values"] for key, spec in self.sweep["parameters"].items()}
            points = itertools.product(*axes.values())
            self.waiting = [dict(zip(axes, point, strict=True)) for point in points]
        return {"upsertSweep": {"sweep": self._shown(), "configValidationWarnings": []}}

    def _UpsertSweepState(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.sweep_state = asked["state"]
        return {"upsertSweep": {"sweep": {"state": self.sweep_state}}}

    def _SweepWithRuns(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": self._shown()}}

    _SweepConfig = _SweepWithRuns

    def _SweepRunsWithHistory(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": {"state": self.sweep_state, "runs": self._polled()}}}

    def _SweepWatchedRuns(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"sweep": {"state": self.sweep_state}, "runs": self._polled()}}

    def _EnqueueSweepRun(self, asked: dict[str, Any]) -> dict[str, Any]:
        config = json.loads(asked["config"])
        self.waiting.append({key: value["value"] for key, value in config.items()})
        name = f"s{self.taken + len(self.waiting) - 1}"
        self.runs[name] = Run(config=config, state="pending", sweep="sw1")
        return {"enqueueSweepRun": {"id": name, "runQueueItemId": None}}

    def _CreateAgent(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": "ag1"}}}

    def _Heartbeat(self, asked: dict[str, Any]) -> dict[str, Any]:
        commands: list[dict[str, Any]] = []
        if not json.loads(asked.get("runState") or "{}"):
            if self.taken == self.run_cap:
                self.sweep_state = "FINISHED"
            elif self.waiting:
                args = {key: {"value": value} for key, value in self.waiting.pop(0).items()}
                program = self.sweep.get("program", "")
                commands = [{"type": "run", "run_id": f"s{self.taken}", "program": program, "args": args}]
                self.taken += 1
            if not commands and (self.sweep["method"] == "grid" or self.sweep_state != "RUNNING"):
                commands = [{"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": "ag1"}, "commands": json.dumps(commands)}}

    def _shown(self) -> dict[str, Any]:
        return {
            "id": "sw1", "name": "sw1", "displayName": "sw1", "controllerRunName": "sw1-controller",
            "method": "GRID", "state": self.sweep_state, "description": "",
            "config": yaml.safe_dump(self.sweep), "createdAt": "2026-01-01T00:00:00Z", "heartbeatAt": None,
            "updatedAt": None, "earlyStopJobRunning": False, "bestLoss": None, "controller": None,
            "scheduler": None, "priorRuns": {"edges": []}, "runs": {"edges": []}, "project": PROJECT,
        }  # fmt: skip

    def _polled(self) -> dict[str, Any]:
        nodes = [
            {
                "id": name, "name": name, "state": run.state, "config": json.dumps(run.config),
                "summaryMetrics": json.dumps(run.summary), "sampledHistory": [list(run.history.values())],
            }
            for name, run in self.runs.items()
            if run.sweep
        ]  # fmt: skip
        return {"pageInfo": LAST_PAGE, "edges": [{"node": node} for node in nodes]}


@contextmanager
def serve() -> Iterator[Standin]:
    standin = Standin()
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            raw = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            where = self.path.partition("?")[0].split("/")
            asked = json.loads(raw) if where[-1] == "graphql" else {}
            what = _name(asked) if asked else "file_stream" if where[-1] == "file_stream" else "upload"
            if fault := standin.fault(what):
                standin.failures += 1
                self._fail(fault)
            elif asked:
                self._reply(200, standin.answer(what, asked.get("variables") or {}))
            else:
                if what == "file_stream":
                    standin.stream(where[-2], json.loads(raw))
                self._reply(200, {})

        do_PUT = do_GET = do_POST

        def _fail(self, fault: Fault) -> None:
            if fault == "500":
                self._reply(500, {"errors": [{"message": "down"}]})
            elif fault == "empty":
                self._reply(200, {"data": {}})
            elif fault == "refuse":
                self._reply(200, {"data": None, "errors": [{"message": "permission denied"}]})
            elif fault == "hang":
                closing.wait(60)
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

        def _reply(self, status: int, reply: dict[str, Any]) -> None:
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    standin.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield standin
    finally:
        closing.set()
        http.shutdown()
        http.server_close()


def _name(asked: dict[str, Any]) -> str:
    """`UpsertBucket` of `mutation UpsertBucket(...) {...}`."""
    return str(asked.get("operationName") or asked["query"].split("(")[0].split("{")[0].split()[-1])
