"""Installs the package rosac_common (ament_python)."""

from setuptools import find_packages, setup

NAME = "rosac_common"

setup(
    name=NAME,
    version="0.1.0",
    description="Shared by the rosac packages: ROS environment, message conversion, QoS profiles, settings.",
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
)
