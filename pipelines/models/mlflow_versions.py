"""A registered model of MLflow that mirrors a registry: a version for each promoted one, an alias on the current one.

In: a registry, and the model's name; MLflow's own environment variables tell its address. Out: the model, up to date.
Repeating it changes nothing, and two processes at once arrive at the same result: versions are identified by our number
in their tags, of two with one number the later is deleted, and after moving the alias the pointer is read again.
MLflow's documentation: https://mlflow.org/docs/latest/ml/model-registry/.
"""

from __future__ import annotations

from typing import Any

from engine.registry import Registry
from engine.registry.state import State
from pipelines.models.mlflow_words import ENTRY, MANIFEST, NUMBER, REGISTRY, description, model_tags, version_tags
from schemas.registry_results import Mirroring
from student.mlflow_client import experiment_of_ours, in_a_hurry

ALIAS = "champion"
ARTIFACTS = "model"


def catch_up(registry: Registry, name: str) -> Mirroring:
    """Bring MLflow's model ``name`` up to date with the registry. ValueError where the model is not this registry's;
    MLflow's own errors where it does not answer."""
    from mlflow import MlflowClient

    client, result = MlflowClient(), Mirroring(model=name)
    with in_a_hurry():
        registered = _registered(client, registry, name)
    while True:
        state = registry.state()  # after the model: its tag can then not be newer than the history
        _check_ours(registered, state)
        result = _follow(client, registry, registered, state, result)
        if registry.state().entry == state.entry:
            return result
        registered = client.get_registered_model(name)


def _registered(client: Any, registry: Registry, name: str) -> Any:
    """The registered model, created if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    try:
        client.create_registered_model(name, tags=model_tags(registry, registry.state()))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise
    return client.get_registered_model(name)


def _check_ours(registered: Any, state: State) -> None:
    """ValueError unless the model mirrors this registry: the entry in its tags must be one of the registry's."""
    if registered.tags.get(ENTRY) in {entry.token for entry in state.entries}:
        return
    whose = f"the mirror of {registered.tags[REGISTRY]}" if REGISTRY in registered.tags else "no mirror of a registry"
    raise ValueError(
        f"MLflow has a model {registered.name!r} already, which is {whose} and not of the registry {state.uri} as it "
        "is; `glip-engine mirror --model` takes another name"
    )


def _follow(client: Any, registry: Registry, registered: Any, state: State, before: Mirroring) -> Mirroring:
    name = registered.name
    there = _mirrored(client, name)
    added, passed_over = list(before.added), []
    for number in sorted({entry.version for entry in state.entries} - set(there)):
        try:
            registry.check(number, state)
        except ValueError as error:
            passed_over.append(f"version {number} is not in the mirror: {str(error).split(';')[0]}")
            continue
        there[number] = _add(client, registry, name, state, number)
        added.append(number)
    current = state.current()
    if current is None or current.version not in there:
        raise ValueError(f"its alias {ALIAS!r} stays where it is: {'; '.join(passed_over)}")
    if str(registered.aliases.get(ALIAS)) != there[current.version]:
        client.set_registered_model_alias(name, ALIAS, there[current.version])
    for tag, value in model_tags(registry, state).items():
        if registered.tags.get(tag) != value:
            client.set_registered_model_tag(name, tag, value)
    return before.model_copy(update={"added": added, "champion": current.version, "passed_over": passed_over})


def _mirrored(client: Any, name: str) -> dict[int, str]:
    """MLflow's version number for each of our versions; the first if several have the same number of ours."""
    found: dict[int, str] = {}
    token = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token)
        for one in sorted(page, key=lambda one: int(one.version)):
            number = one.tags.get(NUMBER, "")
            if number.isdecimal() and int(found.get(int(number), one.version)) >= int(one.version):
                found[int(number)] = str(one.version)
        token = page.token or ""
    return found


def _add(client: Any, registry: Registry, name: str, state: State, number: int) -> str:
    """Mirror our version ``number``; returns MLflow's version number."""
    tags = version_tags(registry, state, number)
    run = None if not registry.store.is_local else _upload(client, registry, number, tags[MANIFEST])
    source = registry.folder(number) if run is None else f"{run.info.artifact_uri}/{ARTIFACTS}"
    made = client.create_model_version(
        name,
        source,
        run_id=None if run is None else run.info.run_id,
        tags=tags,
        description=description(registry, number),
    )
    first = _mirrored(client, name)[number]
    if first != str(made.version):  # another process has added it at the same time
        client.delete_model_version(name, str(made.version))
    return first


def _upload(client: Any, registry: Registry, number: int, manifest_sha256: str) -> Any:
    """A run with the version's files as artifacts, since MLflow's users cannot read a local folder. An interrupted one
    is continued."""
    experiment = experiment_of_ours(client)
    found = client.search_runs([experiment], f"tags.`{MANIFEST}` = '{manifest_sha256}'", max_results=1)
    if found and found[0].info.status == "FINISHED":
        return found[0]
    made = {MANIFEST: manifest_sha256}
    run = found[0] if found else client.create_run(experiment, run_name=f"registry version {number}", tags=made)
    client.log_artifacts(run.info.run_id, registry.folder(number), ARTIFACTS)
    client.set_terminated(run.info.run_id)
    return run
