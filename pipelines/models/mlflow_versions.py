"""A registered model of MLflow that shows a registry: a version for each that was current, an alias on the pointer's.

In: a registry, the model's name; where MLflow is, its own environment variables say. Out: the model up to date. Asking
again changes nothing, and of two processes at once both end in the same: versions are told apart by our number among
their tags, of two that show the same the later goes, and who has moved the alias looks at the pointer again.
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


def catch_up(place: Registry, name: str) -> Mirroring:
    """Bring MLflow's model ``name`` up to date with the registry. ValueError where the model is not this registry's;
    MLflow's own errors where it does not answer."""
    from mlflow import MlflowClient

    client, result = MlflowClient(), Mirroring(model=name)
    with in_a_hurry():
        registered = _registered(client, place, name)
    while True:
        state = place.state()  # after the model: its tag can then not be newer than the history
        _check_ours(registered, state)
        result = _follow(client, place, registered, state, result)
        if place.state().entry == state.entry:
            return result
        registered = client.get_registered_model(name)


def _registered(client: Any, place: Registry, name: str) -> Any:
    """The registered model, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    try:
        client.create_registered_model(name, tags=model_tags(place, place.state()))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise
    return client.get_registered_model(name)


def _check_ours(registered: Any, state: State) -> None:
    """The model names the entry that it was last brought up to: one of this registry's, and of no other."""
    if registered.tags.get(ENTRY) in {entry.token for entry in state.entries}:
        return
    whose = f"the mirror of {registered.tags[REGISTRY]}" if REGISTRY in registered.tags else "no mirror of a registry"
    raise ValueError(
        f"MLflow has a model {registered.name!r} already, which is {whose} and not of the registry {state.uri} as it "
        "is; `glip-engine mirror --model` takes another name"
    )


def _follow(client: Any, place: Registry, registered: Any, state: State, before: Mirroring) -> Mirroring:
    name = registered.name
    there = _mirrored(client, name)
    added, passed_over = list(before.added), []
    for number in sorted({entry.version for entry in state.entries} - set(there)):
        try:
            place.check(number, state)
        except ValueError as error:
            passed_over.append(f"version {number} is not in the mirror: {str(error).split(';')[0]}")
            continue
        there[number] = _add(client, place, name, state, number)
        added.append(number)
    current = state.current()
    if current is None or current.version not in there:
        raise ValueError(f"its alias {ALIAS!r} stays where it is: {'; '.join(passed_over)}")
    if str(registered.aliases.get(ALIAS)) != there[current.version]:
        client.set_registered_model_alias(name, ALIAS, there[current.version])
    for tag, value in model_tags(place, state).items():
        if registered.tags.get(tag) != value:
            client.set_registered_model_tag(name, tag, value)
    return before.model_copy(update={"added": added, "champion": current.version, "passed_over": passed_over})


def _mirrored(client: Any, name: str) -> dict[int, str]:
    """MLflow's number of each version of ours; of several that show the same, the first."""
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


def _add(client: Any, place: Registry, name: str, state: State, number: int) -> str:
    """MLflow's number of the version that it shows ours as."""
    tags = version_tags(place, state, number)
    run = None if not place.store.is_local else _upload(client, place, number, tags[MANIFEST])
    source = place.folder(number) if run is None else f"{run.info.artifact_uri}/{ARTIFACTS}"
    made = client.create_model_version(
        name,
        source,
        run_id=None if run is None else run.info.run_id,
        tags=tags,
        description=description(place, number),
    )
    first = _mirrored(client, name)[number]
    if first != str(made.version):  # another process has added it at the same time
        client.delete_model_version(name, str(made.version))
    return first


def _upload(client: Any, place: Registry, number: int, manifest_sha256: str) -> Any:
    """A run whose artifacts are the version's files: nobody else reads a folder of this machine. One that was begun
    before is gone on with."""
    experiment = experiment_of_ours(client)
    found = client.search_runs([experiment], f"tags.`{MANIFEST}` = '{manifest_sha256}'", max_results=1)
    if found and found[0].info.status == "FINISHED":
        return found[0]
    made = {MANIFEST: manifest_sha256}
    run = found[0] if found else client.create_run(experiment, run_name=f"registry version {number}", tags=made)
    client.log_artifacts(run.info.run_id, place.folder(number), ARTIFACTS)
    client.set_terminated(run.info.run_id)
    return run
