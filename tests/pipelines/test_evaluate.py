"""Evaluation end to end: what is asked, who is answered for, what is written."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle_datasets import CAT, DOG, Oracle, sample, worker, write_dataset
from verdict_samples import said

from engine.artifacts import Store
from engine.gold import import_gold
from engine.metrics.detection import average_precision
from engine.metrics.grounding import phrase_recall
from engine.promotion import decide
from engine.review.verdicts import append_verdicts
from engine.shards import read_card, read_shard, write_card
from glip.checkpoint import save_model
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import train_tokenizer
from pipelines.evaluate import evaluate
from pipelines.evaluation.answers import answer_all, class_prompts, open_ask
from schemas.recipes import EvaluateRecipe, GateRecipe, PromotionRule, ScenesSource, TeacherRecipe
from schemas.reports import EvaluationReport
from teacher.grounder import GROUNDERS, open_grounder


def test_every_phrase_is_asked_for_in_its_caption_and_answered_for_itself(tmp_path: Path) -> None:
    long = "a dog runs along the wide river and far behind it sits a cat on a stone"
    card = write_dataset(
        tmp_path / "phrases",
        [
            sample("1", "a dog beside a cat", {"a dog": [DOG], "a cat": [CAT]}),
            sample("2", long, {"a dog": [DOG], "a cat": [CAT]}),
        ],
    )
    oracle = Oracle({"a dog": DOG, "a cat": CAT})
    results = list(answer_all(read_shard(Store(tmp_path / "phrases"), 0), open_ask(card, oracle, 40), worker(oracle)))
    assert {metric.value for metric in phrase_recall(results).values} == {1.0}
    assert oracle.asked[0] == "a dog beside a cat", "a caption that fits is asked whole"
    assert oracle.asked[1:] == [
        "a dog runs along the wide river and far behind",
        "and far behind it sits a cat on a stone",
    ], "one that does not is asked in stretches"


def test_a_phrase_that_no_prompt_holds_is_missed_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    endless = "a very very very very very very very very very very very long dog"
    card = write_dataset(tmp_path / "d", [sample("1", f"{endless} and a cat", {endless: [DOG], "a cat": [CAT]})])
    oracle = Oracle({endless: DOG, "a cat": CAT})
    results = list(answer_all(read_shard(Store(tmp_path / "d"), 0), open_ask(card, oracle, 40), worker(oracle)))
    assert [candidate.phrase for candidate in results[0].candidates] == [1]
    assert phrase_recall(results).values[0].value == 0.5


def test_all_classes_are_asked_of_every_image_in_chunks(tmp_path: Path) -> None:
    classes = ["person", "hot dog", "traffic light", "dog", "cat"]
    card = write_dataset(
        tmp_path / "boxes",
        [sample("1", "", {}), sample("2", "dog. cat", {"dog": [DOG], "cat": [CAT]})],
        classes,
    )
    oracle = Oracle({"dog": DOG, "cat": CAT})
    prompts = class_prompts(classes, oracle, 2)
    assert [prompt.text for prompt in prompts] == ["person. hot dog", "traffic light. dog", "cat"]
    assert [span.phrase for prompt in prompts for span in prompt.spans] == [0, 1, 2, 3, 4]
    results = list(answer_all(read_shard(Store(tmp_path / "boxes"), 0), open_ask(card, oracle, 2), worker(oracle)))
    figures = {metric.name: metric.value for metric in average_precision(results, card.classes).values}
    assert figures["AP50/dog"] == pytest.approx(0.5), "made up in the first image, right in the second"


def test_prompts_of_classes_stay_inside_the_token_budget() -> None:
    classes = [f"kind {number}" for number in range(30)]
    oracle = Oracle({}, max_tokens=9)
    prompts = class_prompts(classes, oracle, 40)
    assert max(oracle.count_tokens(prompt.text) for prompt in prompts) <= 9
    assert [p.text[s.start : s.end] for p in prompts for s in p.spans] == classes


def test_an_unreadable_picture_counts_as_missed(tmp_path: Path) -> None:
    card = write_dataset(tmp_path / "d", [sample("1", "a dog", {"a dog": [DOG]}, b"no picture")])
    oracle = Oracle({"a dog": DOG})
    results = list(answer_all(read_shard(Store(tmp_path / "d"), 0), open_ask(card, oracle, 40), worker(oracle)))
    assert phrase_recall(results).values[0].value == 0.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GLIP of the nano size with random weights: it runs the whole way, and finds nothing in particular."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["a dog beside a cat on a red hill. person. bicycle"] * 5, 200)
    config = dataclasses.replace(GLIPConfig.nano(), vocabulary_size=tokenizer.vocabulary_size, test_min_size=64)
    folder = tmp_path_factory.mktemp("model") / "random"
    return str(save_model(folder, GLIP(config), tokenizer, {}))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("gold") / "scenes"
    import_gold("scenes", ScenesSource(count=6, seed=3), folder)
    return str(folder)


@pytest.fixture(scope="module")
def other_scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("gold") / "train"
    import_gold("scenes", ScenesSource(count=12, seed=4), folder)
    return str(folder)


def recipe_for(checkpoint: str, *datasets: str, **fields: Any) -> EvaluateRecipe:
    return EvaluateRecipe(datasets=datasets, teacher=TeacherRecipe(checkpoint=checkpoint, device="cpu"), **fields)


def test_a_checkpoint_is_evaluated_on_both_kinds_of_dataset_beside_the_baseline(
    checkpoint: str, scenes: str, other_scenes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "boxes", [sample("1", "dog", {"dog": [DOG]})], ["dog", "person"])
    recipe = recipe_for(checkpoint, scenes, str(tmp_path / "boxes"), baseline=(other_scenes,), limit=4)
    reports = evaluate(recipe, tmp_path / "out")
    grounding, detection = reports
    assert (grounding.dataset, grounding.images) == ("scenes", 4)
    recall = grounding.metrics[0]
    assert recall.name == "phrase_recall@1"
    assert recall.count == sum(grounding.per_image_count["phrase_recall@1"].values()) > 4
    assert 0 < (grounding.metrics[2].baseline or 0) < 1
    assert [metric.value for metric in detection.metrics if metric.name == "AP50/dog"] != []
    assert all(metric.baseline is None for metric in detection.metrics), "there was no detection data to fit it on"
    assert "phrase_recall@10" in capsys.readouterr().out


def test_a_second_run_does_nothing_and_another_model_or_limit_is_evaluated_anew(
    checkpoint: str, scenes: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = evaluate(recipe_for(checkpoint, scenes, limit=2), out, progress=False)
    written = (out / "evaluation.json").stat().st_mtime_ns
    assert evaluate(recipe_for(checkpoint, scenes, limit=2), out, progress=False) == first
    assert (out / "evaluation.json").stat().st_mtime_ns == written
    assert evaluate(recipe_for(checkpoint, scenes, limit=3), out, progress=False)[0].images == 3
    (out / "evaluation.json").write_text("{")
    assert evaluate(recipe_for(checkpoint, scenes, limit=2), out, progress=False)[0].metrics == first[0].metrics


def test_the_model_is_not_opened_where_all_it_is_asked_was_answered_before(
    checkpoint: str, scenes: str, other_scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(recipe_for(checkpoint, scenes, limit=2), tmp_path / "out", progress=False)
    other = shutil.copytree(checkpoint, tmp_path / "other")
    open_grounder(TeacherRecipe(checkpoint=str(other), device="cpu"))  # the one that this process has open from now on
    monkeypatch.setitem(GROUNDERS, "glip", lambda recipe: pytest.fail("it was opened"))
    recipe = recipe_for(checkpoint, scenes, limit=2, baseline=(other_scenes,))
    assert evaluate(recipe, tmp_path / "out", progress=False)[0].metrics[0].baseline is not None


def test_what_another_evaluation_has_half_replaced_is_not_vouched_for(
    checkpoint: str, scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder holds one evaluation, another one into it dies before its page: the first is made again."""
    out, first, other = tmp_path / "out", recipe_for(checkpoint, scenes), recipe_for(checkpoint, scenes, limit=2)
    evaluate(first, out, progress=False)
    before = {name: (out / name).read_bytes() for name in ("answers/scenes.parquet", "index.html")}

    class DiesError(BaseException):
        """What no code of ours catches: the process is gone."""

    def die(*_: object) -> None:
        raise DiesError

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.evaluation.files.render", die)
        with pytest.raises(DiesError):
            evaluate(other, out, progress=False)
    assert (out / "answers/scenes.parquet").read_bytes() != before["answers/scenes.parquet"]
    evaluate(first, out, progress=False)
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_dataset_is_scored_by_the_protocols_of_its_task(checkpoint: str, scenes: str, tmp_path: Path) -> None:
    """The baseline goes through the same protocols; what no protocol scores is said before anything is asked."""
    write_dataset(tmp_path / "boxes", [sample("1", "dog", {"dog": [DOG]})], ["dog", "sea urchin"])
    lists = tmp_path / "lvis.json"
    lists.write_text('{"categories": [{"name": "dog", "frequency": "c"}, {"name": "sea_urchin", "frequency": "r"}]}')
    wanted = ("lvis", "voc07", "voc12", "merged-box", "pointing")
    recipe = recipe_for(
        checkpoint, scenes, str(tmp_path / "boxes"), protocols=wanted, lvis_annotations=str(lists), limit=2
    )
    grounding, detection = evaluate(recipe, progress=False)
    names = [f"phrase_recall_merged@{k}" for k in (1, 5, 10)]
    assert [metric.name for metric in grounding.metrics] == [*names, "pointing"]
    assert set(grounding.per_image) == {*names, "pointing"}
    for name in ("lvis_AP", "lvis_APc", "lvis_AP/dog", "voc07_AP", "voc12_AP/dog", "pointing/dog"):
        assert detection.value(name) is not None
    assert detection.value("lvis_APr") is None, "no sea urchin is there to be found"
    with pytest.raises(ValueError, match="none of the protocols voc12 scores a grounding dataset"):
        evaluate(recipe_for(checkpoint, scenes, protocols=("voc12",)), progress=False)


def test_only_whole_human_datasets_of_different_names_are_evaluated_on(
    checkpoint: str, scenes: str, tmp_path: Path
) -> None:
    card = read_card(Store(scenes))
    write_card(Store(tmp_path / "pseudo"), card.model_copy(update={"origin": "pseudo"}))
    with pytest.raises(ValueError, match=r"pseudo-labelled.*human annotations"):
        evaluate(recipe_for(checkpoint, str(tmp_path / "pseudo")), progress=False)
    write_card(Store(tmp_path / "half"), card.model_copy(update={"complete": False}))
    with pytest.raises(ValueError, match="not complete"):
        evaluate(recipe_for(checkpoint, str(tmp_path / "half")), progress=False)
    with pytest.raises(ValueError, match="same folder name"):
        evaluate(recipe_for(checkpoint, scenes, scenes), progress=False)
    with pytest.raises(ValueError, match="which is evaluated on"):
        evaluate(recipe_for(checkpoint, scenes, baseline=(scenes,)), tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="is not a dataset"):
        evaluate(recipe_for(checkpoint, "nothing"), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists(), "nothing has been asked"


def test_boxes_are_judged_by_what_their_reviewers_left(checkpoint: str, tmp_path: Path) -> None:
    """As training learns from them; what was found before the review is no answer to what is asked after it."""
    folder, out = tmp_path / "boxes", tmp_path / "out"
    asked = sample("1", "a dog and a cat", {"a dog": [DOG], "a cat": [CAT]})
    write_dataset(folder, [asked])
    recipe = recipe_for(checkpoint, str(folder))
    (before,) = evaluate(recipe, out, progress=False)
    append_verdicts(Store(folder), [said(asked.labels, 1, "rejected", CAT)])
    (after,) = evaluate(recipe, out, progress=False)
    assert (before.metrics[0].count, after.metrics[0].count) == (2, 1)
    with pytest.raises(ValueError, match="not the same for both models"):
        decide([after], [before], GateRecipe(rules=(PromotionRule(metric="phrase_recall@1", must="improve"),)))


def test_a_baseline_is_not_fitted_on_the_pictures_that_are_evaluated_on(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the folder, the size of its units and the pictures beside them."""
    test, same, more, part = (str(tmp_path / name) for name in ("test", "same", "more", "part"))
    import_gold("scenes", ScenesSource(count=4, seed=8), test)
    import_gold("scenes", ScenesSource(count=4, seed=8), same, unit_size=3)
    import_gold("scenes", ScenesSource(count=6, seed=8), more)
    for leak in (same, more):
        with pytest.raises(ValueError, match=r"fitted on all 4 pictures with boxes of .*/test, which is evaluated on"):
            evaluate(recipe_for(checkpoint, test, baseline=(leak,)), progress=False)
    import_gold("scenes", ScenesSource(count=6, seed=8, first_index=3), part)
    evaluate(recipe_for(checkpoint, test, baseline=(part,)))
    assert "test: the constant boxes were fitted on 1 of its pictures, too" in capsys.readouterr().out


def test_a_baseline_that_is_imported_anew_is_fitted_anew(checkpoint: str, scenes: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "human", tmp_path / "out"
    recipe = recipe_for(checkpoint, scenes, baseline=(str(folder),), frequencies=(str(folder),))
    import_gold("scenes", ScenesSource(count=2, seed=8), folder)
    before = evaluate(recipe, out, progress=False)
    shutil.rmtree(folder)
    import_gold("scenes", ScenesSource(count=12, seed=9), folder)
    after = evaluate(recipe, out, progress=False)
    assert _figures(after) == _figures(evaluate(recipe, progress=False))
    assert _figures(after) != _figures(before)


def _figures(reports: list[EvaluationReport]) -> list[tuple[str, float | None, float | None]]:
    return [(one.name, one.value, one.baseline) for report in reports for one in report.metrics]
