"""The model registry on disk: a version and what it is made of, an entry of the history, the pointer.

versions/000001/                model.safetensors, config.json, tokenizer.json (a model folder), README.md, and what
                                there is of recipe.json, decision.json, evaluation.json, lineage.json
versions/000001/claim.json      first: the number is taken
versions/000001/manifest.json   ModelVersion: last; a folder without one is no version
current.json                    SealedEntry: the latest entry, which names the current version; all that changes
history/000001.json             SealedEntry: one file an entry, never changed
mirror.json                     MirrorSetting: where there is a mirror of the registry
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.reports import Document

_HEX = r"^[0-9a-f]{64}$"


class VersionFile(Document):
    """A file of a version, by its name in the version's folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    sha256: str = Field(pattern=_HEX)
    size: int = Field(ge=0)


class ModelVersion(Document):
    """``manifest.json`` of a version. ``replaces`` is the version that was current when this one was written;
    ``grounder_digest`` is the model's in the evaluation that its decision rests on."""

    format: Literal["glip-engine-version/1"] = "glip-engine-version/1"
    version: int = Field(ge=1)
    model_digest: str = Field(pattern=_HEX)
    grounder_digest: str | None = Field(default=None, pattern=_HEX)
    replaces: int | None = Field(default=None, ge=1)
    files: list[VersionFile] = Field(min_length=1, max_length=50)


class Entry(Document):
    """One move of the pointer. ``when`` (UTC) and ``who`` are for people: no decision rests on them.

    ``replaced`` is the version that was current before; ``forced``, why a promotion went past the gate;
    ``previous``, the digest of the entry before this one, so that none can be taken out unseen.
    """

    number: int = Field(ge=1)
    action: Literal["promote", "rollback"]
    version: int = Field(ge=1)
    manifest_sha256: str = Field(pattern=_HEX)
    model_digest: str = Field(pattern=_HEX)
    replaced: int | None = Field(default=None, ge=1)
    reason: str = Field(max_length=20_000)
    forced: str | None = Field(default=None, max_length=2000)
    previous: str | None = Field(default=None, pattern=_HEX)
    token: str = Field(min_length=8, max_length=64, description="random: tells this entry from any other")
    who: str = Field(max_length=200)
    when: str = Field(max_length=40)


class SealedEntry(Document):
    """An entry and its digest (SHA-256 of its canonical JSON), so that a flipped byte is seen."""

    format: Literal["glip-engine-registry/1"] = "glip-engine-registry/1"
    entry: Entry
    sha256: str = Field(pattern=_HEX)


class MirrorSetting(Document):
    """The registered model of MLflow that shows the registry's versions; where MLflow is, the environment says."""

    format: Literal["glip-engine-mirror/1"] = "glip-engine-mirror/1"
    mlflow_model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,199}$")
