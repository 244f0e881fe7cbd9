"""Any import of human annotations: counts add up, equal input gives equal bytes, an interrupted one goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from coco_sources import box_entry, detection_source
from stored_samples import samples_in

from engine.artifacts import Store
from engine.gold import import_gold
from engine.gold.rules import class_name, head_lemma
from engine.shards import committed_units, read_card, read_manifest
from engine.sources.scenes import render_scene
from schemas.recipes import ScenesSource
from schemas.records import UnitRef


def test_scenes_become_gold_with_the_drawn_boxes(tmp_path: Path) -> None:
    recipe = ScenesSource(count=5, seed=4, first_index=10)
    card = import_gold("scenes", recipe, tmp_path / "out", unit_size=2)
    samples = samples_in(tmp_path / "out")
    assert [sample.labels.key for sample in samples] == [f"{index:09d}" for index in range(10, 15)]
    for index, sample in enumerate(samples, start=10):
        scene = render_scene(index, recipe)
        assert sample.labels.caption == scene.caption
        assert [(box.phrase, box.box_xyxy) for box in sample.labels.boxes] == scene.boxes
    assert (card.units, card.samples, card.rejects) == (3, 5, 0)


def test_equal_sources_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    annotations = [box_entry(1, 5, [10, 20, 30, 40]), box_entry(2, 3, [1, 1, 0, 5])]
    digests = []
    for place in ("here", "there"):
        source = detection_source(tmp_path / place, annotations)
        import_gold("coco", source, tmp_path / place / "out", unit_size=1)
        digests.append(_digests(tmp_path / place / "out"))
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1 + 2 * 4


def test_counts_add_up_and_manifests_agree_with_the_card(tmp_path: Path) -> None:
    source = detection_source(
        tmp_path,
        [
            box_entry(1, 5, [10, 20, 30, 40]),
            box_entry(1, 99, [1, 1, 4, 5]),
            box_entry(1, 98, [1, 1, 4, 5]),
            box_entry(2, 3, [1, 1, 4, 5]),
        ],
    )
    seen: list[int] = []

    def watch(refs: Sequence[UnitRef]) -> Iterator[UnitRef]:
        for ref in refs:
            seen.append(ref.index)
            yield ref

    card = import_gold("coco", source, tmp_path / "out", unit_size=1, watch=watch)
    store = Store(tmp_path / "out")
    manifests = [read_manifest(store, unit) for unit in committed_units(store)]
    assert seen == [0, 1]
    assert card == read_card(store)
    for name in ("samples", "phrases", "boxes", "rejects"):
        assert getattr(card, name) == sum(getattr(manifest, name) for manifest in manifests)
    assert card.rejects == sum(sum(stage.dropped.values()) for stage in card.stages)
    assert card.boxes == card.stages[1].went_on
    assert card.samples == card.stages[0].went_on


def test_an_interrupted_import_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    recipe = ScenesSource(count=6)
    import_gold("scenes", recipe, tmp_path / "whole", unit_size=2)

    def stop(refs: Sequence[UnitRef]) -> Iterator[UnitRef]:
        yield from refs[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_gold("scenes", recipe, tmp_path / "cut", unit_size=2, watch=stop)
    assert not read_card(Store(tmp_path / "cut")).complete
    before = (tmp_path / "cut" / "shards" / "000000.tar").stat().st_mtime_ns
    import_gold("scenes", recipe, tmp_path / "cut", unit_size=2)
    assert (tmp_path / "cut" / "shards" / "000000.tar").stat().st_mtime_ns == before
    assert _digests(tmp_path / "cut") == _digests(tmp_path / "whole")


@pytest.mark.parametrize("lost", ["shards/000001.tar", "annotations/000001.parquet", "rejects/000001.parquet"])
def test_a_unit_whose_files_are_gone_or_cut_is_imported_again(tmp_path: Path, lost: str) -> None:
    recipe, out = ScenesSource(count=4), tmp_path / "out"
    import_gold("scenes", recipe, out, unit_size=2)
    before = _digests(out)
    (out / lost).unlink()
    (out / "shards" / "000000.tar").write_bytes((out / "shards" / "000000.tar").read_bytes()[:-100])
    (out / "shards" / ".writing-x").touch()  # of an import that was killed
    import_gold("scenes", recipe, out, unit_size=2)
    assert _digests(out) == before


def test_a_folder_of_another_dataset_is_refused(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=1), tmp_path / "out")
    with pytest.raises(ValueError, match="holds another dataset"):
        import_gold("scenes", ScenesSource(count=1, seed=9), tmp_path / "out")


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        ("coco", None, "wanted one"),
        ("coco", "{", "is not JSON"),
        ("coco", "[" * 100_000, "is not JSON"),
        ("coco", "[]", "no list 'images'"),
        ("coco", '{"images": [], "categories": [], "annotations": []}', "declares no category"),
        ("coco", '{"images": [], "categories": [{"id": 1, "name": "cat"}], "annotations": []}', "source is empty"),
        ("coco-phrases", None, "does not exist"),
        ("flickr", None, "no gold format"),
        ("scenes", None, "takes the recipe"),
    ],
)
def test_a_source_that_is_none_is_refused_in_one_line(
    tmp_path: Path, format: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "instances.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        import_gold(format, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_class_names_and_heads_read_like_words() -> None:
    assert class_name("aerosol_can") == "aerosol can"
    assert [head_lemma(text) for text in ("A woman", "three people", "the parking meters", "bus", "skis")] == [
        "woman",
        "person",
        "meter",
        "bus",
        "ski",
    ]


@pytest.mark.data
def test_the_human_photos_arrive_whole(tmp_path: Path, data_folder: Path) -> None:
    boxes = import_gold("coco", data_folder / "photos" / "human", tmp_path / "boxes")
    assert (boxes.samples, boxes.boxes, boxes.stages[1].dropped) == (400, 3571, {"crowd": 32})
    phrases = import_gold("coco-phrases", data_folder / "photos" / "human", tmp_path / "phrases")
    assert (phrases.phrases, phrases.stages[1].dropped) == (1090, {})


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
