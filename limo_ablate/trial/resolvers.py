"""The environment variables that a configuration may read with `${oc.env:NAME}`: it is saved with each trial
and recorded in W&B, so that any other variable, such as a key, could leave this machine."""

from __future__ import annotations

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from limo_ablate.core.credentials import NAME
from limo_ablate.core.errors import UserError

READABLE = (
    "HOME", "USER", "LOGNAME", "HOSTNAME", "PWD", "TMPDIR", "SCRATCH", "WORK", "HF_HOME", "SLURM_JOB_ID",
    "SLURM_TMPDIR", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_MODE", "WANDB_NAME", "WANDB_TAGS", "WANDB_DIR",
    "WANDB_SWEEP_ID", "WANDB_RUN_ID",
)  # fmt: skip
OWN = "LIMO_ABLATE_"
"""Beginning of the names of variables that users may set for their configurations."""
UNSET = object()


def env(name: str, default: object = UNSET) -> object:
    """OmegaConf's `oc.env`, for some variables. Raises UserError for any other."""
    if NAME.search(name):
        raise UserError(
            f"${{oc.env:{name}}}: a configuration can't read this variable, which by its name is a key or a "
            "password (docs/security.md)"
        )
    if name not in READABLE and not name.startswith(OWN):
        raise UserError(
            f"${{oc.env:{name}}}: a configuration can't read this variable, as it is saved; set the key on "
            f"the command line (KEY=${name}), or rename the variable {OWN}{name} (docs/security.md)"
        )
    return oc.env(name) if default is UNSET else oc.env(name, default)


def limit_environment() -> None:
    """Puts `env` in place of OmegaConf's own resolver."""
    OmegaConf.register_new_resolver("oc.env", env, replace=True)
