"""What pyproject.toml cannot say: the packages of tds-lab stand in the folder above."""

from pathlib import Path

from setuptools import find_packages, setup

ABOVE = ".."

setup(
    packages=find_packages(str(Path(__file__).resolve().parent.parent), include=["tds_lab*", "zoho_sandbox*"]),
    package_dir={name: f"{ABOVE}/{name}" for name in ("tds_lab", "zoho_sandbox")},
)
