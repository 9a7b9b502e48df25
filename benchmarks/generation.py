"""Our decoding beside `model.generate` with left padding.

    python benchmarks/generation.py [--rounds 5]
    python benchmarks/generation.py --gpu [--batch 64] [--tokens 4096] [--requests 128]

The first makes the miniature's three models, bases and fine-tuned, in --store (a few minutes, once) and
decodes its 180 test problems greedily, all at once, one thread, both ways in turn, in processor time; the
texts must be the same. And 16 samples of each problem by the fine-tuned mini_m.

The second needs a GPU, torch and transformers, nothing else: a Qwen2.5-1.5B with random weights, prompts of
100 to 300 tokens, answers of exactly --tokens, by each engine that needs nothing more.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import random
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODELS = ("mini_s", "mini_m", "mini_l")
QWEN_1_5B = {
    "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
    "num_attention_heads": 12, "num_key_value_heads": 2, "max_position_embeddings": 32768,
    "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
}  # fmt: skip
Ids = list[list[int]]


def plain(model: Any, prompts: Ids, stops: set[int], batch: int, **settings: Any) -> Ids:
    """`model.generate` over batches padded on the left; what comes after a stop token is cut off."""
    made: Ids = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        longest = max(map(len, part))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in part]).to(model.device)
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in part])
        new = model.generate(
            ids, attention_mask=mask.to(model.device), eos_token_id=sorted(stops) or None, pad_token_id=0,
            **settings,
        )[:, longest:].tolist()  # fmt: skip
        made += [_until_stop(row, stops) for row in new]
    return made


def _until_stop(row: list[int], stops: set[int]) -> list[int]:
    return row[: next((place for place, token in enumerate(row, 1) if token in stops), len(row))]


def ours(engine: Any, requests: Sequence[Any]) -> Ids:
    place = {id(request): number for number, request in enumerate(requests)}
    made: Ids = [[] for _ in requests]
    for done in engine.generate(requests):
        made[place[id(done.request)]] = done.ids
    return made


def timed(ways: dict[str, Callable[[], Ids]], rounds: int) -> tuple[dict[str, list[float]], dict[str, Ids]]:
    """Processor seconds of each way, one after the other in each round, and what it made in the last."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Ids] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            made[name] = way()
            seconds[name].append(time.process_time() - started)
    return seconds, made


def trained(store: str) -> Iterator[tuple[str, Path]]:
    from limo_ablate.trial.compose import compose
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.stages import Stages
    from limo_ablate.trial.track.tracker import NoTracker

    for name in MODELS:
        for size, kind in ((0, "base"), (64, "fine-tuned")):
            keys = [f"model={name}", f"select.size={size}", "select.quality=L4", "track=none"]
            config = compose([*keys, f"paths.artifacts={store}"])
            yield f"{name}, {kind}", trained_model(config, Stages(), NoTracker()).path


def miniature(store: str, rounds: int) -> None:
    from dataclasses import replace

    from limo_ablate.core.artifacts import Store
    from limo_ablate.data.pool.load import load_benchmark
    from limo_ablate.model.generate.completions import generation_request
    from limo_ablate.trial.compose import compose

    benchmark = compose(["track=none"]).eval.benchmarks["mini"]
    problems = load_benchmark(Store(store), "mini", benchmark)
    greedy = generation_request(problems, benchmark, None, 0)
    sampled = generation_request(problems, replace(benchmark, samples=16, temperature=1.0), None, 0)
    print("| model | parameters | decoding | tokens, mean | longest | same texts | ours | plain / ours |")
    print("|---|---|---|---|---|---|---|---|")
    for name, path in trained(store):
        print("|", name, "|", _compared(path, greedy, rounds, do_sample=False), "|", flush=True)
        if name == "mini_m, fine-tuned":
            print("|", name, "|", _compared(path, sampled, 1, do_sample=True, top_k=0), "|", flush=True)


def _compared(path: Path, ask: Any, rounds: int, **settings: Any) -> str:
    from limo_ablate.model.generate.completions import single_requests
    from limo_ablate.model.generate.decoding import TransformersEngine
    from limo_ablate.model.generate.engines import stop_ids
    from limo_ablate.model.train.load import load_model, load_tokenizer

    peer, own = (load_model(path, dtype="float32", attention="sdpa", device="cpu") for _ in range(2))
    stops, wanted = stop_ids(str(path)), single_requests(ask, load_tokenizer(path))
    prompts = [request.ids for request in wanted]
    ways = {
        "plain": partial(plain, peer, prompts, stops, 180, max_new_tokens=256, **settings),
        "ours": partial(ours, TransformersEngine(own, stops, 180), wanted),
    }
    seconds, made = timed(ways, rounds)
    lengths = [len(ids) for ids in made["ours"]]
    same = sum(one == other for one, other in zip(made["plain"], made["ours"], strict=True))
    middle = {way: statistics.median(values) for way, values in seconds.items()}
    cells = [
        f"{sum(p.numel() for p in peer.parameters()):,}",
        f"{ask.samples} samples" if settings["do_sample"] else "greedy",
        f"{statistics.mean(lengths):.0f}", f"{max(lengths)}",
        "" if settings["do_sample"] else f"{same} of {len(lengths)}",
        f"{middle['ours']:.2f} s", f"{middle['plain'] / middle['ours']:.1f}",
    ]  # fmt: skip
    return " | ".join(cells)


def gpu(batch: int, tokens: int, count: int) -> None:
    """Tokens per second of each engine; each gets the same requests, and ends none of them early."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    # The package's __init__ imports what a bare machine lacks; the engines themselves need torch alone.
    package = types.ModuleType("limo_ablate.model.generate")
    package.__path__ = [str(ROOT / "limo_ablate" / "generate")]
    sys.modules["limo_ablate.model.generate"] = package
    engines = importlib.import_module("limo_ablate.model.generate.engine")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(Qwen2Config(**QWEN_1_5B)).eval()
    torch.set_default_dtype(torch.float32)
    draw = random.Random(0)
    prompts = [[draw.randrange(1000, 150000) for _ in range(draw.randrange(100, 300))] for _ in range(count)]
    print("| engine | decoding | tokens/s | peak memory |\n|---|---|---|---|")
    for temperature in (0.0, 0.7):
        how = engines.Sampling(temperature, 0.95 if temperature else 1.0, tokens, 0)
        wanted = [engines.Request(f"p{n}", 0, "", ids, how) for n, ids in enumerate(prompts)]
        drawn = {"do_sample": True, "top_k": 0, "temperature": temperature, "top_p": 0.95}
        settings = {"max_new_tokens": tokens, **(drawn if temperature else {"do_sample": False})}

        def generate(settings: dict[str, Any] = settings) -> Ids:
            return plain(model, prompts, set(), batch, **settings)

        def decode(wanted: list[Any] = wanted) -> Ids:
            decoding = importlib.import_module("limo_ablate.model.generate.decoding")
            return ours(decoding.TransformersEngine(model, set(), batch), wanted)

        def paged(wanted: list[Any] = wanted) -> Ids:
            module = importlib.import_module("limo_ablate.model.generate.paged")
            return ours(module.PagedEngine(model, {-1}, batch), wanted)

        ways = {"transformers (ours)": decode, "model.generate": generate, "paged": paged}
        for name, way in ways.items():
            print("|", name, "|", f"T={temperature:g}", "|", _measured(way), "|", flush=True)


def _measured(way: Callable[[], Ids]) -> str:
    """An engine that fails is a line of the table: the others still run."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    try:
        made = way()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:80]} | "
    torch.cuda.synchronize()
    speed = sum(map(len, made)) / (time.perf_counter() - started)
    return f"{speed:,.0f} | {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default=str(ROOT / "outputs" / "artifacts"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--requests", type=int, default=128)
    asked_for = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"torch {torch.__version__}\n")  # fmt: skip
    if asked_for.gpu:
        if not torch.cuda.is_available():
            sys.exit("benchmarks/generation.py --gpu: no GPU can be seen here")
        gpu(asked_for.batch, asked_for.tokens, asked_for.requests)
    else:
        torch.set_num_threads(1)
        miniature(asked_for.store, asked_for.rounds)


if __name__ == "__main__":
    main()
