"""Processor seconds of `import`, `export` and `report` for each tool's log.

    python benchmarks/imports.py FOLDER

FOLDER has logs as the tools write them: lm_eval/MODEL/samples_*.jsonl, inspect/*.eval, inspect/*.json,
lighteval/details/MODEL/DATE/details_*.parquet. Each verb is a process of its own in a new folder.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LOGS = {
    "lm_eval": {"files": "lm_eval/{model}/samples_la_gen_*.jsonl", "filter": "flexible"},
    "inspect .eval": {"files": "inspect/*_{arm}.eval", "score": "match"},
    "inspect .json": {"files": "inspect/*_{arm}.json", "score": "match"},
    "lighteval": {"files": "lighteval/details/{model}/*/details_*.parquet", "score": "extractive_match"},
}


def seconds(words: list[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "limo_ablate", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    logs = Path(sys.argv[1]).resolve()
    print("| log | import | export | report |\n|---|---|---|---|")
    for number, (tool, keys) in enumerate(LOGS.items()):
        with tempfile.TemporaryDirectory() as folder:
            name, config = f"study{number}", {**keys, "files": str(logs / keys["files"])}
            (Path(folder) / "logs.yaml").write_text(json.dumps({"name": name, **config}))
            spent = [
                seconds([verb, word], Path(folder))
                for verb, word in (("import", "logs.yaml"), ("export", name), ("report", name))
            ]
        print(f"| {tool} |", " | ".join(f"{one:.1f}" for one in spent), "|", flush=True)


if __name__ == "__main__":
    main()
