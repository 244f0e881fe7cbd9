"""The review server's answers: what is searched and shown is what the dataset has, and what is judged is saved."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from pictures import saved
from PIL import Image
from report_datasets import CARD, HOSTILE, dog, encoded, sample, write_dataset
from review_clients import Client, talk

from engine.artifacts import Store
from engine.review.verdicts import VERDICTS, read_verdicts
from pipelines.cli import main
from pipelines.review.session import ReviewSession

DOG, TREE = [10.0, 10.0, 60.0, 80.0], [80.0, 5.0, 150.0, 110.0]
ACCEPT = {"phrase": 0, "target": DOG, "verdict": "accepted"}


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    evil = sample("evil", HOSTILE, [(0, len(HOSTILE))], [(0, (1, 1, 50, 50), 0.9)])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(Image.new("RGB", (160, 120), "red"), "JPEG", exif=exif)
    return write_dataset(
        tmp_path / "dogs",
        [*(dog(number) for number in range(3)), evil,
         sample("turned", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], turned),
         sample("broken", "a dog", [(0, 5)], [(0, (0, 0, 9, 9), 0.9)], b"no picture")],
    )  # fmt: skip


def test_pictures_are_encoded_anew_upright_and_without_metadata(dogs: Path) -> None:
    async def look(client: Client) -> None:
        for key, size, pixels in (("000", "large", (160, 120)), ("turned", "small", (120, 160))):
            _, content = await client.get(f"/api/picture?key={key}&size={size}")
            with Image.open(io.BytesIO(content)) as shown:
                assert (shown.format, shown.size, dict(shown.getexif())) == ("JPEG", pixels, {})
            assert content != encoded()
        assert (await client.get("/api/picture?key=broken"))[0] == 404
        assert (await client.get("/api/picture?key=000&size=huge"))[0] == 400

    talk(dogs, look)


def test_searches_and_samples_are_told_as_they_are(dogs: Path) -> None:
    async def look(client: Client) -> None:
        page = await client.json("/api/samples", phrase="DOG", min_score="0.8")
        assert [one["key"] for one in page["samples"]] == ["000", "001", "002", "turned", "broken"]
        assert (await client.json("/api/totals", phrase="tree"))["boxes"] == 3
        evil = await client.json("/api/sample", key="evil")
        assert "".join(text for text, _ in evil["caption"]) == HOSTILE
        assert (await client.json("/api/dataset"))["reviewer"] == "ann"
        for wrong in ({"order": "x"}, {"min_score": "2"}, {"colour": "red"}, {"phrase": "a" * 300}, {"after": "x"}):
            assert "error" in await client.json("/api/samples", **wrong)

    talk(dogs, look)


def test_verdicts_are_stored_and_the_second_reviewers_are_added(dogs: Path) -> None:
    async def first(client: Client) -> None:
        drawn = [1, 2, 30, 40]
        status, shown = await client.judge(
            "001", ACCEPT, {"phrase": 1, "target": TREE, "verdict": "corrected", "drawn": [81, 5, 150, 110]},
            {"phrase": 1, "target": drawn, "verdict": "added", "drawn": drawn},
        )  # fmt: skip
        assert status == 200
        found = [(box["verdict"], box["box"], box["by"]) for box in shown["boxes"]]
        assert found == [("accepted", DOG, "ann"), ("corrected", [81, 5, 150, 110], "ann"), ("added", drawn, "ann")]

    async def second(client: Client) -> None:
        before = await client.json("/api/sample", key="001")
        assert [box["by"] for box in before["boxes"]] == ["ann", "ann", "ann"]
        _, shown = await client.judge("001", {"phrase": 0, "target": DOG, "verdict": "rejected"})
        assert [box["verdict"] for box in shown["boxes"]] == ["rejected", "corrected", "added"]
        assert [(one["reviewer"], one["verdict"]) for one in shown["history"]][:2] == [
            ("bob", "rejected"),
            ("ann", "added"),
        ]

    talk(dogs, first)
    files = {path: path.read_bytes() for path in (dogs / VERDICTS).iterdir()}
    talk(dogs, second, reviewer="bob")
    assert {path: path.read_bytes() for path in files} == files
    assert len(list((dogs / VERDICTS).iterdir())) == 2
    held = read_verdicts(Store(dogs)).of(dog(1).labels)
    assert [(one.reviewer, one.verdict) for one in held] == [
        ("ann", "corrected"),
        ("ann", "added"),
        ("bob", "rejected"),
    ]
    assert [one.score for one in held] == [0.6, None, 0.9]


BROKEN: list[dict[str, Any]] = [
    {"phrase": 7},
    {"target": [0, 0, 5, 5]},
    {"target": [0, 0, 5]},
    {"target": [0, 0, "NaN", 5]},
    {"verdict": "liked"},
    {"verdict": "corrected"},
    {"drawn": [0, 0, 5, 5]},
    {"verdict": "corrected", "drawn": [0, 0, 999, 5]},
    {"verdict": "corrected", "drawn": [5, 5, 5, 9]},
    {"verdict": "added", "target": [-1, 0, 9, 9], "drawn": [-1, 0, 9, 9]},
    {"reviewer": "somebody else"},
    {"image_sha256": "0" * 64},
]


def test_a_judgement_that_is_none_saves_nothing(dogs: Path) -> None:
    async def look(client: Client) -> None:
        for broken in BROKEN:
            status, answer = await client.judge("000", ACCEPT, ACCEPT | broken)
            assert (broken, status) == (broken, 400)
            assert answer["error"]

    talk(dogs, look)
    assert not (dogs / VERDICTS).exists()


def test_a_dataset_that_cannot_be_reviewed_is_told_in_a_line(dogs: Path, tmp_path: Path) -> None:
    for folder, reviewer, message in (
        (tmp_path / "gone", "ann", "is not a dataset"),
        (dogs, "  ", "a reviewer's name"),
        (dogs, "x" * 200, "a reviewer's name"),
    ):
        with pytest.raises(ValueError, match=message):
            ReviewSession(str(folder), reviewer)
    (dogs / "manifests" / "000000.json").unlink()
    with pytest.raises(ValueError, match="no committed shard"):
        ReviewSession(str(dogs), "ann")


def test_the_command_tells_what_is_wrong_in_a_line(
    dogs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, message in (
            ([str(tmp_path / "gone")], "is not a dataset"),
            ([str(dogs), "--selection", "best"], "no selection 'best'"),
            ([str(dogs), "--port", port], f"port {port} of 127.0.0.1 is not available"),
            ([str(dogs), "--port", "99999"], "is not available"),
        ):
            assert main(["serve", *arguments, "--reviewer", "ann"]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert error.count("\n") == 1


def test_what_is_whole_of_a_damaged_dataset_is_shown_and_the_rest_told(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dogs", [dog(number) for number in range(6)], units=3)
    (folder / "annotations" / "000001.parquet").write_bytes(b"half")

    async def look(client: Client) -> None:
        assert [one["key"] for one in (await client.json("/api/samples"))["samples"]] == ["000", "001", "004", "005"]
        assert "1 of 3 units are not whole" in (await client.json("/api/dataset"))["notes"][0]
        (folder / "annotations" / "000002.parquet").write_bytes(b"half")  # while it is served
        (folder / "shards" / "000000.tar").unlink()
        assert "run `glip-engine verify`" in (await client.json("/api/samples"))["error"]
        assert (await client.get("/api/sample?key=000"))[0] == 503

    talk(folder, look)


def test_a_dataset_that_is_labelled_again_while_it_is_served_is_told_and_no_verdict_taken(dogs: Path) -> None:
    async def look(client: Client) -> None:
        assert (await client.judge("000", ACCEPT))[0] == 200
        write_dataset(dogs, [dog(number) for number in range(3)], CARD.model_copy(update={"recipe_digest": "t" * 64}))
        assert "was labelled again" in (await client.json("/api/samples"))["error"]
        status, answer = await client.judge("001", ACCEPT)
        assert (status, "start `glip-engine serve` again" in answer["error"]) == (400, True)

    talk(dogs, look)
    assert len(list((dogs / VERDICTS).iterdir())) == 1


def test_a_verdict_is_saved_without_listing_those_before_it(dogs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, names = list[str](), Store.names
    monkeypatch.setattr(Store, "names", lambda store, folder: listed.append(folder) or names(store, folder))

    async def judge(client: Client) -> None:
        await client.json("/api/sample", key="001")
        assert VERDICTS in listed
        listed.clear()
        status, shown = await client.judge("001", ACCEPT)
        assert (status, shown["boxes"][0]["verdict"]) == (200, "accepted")
        assert VERDICTS not in listed

    talk(dogs, judge)


def test_of_two_verdicts_the_later_one_holds_even_if_the_store_keeps_the_earlier_one_waiting(
    dogs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, first, answers = Store.read, threading.Event(), threading.Event()

    def slow(store: Store, name: str, max_bytes: int = 1_000_000) -> bytes:
        if not first.is_set():
            first.set()
            assert answers.wait(60)
        return read(store, name, max_bytes)

    async def change_ones_mind(client: Client) -> None:
        monkeypatch.setattr(Store, "read", slow)
        earlier = asyncio.create_task(client.judge("001", ACCEPT | {"verdict": "rejected"}))
        await asyncio.to_thread(first.wait, 60)
        assert (await client.judge("001", ACCEPT))[0] == 200
        answers.set()
        assert (await earlier)[0] == 200

    talk(dogs, change_ones_mind)
    assert [one.verdict for one in read_verdicts(Store(dogs)).of(dog(1).labels)] == ["accepted"]


def test_a_verdict_that_the_page_waits_for_no_longer_is_not_saved(dogs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def judge(client: Client) -> None:
        status, answer = await client.judge("001", ACCEPT)
        assert status == 503
        assert "did not answer within 0 s, and nothing is saved" in answer["error"]

    monkeypatch.setattr("pipelines.review.session.PATIENCE_S", 0.0)
    talk(dogs, judge)
    assert len(read_verdicts(Store(dogs))) == 0


def test_a_dataset_in_an_object_store_is_reviewed_there(dogs: Path, s3_bucket: str) -> None:
    for path in (path for path in dogs.rglob("*") if path.is_file()):
        Store(f"{s3_bucket}/dogs").write(str(path.relative_to(dogs)), path.read_bytes())

    async def look(client: Client) -> None:
        assert [one["key"] for one in (await client.json("/api/samples", phrase="tree"))["samples"]] == [
            "000",
            "001",
            "002",
        ]
        assert (await client.get("/api/picture?key=001"))[0] == 200
        assert (await client.judge("001", ACCEPT))[0] == 200

    talk(f"{s3_bucket}/dogs", look)
    assert [one.verdict for one in read_verdicts(Store(f"{s3_bucket}/dogs")).of(dog(1).labels)] == ["accepted"]
