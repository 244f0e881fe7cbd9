"""Guesses the kind of source from a plain argument: ``glip-engine label SOURCE`` without a recipe.

In: a word, a path or a uri. Out: the fields of a source's recipe, to be checked like those of any other.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.dataset.shard_files import CARD
from engine.sources.columns import CAPTION_NAMES, IMAGE_NAMES, URL_NAMES, lists_urls
from engine.sources.folder import NAMES, PICTURES, TABLES
from engine.sources.parquet_layout import read_schema
from engine.sources.places import Files, SourceFile
from engine.sources.text_records import csv_cells, next_csv_record, next_line, separator_of

LISTS = (".tsv", ".jsonl")
IN_FOLDERS = (".tar", ".parquet", *LISTS)


def guess_source(argument: str) -> dict[str, Any]:
    """The recipe's fields for ``scenes``, tars, Parquet files, lists of urls, a captions JSON with its images, or
    pictures with their captions in a folder or a CSV.

    The images of a captions JSON are expected in COCO's own layout, ``annotations/captions_X.json`` and ``X/``.
    ValueError where they are elsewhere, or the argument is ambiguous: then a recipe is needed.
    """
    if argument == "scenes":
        return {"kind": "scenes"}
    path = argument.partition("?")[0].lower()
    if path.endswith(".json"):
        return {"kind": "coco", "uri": argument, "images": _coco_images(argument)}
    if path.endswith(LISTS) and not _lists_pictures(Path(argument)):
        return {"kind": "urls", "uri": argument}
    if path.endswith(".parquet"):
        return {"kind": _kind_of_parquet(argument), "uri": argument}
    if path.endswith(".tar"):
        return {"kind": "webdataset", "uri": argument}
    if path.endswith((".csv", *LISTS)):
        if path.endswith(".csv") and _csv_lists_urls(argument):
            return {"kind": "urls", "uri": argument}
        return {"kind": "folder", "uri": argument.rpartition("/")[0] or ".", "captions": argument}
    return _guess_folder(argument)


def _guess_folder(argument: str) -> dict[str, Any]:
    """The kind of a folder (or a glob) by its files. Tars count before Parquet files, which img2dataset puts beside
    them, and those before pictures, which they may refer to. Subfolders are searched only for pictures."""
    _refuse_coco_folder(Path(argument))
    _refuse_dataset(Path(argument))
    _refuse_arrow(Path(argument))
    _refuse_file(Path(argument))
    deep = Path(argument).is_dir()
    files = Files(argument, (*IN_FOLDERS, ".csv", *PICTURES), deep=deep).all
    top = [file for file in files if not deep or "/" not in file.name]
    endings = {_ending(file) for file in top}
    ending = next((one for one in IN_FOLDERS if one in endings), None)
    if ending == ".tar":
        return {"kind": "webdataset", "uri": argument}
    if ending == ".parquet":
        kind = _kind_of_parquet(argument)
        if kind == "urls" and _are_downloaded(top, files):
            return _guess_pictures(argument, ())
        return {"kind": kind, "uri": argument}
    if endings & set(PICTURES) or any(_lists_pictures(Path(file.path)) for file in top):
        return _guess_pictures(argument, top)
    if ending in LISTS or (".csv" in endings and _csv_lists_urls(argument)):
        return {"kind": "urls", "uri": argument}
    if any(_ending(file) in PICTURES for file in files):
        return _guess_pictures(argument, top)
    Files(argument, IN_FOLDERS)  # raises where it is a folder, and tells of sources in folders of it
    return {"kind": "webdataset", "uri": argument}


def _are_downloaded(top: Iterable[SourceFile], files: Iterable[SourceFile]) -> bool:
    """Whether a folder of pictures lies beside a table of its name, ``00000/`` beside ``00000.parquet``: img2dataset's
    output format ``files``, whose tables tell where the pictures came from."""
    folders = {file.name.partition("/")[0] for file in files if _ending(file) in PICTURES and "/" in file.name}
    return any(posixpath.splitext(file.name)[0] in folders for file in top if _ending(file) == ".parquet")


def _ending(file: SourceFile) -> str:
    return posixpath.splitext(file.name)[1].lower()


def _guess_pictures(argument: str, files: Iterable[SourceFile]) -> dict[str, Any]:
    """Pictures, with the one table among ``files`` or else with a text file for each picture."""
    tables = [file.path for file in files if _ending(file) in TABLES]
    if len(tables) > 1:
        raise ValueError(f"{argument} has {len(tables)} tables; name the one of captions: --set source.captions=FILE")
    return {"kind": "folder", "uri": argument, **({"captions": tables[0]} if tables else {})}


def _refuse_file(file: Path) -> None:
    """ValueError where a file of unknown kind is no tar, since it would be read as one."""
    if file.suffix.lower() in PICTURES and file.is_file():
        raise ValueError(
            f"source {file} is one picture: `glip-engine ground {file} TEXT` finds what a text names in it"
        )
    if file.is_file() and not _is_tar(file):
        raise ValueError(
            f"source {file} is not a tar; give tars, .parquet, .csv, .tsv, .jsonl, a captions JSON of COCO, or a "
            "folder; what is compressed has to be unpacked"
        )


def _is_tar(file: Path) -> bool:
    """Whether a file begins like an uncompressed tar; the members of a compressed one cannot be found."""
    try:
        tarfile.open(file, "r:").close()
    except tarfile.TarError:
        return False
    return True


def _kind_of_parquet(argument: str) -> str:
    """``parquet`` where a column has a usual name for images, ``urls`` where one has a usual name for urls."""
    names = read_schema(Files(argument, (".parquet",))).names
    return "urls" if lists_urls(names, IMAGE_NAMES) else "parquet"


def _lists_pictures(table: Path) -> bool:
    """Whether the first line of a local ``.tsv`` or ``.jsonl`` has the names of pictures and of captions, not of
    urls."""
    if table.suffix.lower() not in LISTS or not table.is_file():
        return False
    with table.open("rb") as file:
        line = (next_line(file) or b"").decode("utf-8-sig", "replace").strip()
    try:
        cells = json.loads(line) if table.suffix.lower() == ".jsonl" else line.split("\t")
    except (ValueError, RecursionError):
        return False
    names = {str(cell).lower() for cell in cells} if isinstance(cells, dict | list) else set()
    return all(map(names.intersection, (NAMES, CAPTION_NAMES))) and names.isdisjoint(URL_NAMES)


def _csv_lists_urls(argument: str) -> bool:
    """Whether the header of the first CSV has a column of urls, and none of pictures."""
    files = Files(argument, (".csv",))
    with files.open_lines(files.all[0]) as file:
        separator = separator_of(file)
        names = csv_cells(next_csv_record(file, separator), None, separator)
    return isinstance(names, dict) and lists_urls(names.values(), NAMES)


def _refuse_coco_folder(folder: Path) -> None:
    """ValueError, with the captions files to choose from, where the folder is COCO's own, which has several splits."""
    captions = sorted(folder.glob("annotations/captions_*.json"))
    if captions:
        raise ValueError(f"source {folder} is COCO's folder; give its captions: {' or '.join(map(str, captions))}")


def _refuse_dataset(folder: Path) -> None:
    """ValueError where the folder is a dataset of ours: its shards are one folder down, and its tables no source."""
    if (folder / CARD).is_file():
        raise ValueError(f"source {folder} is a dataset with boxes already; its samples are '{folder}/shards/*.tar'")


def _refuse_arrow(folder: Path) -> None:
    """ValueError where Hugging Face ``datasets`` wrote the folder with ``save_to_disk``, as Arrow streams."""
    if (folder / "dataset_dict.json").is_file() or any(folder.glob("data-*.arrow")):
        part = "['train']" if (folder / "dataset_dict.json").is_file() else ""
        raise ValueError(
            f"source {folder} holds Arrow files of save_to_disk; write Parquet: "
            f"datasets.load_from_disk({str(folder)!r}){part}.to_parquet('pairs.parquet')"
        )


def _coco_images(argument: str) -> str:
    folder, _, name = argument.rpartition("/")
    split = name.removesuffix(".json").removeprefix("captions_")
    if name.startswith("captions_") and (folder == "annotations" or folder.endswith("/annotations")):
        return f"{folder.removesuffix('annotations')}{split}"
    raise ValueError(
        f"{argument} looks like a captions JSON of COCO; give the folder of its images in a recipe, or with "
        f"--set source.kind=coco --set source.uri={argument} --set source.images=FOLDER instead of the argument"
    )
