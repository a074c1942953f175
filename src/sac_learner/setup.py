"""Installs the package sac_learner (ament_python), the launch files, the settings and the command rosac."""

import os
from pathlib import Path

from setuptools import find_packages, setup

NAME = "sac_learner"
os.chdir(Path(__file__).parent)


def tree(folder: str, pattern: str) -> list[tuple[str, list[str]]]:
    """Lists the files of a linked folder of the repository for data_files, one entry for each directory."""
    files: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob(pattern)):
        if path.is_file():  # colcon's build folder keeps dead links to files that were removed
            files.setdefault(f"share/{NAME}/{path.parent}", []).append(str(path))
    return sorted(files.items())


setup(
    name=NAME,
    version="0.1.0",
    description="Soft Actor-Critic for real robots: the method, the learner and actor nodes, the rosac command.",
    maintainer="rosac developers",
    maintainer_email="maintainers@example.org",
    license="Apache-2.0",
    packages=find_packages(),
    package_data={NAME: ["**/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        ("bin", ["scripts/rosac"]),
        *tree("launch", "*.launch.py"),
        *tree("config", "*.yaml"),
    ],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "actor = sac_learner.nodes:actor",
            "learner = sac_learner.nodes:learner",
        ],
    },
)
