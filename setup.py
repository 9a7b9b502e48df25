"""Puts conf/ and sweeps/ into the wheel, which pyproject.toml can't say. All else is there."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["limo_ablate", "limo_ablate.*", "hydra_plugins"]),
        "limo_ablate.conf",
        "limo_ablate.sweeps",
    ],
    package_dir={"limo_ablate.conf": "conf", "limo_ablate.sweeps": "sweeps"},
)
