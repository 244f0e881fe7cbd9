"""The published GLIP checkpoints: their names, and where they are (`GLIPModel/GLIP` on the Hugging Face hub).

In: a name. Out: its config and its file, without torch. The files come without a vocabulary; theirs is that of
bert-base-uncased. What is in them is read by :mod:`glip.published_weights`.
Source: the model zoo of GLIP (Li et al., CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

from glip.config import GLIPConfig
from glip.hub import HubFile

# GLIP-L with the state of its optimiser is some 5 GiB in 4,000 tensors.
MAX_FILE_BYTES = 16 * 2**30


@dataclass(frozen=True)
class PublishedModel:
    """A released model: what it is, and the file it is in."""

    config: GLIPConfig
    file: HubFile


def _released(name: str) -> HubFile:
    # No public text that we could read gives revision or digest of these files, so neither is claimed here: the user
    # brings the digest he trusts, or a file of his own.
    return HubFile(repository="GLIPModel/GLIP", name=name, revision=None, sha256=None, max_bytes=MAX_FILE_BYTES)


PUBLISHED: dict[str, PublishedModel] = {
    "glip-t": PublishedModel(GLIPConfig.tiny(), _released("glip_tiny_model_o365_goldg_cc_sbu.pth")),
    "glip-l": PublishedModel(GLIPConfig.large(), _released("glip_large_model.pth")),
}

VOCABULARY = HubFile(
    repository="google-bert/bert-base-uncased",
    name="vocab.txt",
    revision="86b5e0934494bd15c9632b12f734a8a67f723594",
    sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    max_bytes=231_508,
)
