"""Greedy decoding of a real model by our engines, `model.generate`, vLLM and llama.cpp, in processor time.

    python benchmarks/engines.py --model FOLDER --text FILE.jsonl [--precision float32 bfloat16]
        [--vllm .vllm/bin/python] [--gguf float32=FILE.gguf bfloat16=FILE.gguf]

The first --problems `question`s of the file through the model's chat template, at most --tokens new tokens
each, all at once. Each engine has a process of its own with one thread, which has loaded everything and
decoded one prompt; they take turns, and the processor time of decoding alone counts. Texts are compared
with those of `model.generate` on one prompt at a time in float32. vLLM needs a Python that has it
(`make vllm-env`), llama.cpp the package xllamacpp and a GGUF file of the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
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
        command = [
            str(python),
            __file__,
            "--one",
            way,
            "--model",
            str(options.model),
            "--text",
            str(options.text),
        ]
        command += [
            "--problems",
            str(options.problems),
            "--tokens",
            str(options.tokens),
            "--precision",
            precision,
        ]
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
        decode = vllm(options.model, precision, options.tokens)
    elif options.one == "llama.cpp":
        decode = llama(options.gguf[precision], options.tokens, options.problems, stops(options.model))
    else:
        decode = torch_engine(options.one, options.model, precision, options.tokens, options.problems)
    ids = prompts(options)
    decode(ids[:1])
    print("@null", flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        made = decode(ids)
        print("@" + json.dumps([time.process_time() - started, made]), flush=True)


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


def stops(model: Path) -> set[int]:
    from transformers import GenerationConfig

    eos = GenerationConfig.from_pretrained(model).eos_token_id
    return set(eos) if isinstance(eos, list) else {eos}


def torch_engine(way: str, model: Path, precision: str, tokens: int, slots: int) -> Callable[[Ids], Ids]:
    import torch

    sys.path.insert(0, str(ROOT))
    from benchmarks.generation import ours, plain
    from limo_ablate.model.generate.decoding import TransformersEngine
    from limo_ablate.model.generate.engine import Request, Sampling
    from limo_ablate.model.generate.paged import PagedEngine
    from limo_ablate.model.train.load import load_model

    torch.set_num_threads(1)
    loaded, ends = load_model(str(model), dtype=precision, attention="sdpa", device="cpu"), stops(model)
    if way.startswith("model.generate"):
        batch = 1 if way == ALONE else slots
        return lambda ids: plain(loaded, ids, ends, batch, max_new_tokens=tokens, do_sample=False)
    kind = {"ours, transformers": TransformersEngine, "ours, paged": PagedEngine}[way]
    engine, how = kind(loaded, ends, slots), Sampling(0.0, 1.0, tokens, 0)
    return lambda ids: ours(engine, [Request(f"p{n}", 0, "", row, how) for n, row in enumerate(ids)])


def vllm(model: Path, precision: str, tokens: int) -> Callable[[Ids], Ids]:
    from vllm import LLM, SamplingParams

    engine = LLM(str(model), dtype=precision, max_model_len=2048, skip_tokenizer_init=True, seed=0,
                 enable_prefix_caching=False)  # fmt: skip
    how = SamplingParams(
        temperature=0.0, max_tokens=tokens, stop_token_ids=sorted(stops(model)), detokenize=False
    )

    def decode(ids: Ids) -> Ids:
        done = engine.generate([{"prompt_token_ids": row} for row in ids], how, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in done]

    return decode


def llama(gguf: Path, tokens: int, slots: int, ends: set[int]) -> Callable[[Ids], Ids]:
    """llama.cpp's server inside this process, one thread, a slot for each prompt."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx
    import xllamacpp

    how = xllamacpp.CommonParams()
    how.model.path = str(gguf)
    how.n_ctx, how.n_parallel, how.n_batch = 1024 * slots, slots, 2048
    how.cpuparams.n_threads = how.cpuparams_batch.n_threads = 1
    how.cache_type_k = how.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    how.warmup = False
    server = xllamacpp.Server(how)

    def one(row: list[int]) -> list[int]:
        asked = {"prompt": row, "n_predict": tokens, "temperature": 0.0, "top_k": 1, "return_tokens": True,
                 "cache_prompt": False, "samplers": ["top_k"]}  # fmt: skip
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
    reference = Worker(ALONE, "float32", options).ready()
    right = reference.decode()[1]
    reference.end()
    print("| precision | engine | same texts | tokens | processor time / ours, median | lowest to highest |")
    print("|---|---|---|---|---|---|", flush=True)
    for precision in options.precision:
        ways = [way for way in options.ways if way != "vLLM" or options.vllm]
        ways = [way for way in ways if way != "llama.cpp" or precision in options.gguf]
        workers = [Worker(way, precision, options).ready() for way in ways]
        rounds = [[worker.decode() for worker in workers] for _ in range(options.rounds)]
        for place, worker in enumerate(workers):
            worker.end()
            made = rounds[-1][place][1]
            same = sum(row == good for row, good in zip(made, right, strict=True))
            ratios = [one[place][0] / one[0][0] for one in rounds]
            cells = (
                precision, worker.name, f"{same} of {len(right)}", f"{sum(map(len, made)):,}",
                f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}",
            )  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="JSON lines with a `question`")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--vllm", type=Path, help="a Python that has vLLM")
    parser.add_argument("--gguf", nargs="+", default=[], metavar="PRECISION=FILE")
    parser.add_argument("--one", help="internal: serve this engine")
    options = parser.parse_args()
    options.gguf = dict(pair.split("=", 1) for pair in options.gguf)
    return options


if __name__ == "__main__":
    main()
