"""Promote, rollback, history and show: the gate is asked, what was replaced can be gone back to, damage is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.registry import Registry
from glip.checkpoint import load_model
from pipelines.cli import main
from pipelines.models.checkpoints import local_checkpoint
from pipelines.registry import history, promote, rollback, show
from schemas.recipes import TeacherRecipe
from schemas.reports import PromotionDecision
from teacher.grounder import teacher_digest


def decided(tmp_path: Path, candidate: Path, incumbent: Path, promote: bool = True) -> Path:
    """A record of the gate, on the models as `evaluate` sees them."""
    digests = [teacher_digest(TeacherRecipe(checkpoint=str(model))) for model in (candidate, incumbent)]
    decision = PromotionDecision(
        promote=promote,
        reason="Promoted: it rose." if promote else "Not promoted: it fell.",
        candidate_digest=digests[0],
        incumbent_digest=digests[1],
        comparisons=[],
    )
    path = tmp_path / f"decision-{promote}.json"
    path.write_text(decision.model_dump_json())
    return path


def test_a_promoted_model_is_current_and_says_why(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path / "registry")
    assert main(["promote", str(random_checkpoint), "--registry", uri]) == 0
    record = decided(tmp_path, second_checkpoint, random_checkpoint)
    assert main(["promote", str(second_checkpoint), "--registry", uri, "--decision", str(record)]) == 0
    assert f"registry:{uri}@2" in capsys.readouterr().out
    assert main(["history", uri]) == 0
    told = capsys.readouterr().out.splitlines()[1]
    assert re.match(r"   2  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC  promote version 2 instead of 1, by ", told)
    assert main(["show", uri, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["current"], [one["problem"] for one in shown["versions"]]) == (2, [None, None])
    assert {file["name"] for file in shown["versions"][1]["model"]["files"]} >= {
        *("model.safetensors", "config.json", "tokenizer.json", "README.md", "decision.json", "lineage.json"),
    }
    version = Path(uri) / "versions/000002"
    assert load_model(version).digest == load_model(second_checkpoint).digest
    assert "Promoted: it rose." in (version / "README.md").read_text()

    assert main(["rollback", uri, "--reason", "users complain"]) == 0
    assert main(["history", uri]) == 0
    assert "rollback version 1 instead of 2" in capsys.readouterr().out
    assert main(["rollback", uri]) == 2
    assert "no version to go back to" in capsys.readouterr().err


def test_the_gate_is_asked_before_a_version_is_replaced(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri = tmp_path / "registry"
    promote(random_checkpoint, uri, progress=False)
    with pytest.raises(ValueError, match="no record that this model is better"):
        promote(second_checkpoint, uri, progress=False)
    no = decided(tmp_path, second_checkpoint, random_checkpoint, promote=False)
    with pytest.raises(ValueError, match=r"the gate says no: Not promoted: it fell\. --force REASON"):
        promote(second_checkpoint, uri, decision=no, progress=False)
    with pytest.raises(ValueError, match="about another model"):
        promote("nano", uri, decision=no, force="never", progress=False)
    of_nano = decided(tmp_path, second_checkpoint, Path("nano"))
    with pytest.raises(ValueError, match=r"version 1 is current .* compared with another model"):
        promote(second_checkpoint, uri, decision=of_nano, progress=False)
    with pytest.raises(ValueError, match="--force takes the reason"):
        promote(second_checkpoint, uri, decision=no, force=" ", progress=False)
    assert Registry(uri).numbers() == [1]

    forced = promote(second_checkpoint, uri, decision=no, force="a demonstration", progress=False)
    assert (forced.version, forced.entry.forced) == (2, "a demonstration")
    assert "it fell" in history(uri, progress=False).entries[-1].reason


def test_a_model_is_promoted_once_even_if_it_was_rolled_back(
    tmp_path: Path, random_checkpoint: Path, second_checkpoint: Path
) -> None:
    uri, record = tmp_path / "registry", decided(tmp_path, second_checkpoint, random_checkpoint)
    promote(random_checkpoint, uri, progress=False)
    first = promote(second_checkpoint, uri, decision=record, progress=False)
    rollback(uri, progress=False)
    again = promote(second_checkpoint, uri, decision=record, progress=False)
    assert (again.done_before, again.version, again.current, again.entry) == (True, 2, 1, first.entry)
    assert len(history(uri, progress=False).entries) == 3


def test_what_is_no_model_and_no_registry_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, expected in ((tmp_path / "nowhere", "folder of a model"), (tmp_path / "empty", "no model folder")):
        with pytest.raises((ValueError, FileNotFoundError), match=expected):
            promote(source, tmp_path / "registry", progress=False)
    for command in (history, show):
        with pytest.raises(ValueError, match="is not a registry"):
            command(tmp_path / "registry", progress=False)
    with pytest.raises(ValueError, match=r"holds no version; `glip-engine promote"):
        local_checkpoint(f"registry:{tmp_path}/registry")
    assert not (tmp_path / "registry").exists()


def test_a_damaged_registry_ends_show_with_status_1(
    tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(random_checkpoint, tmp_path / "registry", progress=False)
    (tmp_path / "registry/versions/000001/tokenizer.json").write_text("{}")
    assert main(["show", str(tmp_path / "registry"), "--json"]) == 1
    assert "tokenizer.json is damaged" in capsys.readouterr().out
    assert main(["evaluate", f"registry:{tmp_path}/registry", "--on", "x"]) == 2
