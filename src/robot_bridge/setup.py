"""Installs the package robot_bridge (ament_python)."""

from setuptools import find_packages, setup

NAME = "robot_bridge"

setup(
    name=NAME,
    version="0.1.0",
    description="The robot side of rosac: safety gate, Dynamixel bus, simulated robots and the bridge node.",
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
            "bridge = robot_bridge.nodes:bridge",
        ],
    },
)
