"""Scores of lm-evaluation-harness's tasks as verdicts: a problem for each document, by the task's metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.reading import read_json
from limo_ablate.core.text import ends_in_a_loop
from limo_ablate.data.pool.lm_eval_source import FACTS, item, load_tasks, own_seeds, task_facts
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.generate.completion_cache import generation_key
from limo_ablate.model.generate.completions import SCHEMA, TABLE, GenerationRequest
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Sampling
from limo_ablate.model.generate.likelihood import Scorer
from limo_ablate.model.generate.lm_eval_model import lm_eval_model
from limo_ablate.model.train.chat import AS_IT_IS
from limo_ablate.trial.evaluate.config import BenchmarkConfig

RULE = "lm_eval"
Generate = Callable[[Mapping[str, GenerationRequest]], Mapping[str, Artifact]]
"""Completions of the trial's model by its engine."""


def lm_eval_verdicts(
    store: Store,
    name: str,
    benchmark: BenchmarkConfig,
    problems: Artifact,
    model: Artifact,
    scorer: Scorer,
    generate: Generate,
    settings: EngineConfig,
    hardware: HardwareConfig,
    seed: int,
    template: TemplateConfig = AS_IT_IS,
) -> Artifact:
    """`completions.parquet` and `verdicts.parquet` of the tasks of a benchmark; `seed`: of tasks that sample;
    `template`: of the model.

    Raises UserError where the tasks are not those of `problems` any more.
    """
    chosen = {key: getattr(benchmark, key) for key in ("task", "filter", "metric", "num_fewshot", "limit")}
    inputs = {
        "benchmark": problems,
        **chosen,
        "max_tokens": benchmark.max_tokens,
        "seed": seed,
        **benchmark.chat_settings(),
        **(template.as_input() if benchmark.apply_chat_template else {}),
        **generation_key(model, settings, hardware),
    }

    def make(folder: Path) -> None:
        if json.loads(json.dumps(task_facts(benchmark))) != read_json(problems.path / FACTS):
            raise UserError(
                f"eval.benchmarks.{name}: lm-eval's task={benchmark.task} or its data set changed since its "
                "problems were read; remove that artifact, and this is another benchmark: "
                f"{problems.path}"
            )
        completions = _Completions(store, name, benchmark, generate, seed)
        samples = _evaluated(benchmark, lm_eval_model(scorer, completions.of, template))
        texts = completions.table({row["problem"]: row for row in samples})
        texts.write_parquet(folder / TABLE)
        _verdicts(name, samples, texts, problems).write_parquet(folder / "verdicts.parquet")

    return store.build("lm_eval", inputs, make)


def _evaluated(benchmark: BenchmarkConfig, model: Any) -> list[dict[str, Any]]:
    """problem, prompt, answer and score of each document, by the chosen filter and metric."""
    from lm_eval.evaluator import evaluate

    with own_seeds():
        tasks = load_tasks(benchmark)
        found = evaluate(
            lm=model, task_dict={"tasks": tasks}, limit=benchmark.limit, bootstrap_iters=0, log_samples=True,
            apply_chat_template=benchmark.apply_chat_template,
            fewshot_as_multiturn=benchmark.apply_chat_template and benchmark.fewshot_as_multiturn,
            system_instruction=benchmark.system_instruction,
        )  # fmt: skip
    rows = []
    for name, samples in found["samples"].items():
        for sample in samples:
            if benchmark.filter in (None, sample["filter"]):
                metric = benchmark.metric or sample["metrics"][0]
                rows.append({
                    "problem": item(tasks, name, sample["doc_id"]),
                    "prompt": str(sample["arguments"][0][0]),
                    "answer": _answer(sample),
                    "score": _score(sample.get(metric), f"task={name}: metric={metric}"),
                })  # fmt: skip
    return rows


def _answer(sample: Mapping[str, Any]) -> str:
    """The filtered completion; of several continuations, the likeliest one."""
    filtered = sample["filtered_resps"]
    if isinstance(filtered[0], str):
        return str(filtered[0])
    if len(filtered) == 1 or len(sample["arguments"][0]) < 2:
        return json.dumps(filtered, default=str)
    values = [one[0] if isinstance(one, list | tuple) else one for one in filtered]
    return str(sample["arguments"][int(np.argmax(values))][1])


def _score(value: Any, where: str) -> float:
    if not isinstance(value, bool | int | float | np.number | np.bool_) or not 0 <= value <= 1:
        raise UserError(
            f"{where}: {value!r} is no score of a document between 0 and 1; choose another metric"
        )
    return float(value)


def _verdicts(
    name: str, samples: Sequence[Mapping[str, Any]], texts: pl.DataFrame, problems: Artifact
) -> pl.DataFrame:
    """In the form of `verdicts.verdicts`, of the problems that the benchmark has."""
    known = pl.read_parquet(problems.path / "problems.parquet").select(
        "level", "source", "subject", "gold", problem="id"
    )
    graded = pl.DataFrame(samples, schema={"problem": pl.String, "answer": pl.String, "score": pl.Float64})
    right = pl.col("score") == 1
    return (
        known.join(graded, on="problem", how="left", validate="1:1", maintain_order="left")
        .join(texts.select("problem", "sample", "tokens", "finish", "loops"), on="problem", how="left")
        .select(
            pl.lit(name).alias("benchmark"), "problem", "sample", "level", "source", "subject", "gold",
            "tokens", "finish", "loops", "answer",
            pl.when(right).then(pl.lit("correct")).otherwise(pl.lit("incorrect")).alias("status"),
            "score", pl.lit(RULE).alias("rule"), pl.lit(None, pl.String).alias("reason"),
            right.alias("boxed"), right.alias("lenient"), pl.lit(None, pl.Int64).alias("vote"),
        )
    )  # fmt: skip


class _Completions:
    """What the trial's engine generates for the requests of tasks."""

    def __init__(
        self, store: Store, name: str, benchmark: BenchmarkConfig, generate: Generate, seed: int
    ) -> None:
        self.store, self.name, self.benchmark, self.generate = store, name, benchmark, generate
        self.seed = seed
        self.rows: dict[str, dict[str, Any]] = {}
        """Prompt -> its row of completions.parquet."""

    def of(self, requests: Sequence[Any]) -> list[str]:
        """The text of each request, cut at its stop strings."""
        from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

        settings = [normalize_gen_kwargs(request.args[1], self.benchmark.max_tokens) for request in requests]
        samplings = [self._sampling(one) for one in settings]
        texts = {}
        for sampling in dict.fromkeys(samplings):
            prompts = [r.args[0] for r, own in zip(requests, samplings, strict=True) if own == sampling]
            for prompt, row in self._generated(list(dict.fromkeys(prompts)), sampling).items():
                texts[prompt, sampling], self.rows[prompt] = row["completion"], row
        return [
            postprocess_generated_text(texts[request.args[0], sampling], one.get("until"), None)
            for request, sampling, one in zip(requests, samplings, settings, strict=True)
        ]

    def table(self, samples: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
        """`completions.parquet`; what is only scored has the likeliest continuation, of no tokens."""
        scored = {"completion": None, "tokens": 0, "finish": "stop", "loops": False}
        rows = [
            (scored | {"completion": sample["answer"]} | self.rows.get(sample["prompt"], {}))
            | {"benchmark": self.name, "problem": problem, "sample": 0, "prompt": sample["prompt"]}
            for problem, sample in samples.items()
        ]
        return pl.DataFrame(rows, schema=SCHEMA)

    def _sampling(self, settings: Mapping[str, Any]) -> Sampling:
        temperature = float(settings.get("temperature") or 0.0)
        top_p, seed = (float(settings.get("top_p", 1.0)), self.seed) if temperature else (1.0, 0)
        return Sampling(temperature, top_p, int(settings["max_gen_toks"]), seed)

    def _generated(self, prompts: list[str], sampling: Sampling) -> dict[str, dict[str, Any]]:
        asked = pl.DataFrame({"id": [str(number) for number in range(len(prompts))], "text": prompts})
        made = self.store.build(
            "openings", {"prompts": prompts}, lambda folder: asked.write_parquet(folder / "problems.parquet")
        )
        request = GenerationRequest(
            problems=made, samples=1, sampling=sampling, system_prompt=None, raw=True,
            filled_in=self.benchmark.apply_chat_template,
        )  # fmt: skip
        (artifact,) = self.generate({f"lm_eval/{self.name}": request}).values()
        rows = pl.read_parquet(artifact.path / TABLE).select("problem", "completion", "tokens", "finish")
        return {
            prompts[int(row.pop("problem"))]: row | {"loops": ends_in_a_loop(row["completion"])}
            for row in rows.iter_rows(named=True)
        }
