"""The table of verdicts: rows are added by anyone and changed by nobody; of one box the latest verdict counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from report_datasets import dog
from verdict_samples import said

from engine.artifacts import Store
from engine.review.verdicts import (
    VERDICTS,
    VerdictLog,
    append_verdicts,
    caption_of,
    read_verdicts,
    target_of,
    verdict_problems,
)
from schemas.verdicts import Verdict

LABELS = dog(1).labels
DOG, TREE = (box.box_xyxy for box in LABELS.boxes)


def held(folder: Path | str) -> list[tuple[str, str]]:
    return [(one.phrase_text, one.verdict) for one in read_verdicts(Store(folder)).of(LABELS)]


def test_what_was_saved_is_read_and_nothing_where_nobody_reviewed(tmp_path: Path) -> None:
    assert len(read_verdicts(Store(tmp_path))) == 0
    assert read_verdicts(Store(tmp_path)).digest is None
    rows = [said(LABELS, 0, "accepted", DOG), said(LABELS, 1, "corrected", TREE, (81.25, 4, 149, 110))]
    append_verdicts(Store(tmp_path), rows)
    assert list(read_verdicts(Store(tmp_path)).of(LABELS)) == rows
    assert read_verdicts(Store(tmp_path)).of(dog(2).labels) == ()


def test_the_latest_verdict_on_a_box_counts_whoever_gave_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    append_verdicts(store, [said(LABELS, 0, "accepted", DOG)])
    append_verdicts(store, [said(LABELS, 0, "rejected", DOG, reviewer="bob"), said(LABELS, 1, "accepted", TREE)])
    assert held(tmp_path) == [("a dog", "rejected"), ("a tree", "accepted")]
    append_verdicts(store, [said(LABELS, 0, "withdrawn", DOG)])
    assert held(tmp_path) == [("a tree", "accepted")]


def test_a_box_is_known_again_to_a_hundredth_of_a_pixel_and_its_latest_verdict_stands_last(tmp_path: Path) -> None:
    store, (x1, *others) = Store(tmp_path), DOG
    append_verdicts(store, [said(LABELS, 0, "accepted", DOG), said(LABELS, 1, "accepted", TREE)])
    append_verdicts(store, [said(LABELS, 0, "rejected", (x1 + 0.004, *others))])
    assert held(tmp_path) == [("a tree", "accepted"), ("a dog", "rejected")]


def test_time_orders_verdicts_and_not_the_names_of_their_files(tmp_path: Path) -> None:
    late = said(LABELS, 0, "rejected", DOG, at="2026-05-05T00:00:00.000000Z")
    early = said(LABELS, 0, "accepted", DOG, at="2026-04-04T00:00:00.000000Z")
    append_verdicts(Store(tmp_path), [late])
    append_verdicts(Store(tmp_path), [early, late.model_copy(update={"start": 9, "end": 15})])
    assert dict(held(tmp_path))["a dog"] == "rejected"


def test_a_clock_that_runs_ahead_or_was_put_back_takes_no_later_word_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    append_verdicts(store, [said(LABELS, 0, "accepted", DOG, at="2999-12-31T23:59:59.999999Z")])
    log = VerdictLog(store)
    log.refresh()
    assert log.time_of_next() == "3000-01-01T00:00:00.000000Z"
    append_verdicts(store, [said(LABELS, 0, "withdrawn", DOG, at=log.time_of_next())])
    assert held(tmp_path) == []
    assert VerdictLog(Store(tmp_path / "new")).time_of_next() < "2999"


def test_saving_never_touches_a_file_that_is_there(tmp_path: Path) -> None:
    first = append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG)])
    before = (tmp_path / first).read_bytes(), (tmp_path / first).stat().st_mtime_ns
    second = append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG, at="2026-01-01T00:00:00.000000Z")])
    assert first != second
    assert ((tmp_path / first).read_bytes(), (tmp_path / first).stat().st_mtime_ns) == before


def test_reviewers_who_save_at_once_lose_nothing(tmp_path: Path) -> None:
    one = said(LABELS, 0, "accepted", DOG)
    boxes = [(float(n), 0.0, n + 9.0, 9.0) for n in range(40)]
    rows = [one.model_copy(update={"box_xyxy": box, "reviewer": f"r{n % 4}"}) for n, box in enumerate(boxes)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: append_verdicts(Store(tmp_path), [row]), rows))
    assert len(read_verdicts(Store(tmp_path))) == 40


def test_a_log_takes_in_what_others_saved_since(tmp_path: Path) -> None:
    log = VerdictLog(Store(tmp_path))
    assert log.refresh() == {}
    first = said(LABELS, 0, "accepted", DOG)
    append_verdicts(Store(tmp_path), [first])
    assert log.refresh() == {caption_of(first): (first,)}
    assert log.refresh() == {}
    digest = log.verdicts().digest
    append_verdicts(Store(tmp_path), [said(LABELS, 0, "withdrawn", DOG)])
    assert log.refresh() == {caption_of(first): ()}
    assert [row.verdict for row in log.given(caption_of(first))] == ["accepted", "withdrawn"]
    assert log.verdicts().digest not in (digest, None)


def test_a_log_takes_in_what_was_just_saved_by_itself(tmp_path: Path) -> None:
    log, mine = VerdictLog(Store(tmp_path)), said(LABELS, 1, "rejected", TREE)
    append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG)])
    assert log.refresh(append_verdicts(Store(tmp_path), [mine])) == {caption_of(mine): (mine,)}
    assert len(log.refresh()[caption_of(mine)]) == 2
    assert log.refresh() == {}


def test_a_log_that_took_files_in_one_by_one_holds_what_is_read_at_once(tmp_path: Path) -> None:
    """Reviewers whose clocks differ, several captions, verdicts of one moment."""
    random, store, log = Random(5), Store(tmp_path), VerdictLog(Store(tmp_path))
    for _ in range(120):
        labels, word = dog(random.randrange(4)).labels, random.choice(("accepted", "rejected", "withdrawn"))
        at = f"2026-01-01T00:00:{random.randrange(20):02d}.000000Z"
        append_verdicts(store, [said(labels, phrase, word, (1.0, 1.0, 9.0, 9.0), at=at) for phrase in (0, 1)])
        if random.random() < 0.5:
            log.refresh()
    log.refresh()
    whole = read_verdicts(store)
    assert (log.verdicts(), len(log)) == (whole, len(whole))
    rows = [row for number in range(4) for row in log.given(caption_of(said(dog(number).labels, 0, "accepted", DOG)))]
    assert len(rows) == 240
    latest = {target_of(row): row for row in rows}
    assert {target_of(row): row for rows in whole.by_caption.values() for row in rows} == {
        target: row for target, row in latest.items() if row.verdict != "withdrawn"
    }


def test_what_came_with_a_damaged_file_is_taken_in_once_that_is_gone(tmp_path: Path) -> None:
    log = VerdictLog(Store(tmp_path))
    append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG)])
    damaged = tmp_path / VERDICTS / "29990101T000000000000Z-0123456789abcdef.parquet"
    damaged.write_bytes(b"half")
    with pytest.raises(ValueError, match="not a table of verdicts"):
        log.refresh()
    damaged.unlink()
    assert len(log.refresh()) == 1
    assert len(log) == 1


def test_an_object_store_holds_the_same_table(s3_bucket: str) -> None:
    store = Store(f"{s3_bucket}/dogs")
    append_verdicts(store, [said(LABELS, 0, "accepted", DOG)])
    append_verdicts(store, [said(LABELS, 1, "rejected", TREE)])
    assert held(store.root) == [("a dog", "accepted"), ("a tree", "rejected")]
    assert verdict_problems(store) == []


def test_a_damaged_file_is_named_by_readers_and_by_verify(tmp_path: Path) -> None:
    name = append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG)])
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(ValueError, match="not a table of verdicts"):
        read_verdicts(Store(tmp_path))
    pq.write_table(pa.table({"at": ["x"]}), tmp_path / name)
    (tmp_path / VERDICTS / "notes.txt").write_text("mine")
    problems = verdict_problems(Store(tmp_path))
    assert len(problems) == 2
    assert "its columns are at" in problems[0]
    assert "notes.txt is not a file of the table" in problems[1]


def test_a_row_that_breaks_a_rule_is_found(tmp_path: Path) -> None:
    name = append_verdicts(Store(tmp_path), [said(LABELS, 0, "accepted", DOG)])
    table = pq.read_table(tmp_path / name)
    place = table.column_names.index("verdict")
    pq.write_table(table.set_column(place, "verdict", pa.array(["liked"])), tmp_path / name)
    [problem] = verdict_problems(Store(tmp_path))
    assert "accepted" in problem


@pytest.mark.parametrize(
    "broken",
    [
        {"verdict": "liked"},
        {"verdict": "corrected"},
        {"drawn_xyxy": (1, 1, 2, 2)},
        {"box_xyxy": (9, 1, 2, 2)},
        {"box_xyxy": (float("nan"), 1, 2, 2)},
        {"reviewer": ""},
        {"at": "yesterday"},
        {"image_sha256": "../../etc"},
    ],
)
def test_a_verdict_that_is_none_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Verdict.model_validate(said(LABELS, 0, "accepted", DOG).model_dump() | broken)


def test_no_verdict_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to save"):
        append_verdicts(Store(tmp_path), [])
    assert read_verdicts(Store(tmp_path)).of(LABELS) == ()
