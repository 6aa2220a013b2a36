"""Three rings: core stands alone, gradio stays in the page, and `import emdpo` is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "emdpo"
CORE_FILES = sorted((PACKAGE / "core").rglob("*.py"))
OTHER_FILES = sorted(set(PACKAGE.rglob("*.py")) - set((PACKAGE / "ui").rglob("*.py")))

OUTWARD = {("core/audit.py", "emdpo.report")}
"""Known exceptions, each inside a function: `Audit.to_html` makes the report."""

HEAVY = ("torch", "transformers", "peft", "gradio", "plotly", "spaces")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, in functions too."""
    return names_in(path.read_text("utf-8"))


def names_in(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def outward(names: set[str]) -> set[str]:
    """Return what core may not import: emdpo outside core, and heavy libraries."""
    home = {name for name in names if is_within(name, "emdpo")}
    home -= {name for name in home if is_within(name, "emdpo.core") or name == "emdpo"}
    return home | {name for name in names if any(is_within(name, heavy) for heavy in HEAVY)}


def test_the_check_sees_an_outward_import():
    inside = (
        "def f():\n    from emdpo.ui import app\n    import torch.nn\n    from emdpo import cli\n"
    )
    assert outward(names_in(inside)) == {"emdpo.ui", "emdpo.ui.app", "torch.nn", "emdpo.cli"}


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_core_imports_nothing_outward(path):
    name = path.relative_to(PACKAGE).as_posix()
    allowed = {module for file, module in OUTWARD if file == name}
    found = {bad for bad in outward(imported(path)) if not any(is_within(bad, a) for a in allowed)}
    assert not found


def test_the_known_exceptions_are_still_needed():
    for file, module in OUTWARD:
        assert module in imported(PACKAGE / file)


@pytest.mark.parametrize("path", OTHER_FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_gradio_stays_in_the_page(path):
    assert not {name for name in imported(path) if is_within(name, "gradio")}


TORCH_FREE = ("config", "saved", "distilled", "__init__")
"""What run folders are read with."""


@pytest.mark.parametrize("name", TORCH_FREE)
def test_adapters_are_read_without_torch(name):
    found = imported(PACKAGE / "adapters" / f"{name}.py")
    assert not {each for each in found if any(is_within(each, heavy) for heavy in HEAVY)}
    inside = {each for each in found if is_within(each, "emdpo.adapters")}
    free = [f"emdpo.adapters.{free}" for free in TORCH_FREE]
    assert not {each for each in inside if not any(is_within(each, home) for home in free)}


def run_python(code: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
"""


def test_core_works_with_torch_and_gradio_blocked():
    """Import every module of core and do the main job from Python."""
    code = (
        BLOCK
        + """
try:
    import gradio
except ImportError as error:
    assert "blocked" in str(error)
else:
    raise AssertionError("the block does not block")
import importlib, pkgutil, emdpo.core
found = [m.name for m in pkgutil.walk_packages(emdpo.core.__path__, "emdpo.core.")]
for name in found:
    importlib.import_module(name)
print(len(found))
import emdpo
fit = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), 2, restarts=1)
emdpo.audit(fit, n_bootstrap=10).to_json()
"""
    )
    assert int(run_python(code)) >= len(CORE_FILES) - 2  # the packages' own __init__ apart


def test_import_emdpo_is_light_and_so_is_the_command_line():
    code = f"""
import sys
import emdpo
light = ("sklearn", "pandas", "scipy", *{HEAVY!r})
assert not [name for name in light if name in sys.modules]
import emdpo.cli
for name in emdpo.__all__:
    getattr(emdpo, name)
emdpo.cli.build_parser()
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_public_names_exist_and_others_do_not():
    import emdpo

    assert sorted(emdpo.__all__) == sorted(emdpo._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = emdpo.nonsense
