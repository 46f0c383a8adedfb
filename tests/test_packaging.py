"""What is installed is complete: sdist, wheel, and a wheel's life outside the source tree."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT

import dory
from dory import resources


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel, and an empty folder outside the source tree."""

    scripts: Path
    cwd: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        program = self.scripts / command[0]
        return subprocess.run(
            [program, *command[1:]], cwd=self.cwd, env=env, capture_output=True, text=True, timeout=240
        )

    def python(self, code: str) -> str:
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel), the wheel built from the sdist and not from the source tree."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own; only the dependencies come from this one."""
    _, wheel = built
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "env", with_pip=False, symlinks=True)
    scripts = home / "env" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    install = [*pip, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (purelib,) = (home / "env" / "lib").glob("python*/site-packages")
    # The .pth files of a folder named in a .pth file do not run: an editable dory there stays unseen.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    cwd = home / "elsewhere"
    cwd.mkdir()
    return Installed(scripts, cwd)


def load_resources_from(package: Path) -> ModuleType:
    """`dory.resources` as if it were installed in the folder `package`."""
    package.mkdir()
    copy = package / "resources.py"
    copy.write_text(Path(resources.__file__).read_text())
    spec = importlib.util.spec_from_file_location("resources_elsewhere", copy)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_csrc_dir_holds_the_kernels_and_the_runtime() -> None:
    found = resources.csrc_dir()
    assert list((found / "gap8_kernels").glob("*.h"))
    assert list((found / "runtime").glob("*.h"))


def test_csrc_dir_of_a_checkout_is_beside_the_package(tmp_path: Path) -> None:
    (tmp_path / "csrc").mkdir()
    assert load_resources_from(tmp_path / "dory").csrc_dir() == tmp_path / "csrc"


def test_csrc_dir_of_a_wheel_is_not_somebody_elses(tmp_path: Path) -> None:
    module = load_resources_from(tmp_path / "dory")
    (tmp_path / "csrc").mkdir()
    (tmp_path / "dory" / "_csrc").mkdir()
    assert module.csrc_dir() == tmp_path / "dory" / "_csrc"


def test_a_broken_installation_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="C sources of dory are missing"):
        load_resources_from(tmp_path / "dory").csrc_dir()


def test_version_is_the_same_everywhere() -> None:
    assert importlib.metadata.version("dory") == dory.__version__


def sources(folder: str, *patterns: str) -> set[str]:
    """Paths, relative to the repository, of the files below `folder` that match."""
    found = {path for pattern in patterns for path in (ROOT / folder).rglob(pattern)}
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.mark.slow
def test_wheel_holds_everything_a_deploy_needs(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[1]).namelist())
    code = sources("csrc", "*.[chS]", "*.inc", "*.ld", "*.mk")
    data = sources("dory", "*.py", "*.pyi", "*.j2", "*.toml", "py.typed")
    assert any(name.startswith("csrc/gap8_kernels/") for name in code)
    assert any(name.startswith("csrc/runtime/") for name in code)
    assert any(name.startswith("dory/codegen/templates/") for name in data)
    assert "dory/targets/gap8.toml" in data
    assert {name.replace("csrc/", "dory/_csrc/", 1) for name in code} - names == set()
    assert data - names == set()
    assert f"dory/_tiler{sysconfig.get_config_var('EXT_SUFFIX')}" in names


@pytest.mark.slow
def test_wheel_holds_nothing_else(built: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(built[1]).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dory"}
    assert [name for name in names if name.endswith((".pyx", ".o", ".pyc", "CMakeLists.txt"))] == []
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


@pytest.mark.slow
def test_sdist_holds_the_sources_and_their_tests(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    wanted = {"pyproject.toml", "CMakeLists.txt", "Makefile", "LICENSE", "README.md", "dory/_tiler.pyx"}
    assert (wanted | sources("csrc", "*.[chS]") | sources("tests", "*.py")) - names == set()
    assert [name for name in names if name.startswith((".venv/", ".git/"))] == []


@pytest.mark.slow
def test_installed_wheel_uses_its_own_files(installed: Installed) -> None:
    code = "import json, dory, dory._tiler as t, dory.resources as r; "
    code += "print(json.dumps([dory.__file__, t.__file__, str(r.csrc_dir()), dory.__version__]))"
    *paths, version = json.loads(installed.python(code))
    assert version == dory.__version__
    for path in paths:
        assert Path(path).is_relative_to(installed.scripts.parent)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("python", "-m", "dory"), ("dory",)])
def test_installed_wheel_has_the_commands(installed: Installed, command: tuple[str, ...]) -> None:
    done = installed.run(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "deploy" in done.stdout


@pytest.mark.slow
def test_installed_wheel_deploys_and_verifies_outside_the_clone(installed: Installed) -> None:
    (model,) = (ROOT / "examples" / "digits").glob("*qdq.onnx")
    done = installed.run("dory", "deploy", str(model), "-o", "app", "--verify", "host")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (installed.cwd / "app" / "plan.json").is_file()
    assert (installed.cwd / "app" / "include" / "network.h").is_file()
    # Nothing in the application may lead back to the machine that generated it.
    mine = [str(installed.scripts.parent), str(installed.cwd), str(ROOT)]
    app = sorted((installed.cwd / "app").rglob("*"))
    for path in [path for path in app if path.suffix in {".c", ".h", ".mk", ".json"}]:
        assert [place for place in mine if place in path.read_text()] == [], path
