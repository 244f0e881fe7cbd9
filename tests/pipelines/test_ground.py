"""One picture and one text, from Python and from the command line: what is found, and every mistake in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from engine.sources import open_source
from pipelines.cli import main
from pipelines.ground import GroundedImage, ground_image, ground_with
from schemas.recipes import GroundRecipe, ScenesSource

TEXT = "a brown dog and two cats"
LONG = f"a {'big ' * 400}dog"  # one phrase


@pytest.fixture
def photo(tmp_path: Path, web: type) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(web.jpeg(1, 96, 64))
    return path


@pytest.fixture
def found(photo: Path, random_checkpoint: Path) -> GroundedImage:
    return ground_image(photo, TEXT, str(random_checkpoint), min_score=0.01)


def test_each_phrase_has_its_boxes_inside_the_picture(found: GroundedImage) -> None:
    assert [phrase.text for phrase in found.phrases] == ["a brown dog", "two cats"]
    assert {box.phrase for box in found.boxes} == {0, 1}
    for box in found.boxes:
        x1, y1, x2, y2 = box.box_xyxy
        assert 0 <= x1 <= x2 <= 96
        assert 0 <= y1 <= y2 <= 64
        assert 0.01 <= box.score <= 1


def test_the_caller_has_as_many_threads_as_before(photo: Path, random_checkpoint: Path) -> None:
    before = torch.get_num_threads()
    ground_image(photo, TEXT, str(random_checkpoint), min_score=0.01)
    assert torch.get_num_threads() == before


def test_a_path_its_bytes_and_a_pillow_image_give_the_same(
    found: GroundedImage, photo: Path, random_checkpoint: Path
) -> None:
    with Image.open(photo) as picture:
        decoded = ground_image(picture, TEXT, str(random_checkpoint), min_score=0.01)
    encoded = ground_image(photo.read_bytes(), TEXT, str(random_checkpoint), min_score=0.01)
    assert encoded.boxes == found.boxes
    assert decoded.boxes == found.boxes


def test_what_is_no_picture_or_no_text_is_told_with_what_is_wanted(photo: Path) -> None:
    with pytest.raises(TypeError, match=r"the bytes of a file or a Pillow image, not a ndarray; PIL\.Image\.fromarray"):
        ground_image(np.zeros((9, 9, 3), dtype=np.uint8), TEXT)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"the text is one caption such as 'a dog and two cats', not a list$"):
        ground_image(photo, ["a dog", "a cat"])  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "F", "LA"])
def test_a_pillow_image_of_any_mode_is_seen_as_rgb(photo: Path, random_checkpoint: Path, mode: str) -> None:
    with Image.open(photo) as picture:
        other = (picture.convert("L") if mode in ("F", "LA") else picture).convert(mode)
    assert ground_image(other, TEXT, str(random_checkpoint), min_score=0.01).annotated().mode == "RGB"


def test_what_was_found_is_short_to_look_at(found: GroundedImage) -> None:
    assert "phrases=" in repr(found)
    assert repr(found.image) not in repr(found)


def test_a_notebook_shows_the_annotated_picture(found: GroundedImage) -> None:
    """IPython asks an object for its forms by these names."""
    shown = Image.open(io.BytesIO(found._repr_jpeg_() or b""))
    drawn = found.annotated()
    assert (shown.format, shown.size) == ("JPEG", drawn.size)
    assert ImageStat.Stat(ImageChops.difference(shown, drawn)).mean < [8.0] * 3


def test_the_table_has_a_line_a_box_and_names_a_phrase_without_one(
    found: GroundedImage, photo: Path, random_checkpoint: Path
) -> None:
    lines = str(found).splitlines()
    assert len(lines) == 1 + len(found.boxes)
    best = found.boxes[0]
    assert lines[1].split() == ["a", "brown", "dog", f"{best.score:.2f}", *(f"{side:.1f}" for side in best.box_xyxy)]
    nothing = ground_image(photo, TEXT, str(random_checkpoint), min_score=0.99)
    assert nothing.boxes == ()
    assert [line.split("  ")[0] for line in str(nothing).splitlines()[1:]] == ["a brown dog", "two cats"]
    assert str(nothing).count("none scores 0.99 or more") == 2


def test_a_phrase_that_the_model_cannot_read_whole_is_told_and_the_others_are_found(
    photo: Path, random_checkpoint: Path
) -> None:
    found = ground_image(photo, f"two cats and {LONG}", str(random_checkpoint), min_score=0.01)
    assert [phrase.text for phrase in found.phrases] == ["two cats"]
    assert [phrase.text for phrase in found.left_out] == [LONG]
    assert str(found).splitlines()[-1].split()[-5:] == ["longer", "than", "the", "teacher", "reads"]
    assert found.plain()["left_out"] == [LONG]


@pytest.mark.parametrize(("name", "image_format"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("new/c.webp", "WEBP")])
def test_the_annotated_picture_is_written_in_the_format_of_its_name(
    found: GroundedImage, tmp_path: Path, name: str, image_format: str
) -> None:
    path = found.save(tmp_path / name)
    with Image.open(path) as drawn:
        assert drawn.format == image_format
        assert drawn.width / drawn.height == pytest.approx(96 / 64)


def test_nano_finds_what_it_was_trained_for() -> None:
    """The shipped model and parser on drawn scenes: most of the asked-for phrases get a box, and nobody crashes."""
    source = open_source(ScenesSource(count=6, seed=20_260_101))
    boxes = 0
    for sample in source.read(source.units(6)[0]):
        found = ground_with(GroundRecipe(min_score=0.3), sample.image, sample.caption)
        boxes += len({box.phrase for box in found.boxes}) > 0
    assert boxes >= 4


def test_the_command_prints_a_table_and_draws(
    photo: Path, tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "annotated.png"
    options = ["--checkpoint", str(random_checkpoint), "--min-score", "0.01"]
    assert main(["ground", str(photo), TEXT, "--out", str(out), *options]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["phrase", "score", "box,", "pixels", "(x1", "y1", "x2", "y2)"]
    assert printed.splitlines()[-1] == f"drawn: {out}"
    with Image.open(out) as drawn, Image.open(photo) as plain:
        assert drawn.size == (96 * 10, 64 * 10)
        enlarged = plain.convert("RGB").resize(drawn.size, Image.Resampling.LANCZOS)
        assert drawn.tobytes() != enlarged.tobytes()


def test_the_command_speaks_json(photo: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--checkpoint", str(random_checkpoint), "--min-score", "0.01", "--json"]
    assert main(["ground", str(photo), TEXT, *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [phrase["text"] for phrase in answer["phrases"]] == ["a brown dog", "two cats"]
    assert len(answer["boxes"]) > 0
    assert {*answer["boxes"][0]} == {"phrase", "text", "score", "box_xyxy"}


MISTAKES = {
    "a missing picture": ("nothing.jpg", TEXT, [], "nothing.jpg: no such picture"),
    "a folder for a picture": (".", TEXT, [], "no such picture"),
    "no picture": ("text.jpg", TEXT, [], "text.jpg: 4 bytes that cannot be read as a picture"),
    "a text without a phrase": ("photo.jpg", "running quickly", [], "wanted a noun phrase"),
    "an empty text": ("photo.jpg", " ", [], "the caption is empty or blank"),
    "a text beyond the limit": ("photo.jpg", "a dog " * 400, [], "2400 characters, at most 2000 (phrases.max_caption_"),
    "a text of another encoding": ("photo.jpg", "a caf\udce9", [], "is not UTF-8"),
    "a phrase beyond the model": ("photo.jpg", LONG, [], "the text: each of the 1 phrases has more tokens than"),
    "an unwritable out": ("photo.jpg", TEXT, ["--out", "text.jpg/a.png"], "cannot be written"),
    "a folder for out": ("photo.jpg", TEXT, ["--out", "folder.png"], "cannot be written"),
    "an out of no format": ("photo.jpg", TEXT, ["--out", "a.exe"], "ending in .png, .jpg or .webp, not '.exe'"),
    "a missing checkpoint": ("photo.jpg", TEXT, ["--checkpoint", "/no/such"], "/no/such: no such model"),
    "a published name": ("photo.jpg", TEXT, ["--checkpoint", "glip-t"], "pass it (--sha256"),
    "a digest that is none": ("photo.jpg", TEXT, ["--checkpoint", "glip-t", "--sha256", "abc"], "checkpoint_sha256"),
    "a score beyond 1": ("photo.jpg", TEXT, ["--min-score", "2"], "min_score"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(
    mistake: str,
    photo: Path,
    tmp_path: Path,
    random_checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "folder.png").mkdir()
    image, text, options, expected = MISTAKES[mistake]
    if "--checkpoint" not in options:
        options = [*options, "--checkpoint", str(random_checkpoint)]
    assert main(["ground", image, text, *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert expected in error
    assert "Traceback" not in error
    assert not (tmp_path / "a.png").exists()
