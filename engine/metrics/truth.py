"""Human boxes that pseudo-labels are judged by, and which of them a phrase may refer to.

In: hidden annotations of the labelled images. Out: for a phrase of a sample, the human boxes that it may refer to, or
the reason why nobody can say. For scoring only: nothing here is read by labelling or training.

Two kinds: exact phrase boxes of the same captions (:class:`GoldTruth`: drawn scenes), and class boxes of the photos
beside some annotated phrases (:class:`CocoTruth`).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.metrics.overlap import Boxes, as_boxes
from engine.selecting.calibrated_scores import file_in_store
from engine.shards import sample_json
from schemas.shards import SampleLabels, SamplePhrase

# Not judged, and why. A box of such a phrase is neither right nor wrong.
NO_TRUTH_FOR_IMAGE = "image_without_human_boxes"
UNKNOWN_PHRASE = "phrase_of_no_known_class"
ABSENT_CLASS = "no_human_box_of_the_class"
IN_CROWD = "inside_a_crowd_region"

# An ending of a phrase names a class when at least this share of the annotated phrases with that ending do.
MIN_ENDING_SHARE = 0.8
LONGEST_ENDING_WORDS = 3
MAX_JSON_BYTES = 2_000_000_000  # COCO's training instances have a quarter of that


@dataclass(frozen=True, slots=True)
class HumanBoxes:
    """The boxes [N, 4] that a phrase may refer to, their identity within the image, and crowd regions [M, 4]."""

    ids: tuple[int, ...]
    boxes_xyxy: Boxes
    crowds_xyxy: Boxes


class Truth(Protocol):
    """Hidden human boxes."""

    name: str

    def keys(self) -> frozenset[str]:
        """Keys of the samples that have truth."""

    def referents(self, labels: SampleLabels, phrase: int) -> HumanBoxes | str:
        """The human boxes that phrase number ``phrase`` may refer to (at least one), or the reason why unknown."""


class GoldTruth:
    """Exact truth: a human dataset of the same samples. A phrase refers to what the gold phrase means whose span of the
    same caption it overlaps most (the first one in a tie)."""

    def __init__(self, name: str, samples: Iterable[SampleLabels]) -> None:
        self.name = name
        # As text: an object for each phrase and box takes ten times as much. Questions come sample by sample.
        self._samples = {labels.key: sample_json(labels) for labels in samples}
        self._last: SampleLabels | None = None

    def keys(self) -> frozenset[str]:
        return frozenset(self._samples)

    def referents(self, labels: SampleLabels, phrase: int) -> HumanBoxes | str:
        gold = self._gold(labels.key)
        if gold is None or gold.caption != labels.caption:
            return NO_TRUTH_FOR_IMAGE
        spans = [(one.start, one.end) for one in gold.phrases]
        number = best_overlap(labels.phrases[phrase], spans)
        if number is None:
            return UNKNOWN_PHRASE
        ids = tuple(index for index, box in enumerate(gold.boxes) if box.phrase == number)
        if not ids:
            return ABSENT_CLASS
        # Phrases that mean the same thing ("a dog ... the dog") have equal boxes: one identity for each distinct box.
        first = {box.box_xyxy: index for index, box in reversed(list(enumerate(gold.boxes)))}
        boxes = [gold.boxes[index].box_xyxy for index in ids]
        return HumanBoxes(tuple(first[box] for box in boxes), as_boxes(boxes), as_boxes([]))

    def _gold(self, key: str) -> SampleLabels | None:
        if self._last is None or self._last.key != key:
            text = self._samples.get(key)
            self._last = None if text is None else SampleLabels.model_validate_json(text)
        return self._last


def best_overlap(phrase: SamplePhrase, spans: list[tuple[int, int]]) -> int | None:
    """Number of the span that shares most characters with the phrase, the first in a tie; None where none does."""
    shared = [min(phrase.end, end) - max(phrase.start, start) for start, end in spans]
    best = max(range(len(spans)), key=lambda number: (shared[number], -number), default=None)
    return best if best is not None and shared[best] > 0 else None


class CocoTruth:
    """Class boxes of photos, in COCO's JSON with ``instances.keys`` (sample key to image id) and annotated ``phrases``.

    The class of a phrase is that of the annotated phrase whose span of the same caption it overlaps most; else that of
    the longest ending up to its head noun ("hot dog" before "dog") which, among all annotated phrases and class names,
    names one class. A phrase may refer to every box of its class in its image. A phrase of no known class, or of a
    class that the image has no box of, is not judged: the annotators were asked about these classes only, and the
    ending may mean something else there ("a light" that is no traffic light).
    """

    def __init__(self, name: str, document: dict[str, Any]) -> None:
        self.name = name
        instances = document["instances"]
        self._images: dict[str, int] = {str(key): image for key, image in instances["keys"].items()}
        self._class_names: dict[int, str] = {one["id"]: one["name"] for one in instances["categories"]}
        self._boxes: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
        for annotation in instances["annotations"]:
            self._boxes[annotation["image_id"], self._class_names[annotation["category_id"]]].append(annotation)
        self._phrases = {(one["image_id"], one["caption"]): one["phrases"] for one in document["phrases"]}
        self._endings = _endings(document["phrases"], self._class_names.values())

    def keys(self) -> frozenset[str]:
        return frozenset(self._images)

    def referents(self, labels: SampleLabels, phrase: int) -> HumanBoxes | str:
        image = self._images.get(labels.key)
        if image is None:
            return NO_TRUTH_FOR_IMAGE
        class_name = self.class_of(image, labels.caption, labels.phrases[phrase])
        if class_name is None:
            return UNKNOWN_PHRASE
        annotations = self._boxes.get((image, class_name), [])
        single = [one for one in annotations if not one["iscrowd"]]
        if not single:
            return ABSENT_CLASS
        crowds = [one for one in annotations if one["iscrowd"]]
        return HumanBoxes(tuple(one["id"] for one in single), _boxes(single), _boxes(crowds))

    def class_of(self, image: int, caption: str, phrase: SamplePhrase) -> str | None:
        """The class that a phrase names, or None."""
        annotated = self._phrases.get((image, caption), [])
        number = best_overlap(phrase, [(one["start"], one["end"]) for one in annotated])
        if number is not None:
            return str(annotated[number]["category"])
        words = _up_to_head(phrase)
        for length in range(min(LONGEST_ENDING_WORDS, len(words)), 0, -1):
            if (found := self._endings.get(" ".join(words[-length:]))) is not None:
                return found
        return self._endings.get(phrase.head_lemma)


def _boxes(annotations: list[dict[str, Any]]) -> Boxes:
    corners = [(x, y, x + width, y + height) for x, y, width, height in (one["bbox"] for one in annotations)]
    return as_boxes(corners)


def _endings(captions: list[dict[str, Any]], class_names: Iterable[str]) -> dict[str, str]:
    """Endings of annotated phrases and of class names, each with the class it names nearly always."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    named = [(one["phrase"], one["category"]) for caption in captions for one in caption["phrases"]]
    for text, class_name in [*named, *((name, name) for name in class_names)]:
        words = text.lower().split()
        for length in range(1, min(LONGEST_ENDING_WORDS, len(words)) + 1):
            votes[" ".join(words[-length:])][class_name] += 1
    best = {ending: counts.most_common(1)[0] for ending, counts in votes.items()}
    return {ending: name for ending, (name, count) in best.items() if count >= MIN_ENDING_SHARE * votes[ending].total()}


def _up_to_head(phrase: SamplePhrase) -> list[str]:
    """The words of a phrase up to its head noun ("a dog in a field", head "dog", gives "a dog"); all where the head's
    form is not found in it ("people", head "person")."""
    words = phrase.text.lower().split()
    for number, word in enumerate(words):
        if word.startswith(phrase.head_lemma) and len(word) <= len(phrase.head_lemma) + 2:
            return words[: number + 1]
    return words


def read_coco_truth(path: str) -> CocoTruth:
    """The truth in a JSON file. ValueError where it has not the parts of :class:`CocoTruth`."""
    store, name = file_in_store(path)
    try:
        return CocoTruth(name, json.loads(store.read(name, MAX_JSON_BYTES)))
    except FileNotFoundError:
        raise ValueError(
            f"the truth {path} does not exist; give a JSON file, or the folder of a human dataset"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the truth {path} is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the truth {path} is not COCO's JSON with the parts 'instances' (images, annotations, categories, keys) "
            f"and 'phrases': {type(error).__name__} {error}"
        ) from None
