"""What may be imported without torch: the verifier, the data, the analysis."""

import subprocess
import sys

import pytest

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
for name in names:
    importlib.import_module(name)
print(len(names), "torch" in sys.modules)
"""


@pytest.mark.parametrize("package", ["verify", "data", "analysis"])
def test_a_package_is_imported_without_torch(package: str) -> None:
    command = [sys.executable, "-c", IMPORT_ALL, f"limo_ablate.{package}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    modules, torch = done.stdout.split()
    assert int(modules) > 5
    assert torch == "False"
