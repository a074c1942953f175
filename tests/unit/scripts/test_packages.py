"""What colcon or pip would install is what the sources hold."""

from pathlib import Path

import pytest
from setuptools import find_packages

SOURCES = Path(__file__).parents[3] / "src"


@pytest.mark.parametrize("package", [path.parent for path in sorted(SOURCES.glob("*/setup.py"))], ids=lambda p: p.name)
def test_every_folder_of_modules_is_installed(package):
    folders = {path.parent.relative_to(package) for path in package.rglob("*.py")} - {
        Path(),
        Path("launch"),
        Path("test"),
    }
    assert {".".join(folder.parts) for folder in folders} == set(find_packages(str(package)))
