"""Installs the package valve_task (ament_python)."""

from setuptools import find_packages, setup

NAME = "valve_task"

setup(
    name=NAME,
    version="0.1.0",
    description="The tasks of rosac, valve turning and walking: observation, reward, reset and the task node.",
    maintainer="rosac developers",
    maintainer_email="maintainers@example.org",
    license="Apache-2.0",
    packages=find_packages(),
    package_data={NAME: ["**/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "task = valve_task.nodes:task",
        ],
    },
)
