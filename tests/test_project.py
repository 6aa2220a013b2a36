"""The project's own files agree with one another."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def front_matter() -> dict[str, object]:
    _, matter, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(matter)


def test_the_space_runs_the_gradio_that_the_requirements_start_from():
    pin = next(line for line in PROJECT["optional-dependencies"]["app"] if "gradio" in line)
    version = str(front_matter()["sdk_version"])
    lowest = re.search(r">=([\d.]+)", pin).group(1)
    assert version.startswith(lowest)


def test_the_space_entry_exists():
    matter = front_matter()
    assert matter["sdk"] == "gradio"
    assert (ROOT / str(matter["app_file"])).exists()
    assert len(str(matter["short_description"])) <= 60  # the hub's limit


def test_requirements_are_what_the_package_and_its_page_need():
    listed = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    extras = PROJECT["optional-dependencies"]
    needed = PROJECT["dependencies"] + extras["app"] + extras["adapters"]
    assert sorted(listed) == sorted(needed)


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


def test_commands_of_the_readme_exist():
    from emdpo.cli import build_parser

    parser = build_parser()
    commands = re.findall(r"^ +\$ emdpo (.+?)(?: +#.*)?$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) >= 4
    for command in commands:
        parser.parse_args(shlex.split(command))


def test_commands_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert re.search(rf"^{name}:", makefile, re.M), name
