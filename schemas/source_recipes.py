"""Where captioned images come from: one class for each kind of source (``engine.sources.SOURCES``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.column_rules import ColumnRule
from schemas.recipe_files import Recipe


class SourceWithColumns(Recipe):
    """A source whose rows have columns of their own, such as LAION's ``similarity`` and ``punsafe``."""

    keep: dict[str, ColumnRule] = {}
    """Which rows to take, by the source's own columns: ``{similarity: {min: 0.3}, punsafe: {max: 0.5}, LANGUAGE:
    {one_of: [en]}}``. Names are as in the source. Other rows are rejected before their picture is opened or
    downloaded."""
    carry: tuple[str, ...] = ()
    """Columns to copy into the shards, as ``source_columns`` of each sample's ``.json``."""


class WebDatasetSource(SourceWithColumns):
    """Captioned images as img2dataset writes them: tar files of ``KEY.jpg`` + ``KEY.txt`` (+ ``KEY.json``),
    whose fields are the columns that ``keep`` names."""

    kind: Literal["webdataset"] = "webdataset"
    uri: str
    """A folder of ``.tar`` files, one ``.tar`` file, a glob or a brace expansion (``s3://b/{00000..00099}.tar``);
    local, ``http(s)://`` or ``s3://``."""
    caption_field: str | None = None
    """Field of the ``.json`` that holds the caption. By default the ``.txt``, or else the field ``caption``."""
    row_counts: Literal["auto", "scan"] = "auto"
    """``auto`` trusts img2dataset's ``_stats.json`` if each tar has one; ``scan`` reads every tar's headers."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image member is rejected as ``image_too_large`` without being read."""


class ParquetSource(SourceWithColumns):
    """Captioned images in Parquet files: the bytes themselves, as Hugging Face ``datasets`` writes them, or paths."""

    kind: Literal["parquet"] = "parquet"
    uri: str
    """A folder of ``.parquet`` files, one file, a glob or a brace expansion; local, ``http(s)://`` or ``s3://``."""
    image_column: str | None = None
    """Column of the image: bytes, a struct of ``bytes`` and ``path``, or text, which is a path. By default the first of
    ``image``, ``img``, ``jpg``, ``png``, ``webp``, ``image_path``, ``file_name`` that exists."""
    caption_column: str | None = None
    """Column of the caption. By default the first of ``caption``, ``text``, ``txt``, ``alt_text``, ``top_caption`` that
    exists."""
    key_column: str | None = None
    """Column of the sample's key. By default the number of the row in the whole source."""
    images: str | None = None
    """Folder that paths are relative to. By default that of the Parquet files."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image is rejected as ``image_too_large``."""


class UrlsSource(SourceWithColumns):
    """Lists of url and caption; the images are downloaded inside the job."""

    kind: Literal["urls"] = "urls"
    uri: str
    """A ``.tsv``, ``.csv``, ``.jsonl`` or ``.parquet`` file, a folder of files of one kind, a glob or a brace
    expansion."""
    url_column: str | None = None
    """Name of the column. By default the first of ``url``, ``image_url``, ``image_link``, in upper or lower case. A TSV
    or CSV without a header is read by number (``"0"``); by default the url is the field that begins with http."""
    caption_column: str | None = None
    """Name (or number) of the column. By default the first of ``caption``, ``text``, ``txt``, ``alt_text``,
    ``top_caption``, in upper or lower case."""
    key_column: str | None = None
    """Column of the sample's key. By default the number of the row in the whole source."""
    concurrency: int = Field(default=64, gt=0, le=4096)
    """Simultaneous downloads of one reader."""
    concurrency_per_host: int = Field(default=16, gt=0)
    """At most so many of these from one host."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Time limit for a whole download, so that it also ends when a server sends a byte a second."""
    retries: int = Field(default=2, ge=0, le=10)
    """More attempts after a failure that may pass: no connection, a cut body, HTTP 429, 500, 502, 503, 504."""
    max_redirects: int = Field(default=5, ge=0, le=20)
    """Beyond so many redirects, the reject is ``redirect_loop``."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger file is not downloaded: ``too_large``."""
    allow_private: bool = False
    """Whether to connect to addresses outside the public internet (loopback, private, link-local, cloud metadata). Off
    by default, so that a list from the web cannot reach into the network that the job runs in."""
    opt_out: tuple[str, ...] = ("noai", "noimageai")
    """Directives of ``X-Robots-Tag`` to obey (``opted_out``). ``noindex`` and ``noimageindex`` may be added."""
    user_agent: str = Field(default="glip-engine", pattern=r"^[\x20-\x7e]{1,200}$")
    """The job's User-Agent. The word before the first ``/`` is also its name in ``X-Robots-Tag``."""


class CocoSource(SourceWithColumns):
    """COCO's captions JSON and a folder of images; the columns that ``keep`` names are fields of the images and, where
    each caption is a sample, of the annotations."""

    kind: Literal["coco"] = "coco"
    uri: str
    """The JSON file, such as ``captions_train2017.json``; local, ``http(s)://`` or ``s3://``."""
    images: str
    """Folder that ``file_name`` is relative to."""
    captions: Literal["each", "joined"] = "each"
    """``each`` makes one sample per caption; ``joined`` makes one per image, with its captions as sentences."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image is rejected as ``image_too_large``."""


class FolderSource(SourceWithColumns):
    """Pictures in a folder, with captions in text files of the same names, or in a table, whose columns are those that
    ``keep`` names."""

    kind: Literal["folder"] = "folder"
    uri: str
    """The folder, or a glob of pictures (``'photos/**/*.jpg'``); local or ``s3://``. With ``captions``, the folder that
    the table's names are relative to."""
    captions: str | None = None
    """A ``.csv`` or ``.tsv`` with a header, or a ``.jsonl``, that lists each picture with its caption. Without it,
    ``dog.txt`` holds the caption of ``dog.jpg``."""
    image_column: str | None = None
    """Column of the table. By default the first of ``image``, ``img``, ``jpg``, ``png``, ``webp``, ``image_path``,
    ``file_name``, ``filename``, ``file``, ``path``, ``image_name`` that exists."""
    caption_column: str | None = None
    """Column of the caption. By default the first of ``caption``, ``text``, ``txt``, ``alt_text``, ``top_caption`` that
    exists."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image is rejected as ``image_too_large``."""


class ScenesSource(Recipe):
    """Procedurally drawn pictures with captions and exact boxes: a world without downloads, licences or people."""

    kind: Literal["scenes"] = "scenes"
    count: int = Field(default=200, gt=0)
    """Number of scenes."""
    seed: int = 0
    """Another seed gives other pictures. Use a seed that was never trained on for held-out scenes."""
    first_index: int = Field(default=0, ge=0)
    """Index of the first scene."""
    kinds: tuple[str, ...] | None = None
    """The kinds of thing to draw. By default all of them."""
    exclude_kinds: tuple[str, ...] = ()
    """Kinds that never occur."""
    exclude_attributes: tuple[str, ...] = ()
    """Colours and textures that never occur."""
    exclude_combinations: tuple[str, ...] = ()
    """Combinations that never occur, such as ``"red car"``."""
    zipf_exponent: float = Field(default=0.8, ge=0)
    """How steeply the frequency of kinds falls with their rank; 0 draws all equally often."""
    names: dict[str, str] = {}
    """Other words for a kind, a colour or a texture in captions, such as ``{key: dax, turquoise: chromium}``: words
    that a model cannot know, for things that it may have seen. The pictures stay the same."""


Source = Annotated[
    WebDatasetSource | ParquetSource | UrlsSource | CocoSource | FolderSource | ScenesSource,
    Field(discriminator="kind"),
]
