"""Greedy decoding of a real model by our engines, `model.generate`, vLLM and llama.cpp, in processor time.

    python benchmarks/engines.py --model FOLDER --text FILE.jsonl [--precision float32 bfloat16]
        [--vllm .vllm/bin/python] [--gguf float32=FILE.gguf bfloat16=FILE.gguf]
    python benchmarks/engines.py --model FOLDER --device cuda --precision bfloat16 --tokens 1024

The first --problems `question`s of the file through the model's chat template, at most --tokens new tokens
each, all at once. Each engine has a process of its own with one thread, which has loaded everything and
decoded one prompt; they take turns, and the processor time of decoding alone counts. Texts are compared
with those of `model.generate` on one prompt at a time in float32. vLLM needs a Python that has it
(`make vllm-env`), llama.cpp the package xllamacpp and a GGUF file of the same weights.

Without --text, prompts are random tokens, completions have all --tokens, and no texts are compared: for
models with random weights. On a GPU the time is the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Ids = list[list[int]]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


class Worker:
    """An engine's process: a line in asks for a decoding, a line out has its seconds and tokens."""

    def __init__(self, way: str, precision: str, options: argparse.Namespace) -> None:
        python = options.vllm if way == "vLLM" else sys.executable
        command = [str(python), __file__, "--one", way, "--model", str(options.model)]
        command += ["--text", str(options.text)] if options.text else []
        command += ["--device", options.device, "--precision", precision]
        command += ["--problems", str(options.problems), "--tokens", str(options.tokens)]
        if way == "llama.cpp":
            command += ["--gguf", f"{precision}={options.gguf[precision]}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
        )
        self.name = way

    def ready(self) -> Worker:
        self._line()
        return self

    def decode(self) -> tuple[float, Ids]:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds, ids = self._line()
        return seconds, ids

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> Any:
        """What the worker says, past what its libraries print."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        sys.exit(f"benchmarks/engines.py: {self.name} ended with {self.process.wait()}")


def serve(options: argparse.Namespace) -> None:
    """The worker's side."""
    precision = options.precision[0]
    if options.one == "vLLM":
        decode = vllm(options, precision)
    elif options.one == "llama.cpp":
        decode = llama(options, options.gguf[precision])
    else:
        decode = torch_engine(options, precision)
    ids = prompts(options) if options.text else random_prompts(options)
    decode(ids[:1])
    print("@null", flush=True)
    for _ in sys.stdin:
        started = now(options.device)
        made = decode(ids)
        print("@" + json.dumps([now(options.device) - started, made]), flush=True)


def now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def random_prompts(options: argparse.Namespace) -> Ids:
    """Of 100 to 299 tokens."""
    draw, vocabulary = random.Random(0), json.loads((options.model / "config.json").read_text())["vocab_size"]
    return [
        [draw.randrange(1, vocabulary) for _ in range(draw.randrange(100, 300))]
        for _ in range(options.problems)
    ]


def prompts(options: argparse.Namespace) -> Ids:
    from transformers import AutoTokenizer

    lines = options.text.read_text().splitlines()[: options.problems]
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": json.loads(line)["question"]}],
            add_generation_prompt=True, return_dict=True,
        )["input_ids"]
        for line in lines
    ]  # fmt: skip


def stops(options: argparse.Namespace) -> set[int]:
    """The model's; with random prompts a token that there is not."""
    from transformers import GenerationConfig

    if not options.text:
        return {-1}
    eos = GenerationConfig.from_pretrained(options.model).eos_token_id
    return set(eos) if isinstance(eos, list) else {eos}


def torch_engine(options: argparse.Namespace, precision: str) -> Callable[[Ids], Ids]:
    import torch

    sys.path.insert(0, str(ROOT))
    from benchmarks.generation import ours, plain
    from limo_ablate.model.generate.decoding import TransformersEngine
    from limo_ablate.model.generate.engine import Request, Sampling
    from limo_ablate.model.generate.paged import PagedEngine
    from limo_ablate.model.train.load import load_model

    torch.set_num_threads(1)
    model = load_model(str(options.model), dtype=precision, attention="sdpa", device=options.device)
    ends, way, tokens = stops(options), options.one, options.tokens
    if way.startswith("model.generate"):
        model.generation_config.eos_token_id = None
        batch = 1 if way == ALONE else options.problems
        known = ends - {-1}
        return lambda ids: plain(model, ids, known, batch, max_new_tokens=tokens, do_sample=False)
    kind = {"ours, transformers": TransformersEngine, "ours, paged": PagedEngine}[way]
    engine, how = kind(model, ends, options.problems), Sampling(0.0, 1.0, tokens, 0)
    return lambda ids: ours(engine, [Request(f"p{n}", 0, "", row, how) for n, row in enumerate(ids)])


def vllm(options: argparse.Namespace, precision: str) -> Callable[[Ids], Ids]:
    from vllm import LLM, SamplingParams

    engine = LLM(str(options.model), dtype=precision, max_model_len=2048, skip_tokenizer_init=True, seed=0,
                 enable_prefix_caching=False)  # fmt: skip
    how = SamplingParams(
        temperature=0.0, max_tokens=options.tokens, stop_token_ids=sorted(stops(options) - {-1}),
        ignore_eos=not options.text, detokenize=False,
    )  # fmt: skip

    def decode(ids: Ids) -> Ids:
        done = engine.generate([{"prompt_token_ids": row} for row in ids], how, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in done]

    return decode


def llama(options: argparse.Namespace, gguf: str) -> Callable[[Ids], Ids]:
    """llama.cpp's server inside this process, one thread, a slot for each prompt."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx
    import xllamacpp

    slots, ends, how = options.problems, stops(options), xllamacpp.CommonParams()
    how.model.path = gguf
    how.n_ctx, how.n_parallel, how.n_batch = 1024 * slots, slots, 2048
    how.cpuparams.n_threads = how.cpuparams_batch.n_threads = 1
    how.cache_type_k = how.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    how.warmup = False
    server = xllamacpp.Server(how)

    def one(row: list[int]) -> list[int]:
        asked = {
            "prompt": row, "n_predict": options.tokens, "temperature": 0.0, "return_tokens": True,
            "cache_prompt": False, "ignore_eos": not options.text,
        }  # fmt: skip
        made = httpx.post(f"{server.listening_address}/completion", json=asked, timeout=3600).json()
        ended = min(ends) if made["stop_type"] == "eos" else None  # which its tokens leave out
        return [*made["tokens"], *([ended] if ended is not None else [])]

    def decode(ids: Ids) -> Ids:
        with ThreadPoolExecutor(len(ids)) as pool:
            return list(pool.map(one, ids))

    return decode


ALONE = "model.generate, one by one"
WAYS = ("ours, transformers", "ours, paged", "model.generate, one batch", "vLLM", "llama.cpp")


def main() -> None:
    options = arguments()
    if options.one:
        serve(options)
        return
    right: Ids = []
    if options.text:
        reference = Worker(ALONE, "float32", options).ready()
        right = reference.decode()[1]
        reference.end()
    per_second = "tokens/s" if options.device == "cuda" else "tokens"
    print(f"| precision | engine | same texts | {per_second} | time / ours, median | lowest to highest |")
    print("|---|---|---|---|---|---|", flush=True)
    for precision in options.precision:
        ways = [way for way in options.ways if way != "vLLM" or options.vllm]
        ways = [way for way in ways if way != "llama.cpp" or precision in options.gguf]
        workers = [Worker(way, precision, options).ready() for way in ways]
        rounds = [[worker.decode() for worker in workers] for _ in range(options.rounds)]
        for place, worker in enumerate(workers):
            worker.end()
            made = rounds[-1][place][1]
            same = sum(row == good for row, good in zip(made, right, strict=False))
            tokens = sum(map(len, made))
            if options.device == "cuda":
                tokens /= statistics.median(one[place][0] for one in rounds)
            ratios = [one[place][0] / one[0][0] for one in rounds]
            cells = (
                precision, worker.name, f"{same} of {len(right)}" if right else "", f"{tokens:,.0f}",
                f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}",
            )  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="JSON lines with a `question`")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--vllm", type=Path, help="a Python that has vLLM")
    parser.add_argument("--gguf", nargs="+", default=[], metavar="PRECISION=FILE")
    parser.add_argument("--one", help="internal: serve this engine")
    options = parser.parse_args()
    options.gguf = dict(pair.split("=", 1) for pair in options.gguf)
    return options


if __name__ == "__main__":
    main()
