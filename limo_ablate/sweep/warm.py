"""What the fork server does once for all trials: their imports, and what their libraries build on first use.

Nothing here may start a thread or use CUDA, since neither survives a fork. So no polars and no tensors.
"""

from __future__ import annotations

import platform
from importlib import import_module

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from limo_ablate.core.code import code_digest, package_versions
from limo_ablate.core.provenance import RECORDED, code_state

for module in (
    "accelerate",
    "polars._utils.parquet",
    "polars._utils.udfs",
    "tokenizers.trainers",
    "torch",
    "transformers.integrations.mistral",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.tokenization_utils_tokenizers",
    "limo_ablate.model.generate.decoding",
    "limo_ablate.model.train.loop",
    "limo_ablate.model.train.oom",
    "limo_ablate.model.train.ranks",
    "limo_ablate.model.train.memory_check",
    "limo_ablate.trial.run",
):
    import_module(module)
get_checkpoint_conversion_mapping("qwen2")  # compiles a thousand patterns, for any model
code_state()  # of the code that has just been imported, as is the next one
code_digest()
package_versions(RECORDED)
platform.platform()
