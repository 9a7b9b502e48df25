"""A real HTTP server on the loopback that answers as OpenAI's chat completions do, and fails as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = dict[str, Any] | bytes
Fault = Callable[["Handler"], None]


def answer(text: str, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 20}
    return {"model": "m-2026", "system_fingerprint": "fp_1", "choices": [choice], "usage": usage, **more}


@dataclass
class Script:
    """What the server does: the faults first, one a request, then `reply` to everything."""

    reply: Callable[[dict[str, Any]], Answer] = lambda body: answer("\\boxed{4}")
    faults: list[Fault] = field(default_factory=list)
    seconds: float = 0.0
    """Time that each answer takes."""
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Every request that came."""
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_POST(self) -> None:
        script = self.script
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with script.lock:
            script.bodies.append({"path": self.path, **body})
            script.headers.append(dict(self.headers.items()))
            script.times.append(time.monotonic())
            script.under_way += 1
            script.most_under_way = max(script.most_under_way, script.under_way)
            fault = script.faults.pop(0) if script.faults else None
        try:
            if fault:
                fault(self)
            else:
                time.sleep(script.seconds)
                self.send(200, script.reply(body))
        except OSError:
            pass  # the client left
        finally:
            with script.lock:
                script.under_way -= 1

    def send(self, status: int, content: Answer, **headers: str) -> None:
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(sent)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


def status(code: int, message: str = "no", kind: str | None = None, **headers: str) -> Fault:
    error = {"error": {"message": message, "code": kind}}
    return lambda handler: handler.send(code, error, **headers)


def body(content: Answer, **headers: str) -> Fault:
    return lambda handler: handler.send(200, content, **headers)


def cut(handler: Handler) -> None:
    """Breaks off in the middle of the body."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def silent(handler: Handler) -> None:
    """Answers too late for any client here."""
    time.sleep(2)


def dripping(handler: Handler) -> None:
    """A byte now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.05)


@contextmanager
def serving(script: Script) -> Iterator[Script]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"script": script}))
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
