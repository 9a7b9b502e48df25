import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.trial.compose import compose


def test_a_configuration_reads_only_some_variables_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it reads is saved with every trial, and recorded in W&B."""
    monkeypatch.setenv("LAB_CREDENTIAL", "correct horse")
    monkeypatch.setenv("LIMO_ABLATE_PROMPT", "Think.")
    monkeypatch.setenv("WANDB_PROJECT", "lab")
    for text in (
        "${oc.env:LAB_CREDENTIAL}",
        "a ${oc.env:LAB_CREDENTIAL,none}",
        "${oc.env:${oc.decode:LAB_CREDENTIAL}}",
    ):
        with pytest.raises(
            UserError, match=r"eval.system_prompt: \$\{oc.env:LAB_CREDENTIAL\}: .* can't read"
        ) as error:
            compose([f"eval.system_prompt='{text}'"])
        assert "correct horse" not in str(error.value)
    monkeypatch.setenv("LIMO_ABLATE_LEDGER_TOKEN", "0123456789abcdef@head:13000")
    with pytest.raises(UserError, match=r"LEDGER_TOKEN\}: a configuration can't read .*, which by"):
        compose(["eval.system_prompt='${oc.env:LIMO_ABLATE_LEDGER_TOKEN}'"])
    config = compose(["eval.system_prompt='${oc.env:LIMO_ABLATE_PROMPT}'"])
    assert config.eval.system_prompt == "Think."
    assert config.track.project == "lab"


@pytest.mark.parametrize("name", ["LIMO_ABLATE_PROMPT", "USER"])
def test_a_variable_with_a_key_is_refused_whatever_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "hf_" + "aB3" * 12
    monkeypatch.setenv(name, key)
    for text in (f"${{oc.env:{name}}}", f"with ${{oc.env:{name}}}"):
        with pytest.raises(UserError, match=r"^eval\.system_prompt: holds what looks like") as error:
            compose([f"eval.system_prompt='{text}'"])
        assert key not in str(error.value)
