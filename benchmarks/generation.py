"""Our decoding beside `model.generate` with left padding.

    python benchmarks/generation.py [--rounds 5]

It makes the miniature's three models, bases and fine-tuned, in --store (a few minutes, once) and
decodes its 180 test problems greedily, all at once, one thread, both ways in turn, in processor time; the
texts must be the same. And 16 samples of each problem by the fine-tuned mini_m.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODELS = ("mini_s", "mini_m", "mini_l")
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default=str(ROOT / "outputs" / "artifacts"))
    parser.add_argument("--rounds", type=int, default=5)
    asked_for = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"torch {torch.__version__}\n")  # fmt: skip
    torch.set_num_threads(1)
    miniature(asked_for.store, asked_for.rounds)


if __name__ == "__main__":
    main()
