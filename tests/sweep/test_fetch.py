"""`limo-ablate fetch`, from a stand-in of the hub on this machine."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.cli import main
from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import EXIT_USER_ERROR
from tests.tiny_models import made_base

COMMIT = "1" * 40
MODEL, ROWS = "lab/tiny", "lab/sums"
CUT = 21 * 2**19
"""Bytes after which a connection breaks the first time: more than one of the pieces that a client keeps."""
PIECE = 10 * 2**20


class Hub(ThreadingHTTPServer):
    """As much of the hub as downloads ask for: a model whose weights break off once, and a data set."""

    def __init__(self, model: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        rows = "".join(json.dumps({"problem": f"1+{n}?", "answer": str(1 + n)}) + "\n" for n in range(5))
        self.files = {
            MODEL: {path.name: path.read_bytes() for path in model.iterdir() if path.suffix != ".lock"},
            ROWS: {"train.jsonl": rows.encode()},
        }
        self.files[MODEL]["large.safetensors"] = bytes(11 * 2**20)
        self.broken: set[str] = set()
        self.ranges: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(length) or b"{}").get("paths", [])
        repo = self._repo()
        self._json([self._entry(repo, name) for name in asked if name in self.server.files[repo]])

    def do_GET(self) -> None:
        repo = self._repo()
        if repo is None or (files := self.server.files.get(repo)) is None:
            self._json({"error": "not found"}, 404)
        elif found := re.search(r"/resolve/[^/]+/(.+)", self.path):
            self._file(files, found[1])
        elif "/tree/" in self.path:
            self._json([self._entry(repo, name) for name in files])
        else:
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})

    def _repo(self) -> Any:
        return next((name for name in self.server.files if name in self.path), None)

    def _entry(self, repo: str, name: str) -> dict[str, Any]:
        content = self.server.files[repo][name]
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324

    def _file(self, files: dict[str, bytes], name: str) -> None:
        if (content := files.get(name)) is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = 0
        if asked := self.headers.get("Range"):
            self.server.ranges.append(asked)
            begin = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')  # noqa: S324
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("Accept-Ranges", "bytes")
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if name == "large.safetensors" and name not in self.server.broken:
            self.server.broken.add(name)
            self.wfile.write(content[:CUT])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(content[begin:])

    def _json(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    server = Hub(made_base(Store(tmp_path / "store")).path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def study(folder: Path) -> Path:
    data = ["data=jsonl", "data.source=hub", f"data.path={ROWS}", f"data.revision={COMMIT}",
            "data.fields.solution=answer"]  # fmt: skip
    declared = {
        "name": "far",
        "overrides": ["model=local", f"model.path={MODEL}", f"model.revision={COMMIT}", *data, "train=mini",
                      "eval=miniature", "hardware=cpu"],
        "blocks": [{"name": "b", "axes": {"select.size": [4]}}],
    }  # fmt: skip
    (folder / "far.yaml").write_text(yaml.safe_dump(declared))
    return folder / "far.yaml"


def fetched(hub: Hub, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(folder / "hf")}
    variables = {**os.environ, **own, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "limo_ablate", "fetch", *words]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300)


def test_what_is_missing_is_said_and_brought_and_then_there(hub: Hub, tmp_path: Path) -> None:
    file = str(study(tmp_path))
    missing = fetched(hub, tmp_path, "all", file, "--offline")
    assert missing.returncode == EXIT_USER_ERROR, missing.stderr
    assert f"model {MODEL}: MISSING" in missing.stdout
    assert f"{ROWS}: MISSING" in missing.stdout
    brought = fetched(hub, tmp_path, "all", file)
    assert brought.returncode == 0, brought.stdout + brought.stderr
    assert f"bytes={PIECE}-" in hub.ranges, "the download went on where it broke off"
    place = tmp_path / f"hf/hub/models--lab--tiny/snapshots/{COMMIT}"
    assert (place / "model.safetensors").read_bytes() == hub.files[MODEL]["model.safetensors"]
    hub.files.clear()
    there = fetched(hub, tmp_path, "all", file, "--offline")
    assert there.returncode == 0, there.stdout + there.stderr
    assert f"model {MODEL}: {place}" in there.stdout


def test_a_shard_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from limo_ablate.core.errors import UserError
    from limo_ablate.sweep.fetch import _require_shards

    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (tmp_path / names[0]).touch()
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"1 of 2 files of weights are missing: {names[1]}"):
        _require_shards(tmp_path)
    assert main(["fetch", "models", str(study(tmp_path))]) == EXIT_USER_ERROR
    assert "models: not a kind of what is fetched; one of model, data" in capsys.readouterr().err
