"""Checkpoints by registry name: ``registry:URI`` is the current version, ``registry:URI@3`` the third.

In: a name from a recipe. Out: the same name with its number, so that a job keeps its model whatever is promoted
meanwhile; and the path of a local copy, checked by SHA-256, and fetched by the process that opens the model, since a
worker on another machine has a cache of its own. All other names stay as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.registry import Registry
from schemas.recipes import TeacherRecipe
from schemas.registry import ModelVersion

_NAME = re.compile(r"registry:(?P<uri>.+?)(?:@(?P<version>[0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class RegistryName:
    """``registry:URI@VERSION``; ``version`` None means the current one."""

    uri: str
    version: int | None

    def __str__(self) -> str:
        return f"registry:{self.uri}" + ("" if self.version is None else f"@{self.version}")


def registry_name(name: str) -> RegistryName | None:
    """The parts of a registry name; None for a name of another kind."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return RegistryName(found["uri"].rstrip("/") or "/", int(found["version"]) if found["version"] else None)


def pinned(name: str, begun_with: str | None = None) -> str:
    """A registry's name with a version's number; any other name as it is.

    The number is that of the current version; or, for work that was ``begun_with`` a version of the same registry, that
    one. ValueError where the registry is empty or its pointer is damaged.
    """
    asked = registry_name(name)
    if asked is None or asked.version is not None:
        return name
    before = registry_name(begun_with or "")
    if before is not None and before.uri == asked.uri and before.version is not None:
        return str(before)
    return str(RegistryName(asked.uri, current_version(Registry(asked.uri)).version))


def pinned_teacher(recipe: TeacherRecipe, begun_with: TeacherRecipe | None = None) -> TeacherRecipe:
    """The recipe with its checkpoint, and those of an ensemble's members, pinned."""
    before = begun_with.members if begun_with else ()
    members = [
        pinned_teacher(member, before[number] if number < len(before) else None)
        for number, member in enumerate(recipe.members)
    ]
    checkpoint = pinned(recipe.checkpoint, begun_with.checkpoint if begun_with else None)
    return recipe.model_copy(update={"checkpoint": checkpoint, "members": tuple(members)})


def local_teacher(recipe: TeacherRecipe) -> TeacherRecipe:
    """The recipe with local paths in place of registry names, for opening a grounder."""
    members = tuple(local_teacher(member) for member in recipe.members)
    return recipe.model_copy(update={"checkpoint": local_checkpoint(recipe.checkpoint), "members": members})


def local_checkpoint(name: str, cache: Path | None = None) -> str:
    """The folder of a registry's version, fetched into ``cache`` (default: :func:`cache_folder`) if it is not there
    whole; any other name as it is.

    ValueError where the version is missing or damaged, and for a URL, which is no path.
    """
    asked = registry_name(name)
    if asked is None and "://" in name:
        raise ValueError(
            f"checkpoint {name}: models of an object store are versions of a registry, whose files are checked; copy "
            "this one to a folder here, and give that; or promote it (`glip-engine promote FOLDER --registry URI`) and "
            "give registry:URI"
        )
    if asked is None:
        return name
    registry, version = open_version(asked)
    folder = (cache or cache_folder()) / "registry" / digest_of(version.model_dump(mode="json"))
    if not _holds(folder, version):
        _fetch(registry, version, folder)
    return str(folder)


def open_version(asked: RegistryName) -> tuple[Registry, ModelVersion]:
    """The registry and the manifest of the version that is asked for. ValueError where there is no such version."""
    registry = Registry(asked.uri)
    return registry, current_version(registry) if asked.version is None else registry.version(asked.version)


def current_version(registry: Registry) -> ModelVersion:
    """The manifest of the current version; ValueError where there is none, or the registry is damaged."""
    state = registry.state()
    entry = state.current()
    if entry is None:
        raise ValueError(
            f"{registry.uri} holds no version; `glip-engine promote MODEL --registry {registry.uri}` makes the first, "
            "such as of the model 'nano'"
        )
    return registry.version(entry.version, state)


def cache_folder() -> Path:
    """``$GLIP_ENGINE_CACHE``, or ``glip-engine`` in the user's cache folder. What is in it can be deleted."""
    given = os.environ.get("GLIP_ENGINE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glip-engine"


def _holds(folder: Path, version: ModelVersion) -> bool:
    store = Store(folder)
    return folder.is_dir() and all(
        store.size(file.name) == file.size and store.digest(file.name)[0] == file.sha256 for file in version.files
    )


def _fetch(registry: Registry, version: ModelVersion, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".fetching-", dir=folder.parent))
    except OSError as error:
        raise ValueError(
            f"the model of {registry.uri} cannot be copied to {folder.parent} ({error.strerror}); set "
            "GLIP_ENGINE_CACHE to a folder that can be written"
        ) from None
    try:
        registry.fetch(version.version, draft)
        if folder.exists() and not _holds(folder, version):
            folder.rename(draft.with_name(f"{draft.name}-damaged"))
        try:
            draft.rename(folder)
        except OSError:
            if not _holds(folder, version):  # or another process was faster
                raise
    finally:
        for leftover in folder.parent.glob(f"{draft.name}*"):
            shutil.rmtree(leftover, ignore_errors=True)
