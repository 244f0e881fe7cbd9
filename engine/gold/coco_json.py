"""Reading COCO-style JSON: each item is checked by itself, images are found in their folder.

In: paths. Out: valid items, or the reason why one is invalid. A file that is not in the format at all is a ValueError;
a single bad item never stops an import.
Source: COCO's data format (cocodataset.org/#format-data).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from engine.gold.files import file_size, picture_path
from engine.gold.json_lists import Items, JsonLists
from engine.gold.rules import Picture, key_of, long_key_of, read_picture
from engine.gold.scratch import Row, RowsByKey, stored
from engine.gold.sources import GoldPlace, GoldRow
from engine.shards import valid_key
from engine.sources.sayable import sayable
from engine.storage.digests import digest_of_list
from schemas.records import BoxXYXY, Reject

NAMES_TRIED = 20  # pictures that are looked for in each folder that may have them


def _whole(text: str) -> str:
    text.encode()  # a lone surrogate, which JSON may contain, raises UnicodeEncodeError, a ValueError
    return text


Text = Annotated[str, AfterValidator(_whole)]
Id = int | Text
Item = TypeVar("Item", bound=BaseModel)
XYWH = tuple[float, float, float, float]


def xyxy_of(box_xywh: XYWH) -> BoxXYXY:
    """A box given by its top left corner and size, as corners."""
    x, y, w, h = box_xywh
    return (x, y, x + w, y + h)


class CocoItem(BaseModel):
    """An object of the JSON; fields that we do not use are ignored."""

    model_config = ConfigDict(frozen=True)


class CocoImage(CocoItem):
    """An image as the JSON declares it; sizes in pixels. The lists of categories are LVIS's."""

    id: Id
    file_name: Text = Field(pattern=r"^[^\x00]{1,250}$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    neg_category_ids: tuple[Id, ...] | None = None
    not_exhaustive_category_ids: tuple[Id, ...] | None = None


def listed(document: JsonLists, name: str, file: Path) -> Items:
    """The list ``name`` of the document; ValueError where it has none."""
    found = document.lists.get(name)
    if found is None:
        raise ValueError(f"{file} has no list {name!r}, so it is not in COCO's format")
    return found


def checked(kind: type[Item], item: Any) -> Item | str:
    """The item validated as ``kind``, or in one line what is wrong with it."""
    try:
        return kind.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'item'}: {first['msg']}"


class Images:
    """The declared images, in order, each checked when it is read. Of several with one id the first valid one has it.

    ``folder`` is the first of ``folders`` that has one of the first pictures, or else simply the first.
    """

    def __init__(
        self, declared: Items, folders: Sequence[Path], read_image: Callable[[Any], Any] = lambda item: item
    ) -> None:
        """``read_image`` converts a declared image to COCO's fields."""
        self._declared, self._read_image = declared, read_image
        self._database = declared.database
        self._database.fill("images", "row INTEGER PRIMARY KEY, id, file_name", self._rows())
        self._database.index("images", "id")
        names = list(islice(filter(None, self.names()), NAMES_TRIED))
        there = (folder for folder in folders if any(file_size(picture_path(folder, name)) >= 0 for name in names))
        self.folder = next(there, folders[0])

    def _rows(self) -> Iterator[Row]:
        for row, item in enumerate(self._declared):
            image = checked(CocoImage, self._read_image(item))
            yield (row, stored(image.id), image.file_name) if isinstance(image, CocoImage) else (row, None, None)

    def __len__(self) -> int:
        return len(self._declared)

    def __getitem__(self, row: int) -> CocoImage | str:
        return checked(CocoImage, self._read_image(self._declared[row]))

    def names(self, first: int = 0) -> Iterator[str]:
        """The file names of the images from row ``first`` on; empty for an invalid image."""
        for (name,) in self._database.select("SELECT file_name FROM images WHERE row >= ? ORDER BY row", first):
            yield name or ""

    def row_of(self, image_id: Id) -> int | None:
        """The row of the image with an id; None where there is none."""
        found = next(self._database.select("SELECT min(row) FROM images WHERE id = ?", stored(image_id)))
        return None if found[0] is None else int(found[0])

    def of(self, image_id: Id) -> CocoImage | None:
        """The image with an id; None where there is none."""
        row = self.row_of(image_id)
        image = None if row is None else self[row]
        return image if isinstance(image, CocoImage) else None

    def key_of_id(self, image_id: Id) -> str:
        """The key of the image with an id; the id itself where there is none."""
        row = self.row_of(image_id)
        return str(image_id) if row is None else key_of(next(self.names(row)))

    def homeless(self, annotations: Items) -> tuple[Reject, ...]:
        """A reject ``image_undeclared`` for each annotation whose ``image_id`` no image has. ``annotations`` must be
        items of the same document, indexed by that field."""
        found = annotations.without("images", "id")
        ids = (item.get("image_id") if isinstance(item, dict) else None for item in found)
        return tuple(dropped("", "image_undeclared", f"annotation of image {image_id!r}") for image_id in ids)

    def picture(self, image: CocoImage) -> Picture | str:
        """The image's file, or the reason why it cannot be used."""
        return read_picture(self.folder, image.file_name, (image.width, image.height))

    def digest(self) -> str:
        """Digest of the names and sizes of the image files, in order; a missing file counts as size -1."""
        firsts = "row = (SELECT min(row) FROM images WHERE id = one.id)"
        names = self._database.select(f"SELECT file_name FROM images AS one WHERE {firsts} ORDER BY row")
        return digest_of_list([name, file_size(picture_path(self.folder, name))] for (name,) in names)


class Keys:
    """The keys of the rows, kept on disk. A key belongs to the first row that has it."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._rows = RowsByKey(keys)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> str:
        return self._rows.text(row)

    def fault(self, key: str, row: int) -> str | None:
        """``key_invalid``, ``duplicate_key``, or None where the row may have the key."""
        if not valid_key(key):
            return "key_invalid"
        return None if self._rows.first(key) == row else "duplicate_key"


def picture_keys(names: Iterable[str]) -> Keys:
    """Keys of pictures by their file names: without folders, unless several folders have the same name, as with frames
    of films. A path that occurs twice gives the same key twice."""
    whole = RowsByKey(names)
    short = RowsByKey(map(key_of, whole.texts()))
    named = zip(whole.texts(), short.texts(), strict=True)
    return Keys(long_key_of(name) if short.shared(key) else key for name, key in named)


def own_keys(images: Iterable[str]) -> Keys:
    """Keys of captions by the keys of their images: the first caption of an image has the image's key, the others add
    the number of their row."""
    rows = RowsByKey(images)
    return Keys(key if rows.first(key) == row else f"{key}-{row}" for row, key in enumerate(rows.texts()))


def rejected_row(key: str, reason: str, message: str) -> GoldRow:
    """A row without a sample. Its annotations are not counted."""
    return GoldRow(None, (Reject(sayable(key), "read", reason, sayable(message)),))


def dropped(key: str, reason: str, message: str) -> Reject:
    """A dropped annotation of the sample ``key`` (empty where it belongs to none)."""
    return Reject(sayable(key), "annotation", reason, sayable(message)[:500])


def image_folders(place: GoldPlace, file: Path) -> list[Path]:
    """The folders that may have the images, the likeliest first: the given one; or, beside ``instances_val2017.json``
    or its folder ``annotations``, ``val2017`` (COCO), ``images/val2017`` (CVAT), ``images_val2017``, ``images``,
    ``data`` (FiftyOne); or that place itself, for names that begin with ``images/`` (Label Studio)."""
    if place.images is not None:
        return [place.images]
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    split = file.stem.partition("_")[2]
    of_split = [split, f"images/{split}", f"images_{split}"] if split else []
    beside = (root / name for name in (*of_split, "images", "data"))
    return [*(folder for folder in beside if folder.is_dir()), root, file.parent]
