"""The files of ``deploy/`` are what Kubernetes, KubeRay, systemd and this project's own command line take.

Kubernetes' schemas come with the package ``kubernetes-validate``. KubeRay publishes its schemas as custom resource
definitions (``ray-operator/config/crd/bases`` of its repository): ``GLIP_ENGINE_KUBERAY_CRDS`` names a folder of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipelines.commands.command_line import command_line

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
KUBERNETES = "1.37"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def manifest(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def pod_specs(node: Any) -> list[dict[str, Any]]:
    """Every pod specification in a manifest."""
    if isinstance(node, list):
        return [one for item in node for one in pod_specs(item)]
    if not isinstance(node, dict):
        return []
    return [node] if "containers" in node else [one for item in node.values() for one in pod_specs(item)]


def validate_by_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def strict(schema: Any) -> Any:
    """A published schema in which a field that it does not know is an error, as with ``kubectl --validate=strict``."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_are_what_kubernetes_takes_and_have_no_rights_they_do_not_need(path: Path) -> None:
    found = pod_specs(manifest(path))
    assert found
    for spec in found:
        template = {"metadata": {}, "spec": spec}
        validate_by_kubernetes(
            {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
        )
        assert spec["securityContext"]["runAsNonRoot"]
        for container in spec["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert not container["image"].endswith(":latest")
            assert "memory" in container["resources"]["limits"]
            for one in container.get("env", []):
                assert "value" not in one or "TOKEN" not in one["name"], "a secret is no text of a manifest"


def test_the_cron_job_is_what_kubernetes_takes_and_forbids_overlap() -> None:
    document = manifest(DEPLOY / "kubernetes" / "retrain-cronjob.yaml")
    validate_by_kubernetes(document)
    assert document["spec"]["concurrencyPolicy"] == "Forbid"
    container = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:3] == ["ray", "job", "submit"]
    assert "--no-wait" not in container["command"], "a job that does not wait is done while its run goes on"
    cluster = manifest(DEPLOY / "kubernetes" / "raycluster.yaml")["metadata"]["name"]
    assert f"http://{cluster}-head-svc:8265" in container["command"]


@pytest.mark.parametrize("path", [one for one in MANIFESTS if "ray.io" in one.read_text()], ids=lambda path: path.name)
def test_ray_manifests_are_what_kuberay_takes(path: Path) -> None:
    folder = os.environ.get("GLIP_ENGINE_KUBERAY_CRDS")
    if not folder:
        pytest.skip("set GLIP_ENGINE_KUBERAY_CRDS to KubeRay's ray-operator/config/crd/bases")
    document = manifest(path)
    definition = manifest(Path(folder) / f"ray.io_{document['kind'].lower()}s.yaml")["spec"]
    version = next(one for one in definition["versions"] if f"ray.io/{one['name']}" == document["apiVersion"])
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # the definition leaves it to Kubernetes
    jsonschema.validate(document, schema)
    wrong = {**document, "spec": {**document["spec"], "noSuchField": 1}}
    with pytest.raises(jsonschema.ValidationError, match="noSuchField"):
        jsonschema.validate(wrong, schema)


def names_a_token(container: dict[str, Any]) -> bool:
    environment = {one["name"]: one for one in container.get("env", [])}
    secret = environment.get("RAY_AUTH_TOKEN", {}).get("valueFrom", {}).get("secretKeyRef")
    return environment.get("RAY_AUTH_MODE", {}).get("value") == "token" and secret is not None


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_whoever_speaks_to_a_cluster_shows_a_token_and_no_cluster_takes_another(path: Path) -> None:
    document = manifest(path)
    by_operator = document["spec"].get("rayClusterSpec", {}).get("authOptions") == {"mode": "token"}
    containers = [one for pod in pod_specs(document) for one in pod["containers"]]
    assert all(names_a_token(one) != by_operator for one in containers)


def test_the_cluster_and_what_is_submitted_to_it_share_one_secret() -> None:
    names = ("raycluster.yaml", "retrain-cronjob.yaml")
    pods = [pod for name in names for pod in pod_specs(manifest(DEPLOY / "kubernetes" / name))]
    variables = [one for pod in pods for container in pod["containers"] for one in container["env"]]
    tokens = [one["valueFrom"]["secretKeyRef"] for one in variables if one["name"] == "RAY_AUTH_TOKEN"]
    assert len(tokens) == 3
    assert all(one == tokens[0] for one in tokens)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_what_systemd_takes(path: Path, tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("no systemd-analyze")
    for unit in UNITS:  # a timer is verified with its service; the program is not installed here
        text = unit.read_text().replace("/opt/glip-engine/bin/glip-engine", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("User=glip-engine", "User=root"))
    command = [verifier, "verify", "--man=no", str(tmp_path / path.name)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    told = [line for line in done.stderr.splitlines() if path.stem in line]
    assert (done.returncode, told) == (0, [])


@pytest.mark.parametrize("path", [one for one in UNITS if one.suffix == ".service"], ids=lambda path: path.name)
def test_the_home_of_a_service_is_a_folder_that_it_may_write_to(path: Path) -> None:
    text = path.read_text()
    assert {"ProtectHome=yes", "ProtectSystem=strict", "StateDirectory=glip-engine"} <= set(text.split())
    assert "Environment=HOME=/var/lib/glip-engine" in text.splitlines()


def commands() -> list[tuple[str, str]]:
    """Every call of the command line in ``deploy/``, with the file it stands in."""
    found = []
    for path in (*UNITS, *MANIFESTS):
        text = re.sub(r"\s+", " ", path.read_text())
        found += [
            (path.name, call)
            for call in re.findall(r"glip-engine ((?:retrain|schedule|label) [^;&|\"]*?-- ?\S+[^;&|\"#\[]*)", text)
        ]
    return found


def test_every_call_of_the_command_line_is_one() -> None:
    calls = commands()
    assert len(calls) >= 4
    for name, call in calls:
        words = call.split()
        end = next(
            (place for place, word in enumerate(words) if word.endswith(("Mode", ":")) or "=" in word), len(words)
        )
        options = command_line().parse_args(words[:end])
        assert options.recipe.startswith("/etc/glip-engine/"), name


def test_the_image_is_slim_pinned_and_not_run_as_root() -> None:
    lines = [line.strip() for line in (DEPLOY / "Dockerfile").read_text().splitlines()]
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.fullmatch(r"python:3\.11-slim-[a-z]+", base) for base in bases)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1].isdigit()
    assert int(users[-1]) > 0
    assert not any(line.startswith("ADD ") for line in lines)


def copied() -> list[str]:
    """What the image's build takes from the repository."""
    lines = [line.split() for line in (DEPLOY / "Dockerfile").read_text().splitlines()]
    return [name for words in lines if words[:1] == ["COPY"] and "--from=" not in words[1] for name in words[1:-1]]


def test_every_path_that_the_image_copies_is_there_and_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for name in copied():
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


def test_every_package_is_in_the_image_and_every_folder_of_code_in_a_package() -> None:
    packages = set(PROJECT["tool"]["setuptools"]["packages"])
    rooms = {name.partition(".")[0] for name in packages}
    assert rooms <= set(copied())
    folders = {file.parent.relative_to(ROOT) for room in rooms for file in (ROOT / room).rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} == packages
    assert {name for name in PROJECT["project"]["license-files"] if name not in copied()} == set()
    assert PROJECT["project"]["readme"] in copied()


def test_what_the_build_reads_from_the_project_is_all_that_it_needs_beside_the_code() -> None:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    (command,) = re.findall(r"^RUN (python -c .*) > requirements\.txt", text, re.MULTILINE)
    command = command.replace("python -c", f"{sys.executable} -c", 1)
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)", text, re.MULTILINE)
    environment = {**os.environ, "EXTRAS": extras}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    optional = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(one for name in extras.split(",") for one in optional[name])]
    assert done.stdout.splitlines() == wanted


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_name_this_version_of_the_image_and_the_ray_that_it_holds(path: Path) -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert {spec["image"] for pod in pod_specs(manifest(path)) for spec in pod["containers"]} == {
        f"glip-engine:{PROJECT['project']['version']}"
    }
    assert set(re.findall(r'rayVersion: "(.*)"', path.read_text())) <= {pins["ray"]}
