"""docs/clusters.md: recipes are valid as far as that is seen here; the image's steps work (CI_IMAGE=1)."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.cli import VERBS
from limo_ablate.study.folder import SEEN_AS
from limo_ablate.sweep.ledger.secured import CERTIFICATE, TOKEN
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "clusters.md").read_text()
STEPS = (ROOT / "Dockerfile").read_text()


def recipes() -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_job_is_one_of_kubernetes() -> None:
    job = recipes()[0]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    assert pod["restartPolicy"] == "Never", "as backoffLimitPerIndex needs"
    mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_ray_job_is_one_of_kuberay() -> None:
    job = recipes()[1]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    (mount,) = head["containers"][0]["volumeMounts"]
    assert [mount["name"]] == [volume["name"] for volume in head["volumes"]]
    assert f"ray[default]=={cluster['rayVersion']}" in PAGE


def test_scripts_are_shell_and_call_verbs_that_there_are() -> None:
    job, ray_job, task = recipes()
    scripts = [job["spec"]["template"]["spec"]["containers"][0]["args"][0], task["run"]]
    for script in (*scripts, ray_job["spec"]["entrypoint"]):
        assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    for verb in re.findall(r"limo-ablate (\w[\w-]*)", "\n".join([*scripts, PAGE])):
        assert verb in VERBS
    assert all(f"outputs/studies/miniature/{SEEN_AS}" in script for script in scripts)
    assert {TOKEN, CERTIFICATE} <= set(re.findall(r"LIMO_ABLATE_\w+", PAGE))


def test_the_image_has_what_the_recipes_need() -> None:
    assert "[store,postgres,grpc]" in STEPS
    assert 'ENTRYPOINT ["limo-ablate"]' in STEPS


@pytest.mark.skipif(
    os.environ.get("CI_IMAGE") != "1", reason="installs everything anew; runs with CI_IMAGE=1"
)
def test_the_steps_of_the_image_work_in_a_clean_environment(tmp_path: Path) -> None:
    """Without docker: its RUN lines in a new environment, with paths of this test."""
    install, work = tmp_path / "install", tmp_path / "work"
    install.mkdir()
    work.mkdir()
    venv.create(tmp_path / "env", with_pip=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(install), str(ROOT)]
    subprocess.run(wheel, check=True)
    shutil.copyfile(ROOT / "constraints.txt", install / "constraints.txt")
    environment = {"PATH": f"{tmp_path}/env/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for step in re.findall(r"^RUN (.*)$", STEPS, re.MULTILINE):
        command = step.replace("/tmp/install", str(install))  # noqa: S108 - in the image
        subprocess.run(["sh", "-ec", command], check=True, cwd=work, env=environment)
