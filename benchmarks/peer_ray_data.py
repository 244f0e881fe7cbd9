"""The labelling job with Ray Data: `read_webdataset`, an actor pool that holds the models, `write_parquet`.

    python benchmarks/peer_ray_data.py ../shared/data/photos/web --out DIR --checkpoint

As Ray's guides to batch inference, execution settings and checkpointing have it: one model an actor, encoded pictures
in the object store, a row with an error instead of an exception. With `--checkpoint`, what is written is noted in two
phases (`ray.data.checkpoint`), and a second run leaves it out. `--skip-bad-blocks` goes on where something cannot be
read.
"""

from __future__ import annotations

import sys
from typing import Any

from peer_job import Labeller, peer_options

ROWS_A_BATCH = 50  # the teacher sorts them by shape; equal to a unit of the labelling job, and to a tar
HELPERS = 2  # CPUs of Ray besides the teachers': a task that reads or writes, and one that filters finished rows


class LabelBatch:
    """The actor: it opens the models once, then labels batch after batch."""

    def __init__(self, batch_size: int, size: int | None) -> None:
        self._labeller = Labeller(batch_size, size)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        captions = [one.decode(errors="replace") for one in batch["txt"]]
        rows = self._labeller(batch["__key__"].tolist(), batch["jpg"].tolist(), captions)
        return {"__key__": batch["__key__"], **{name: [row[name] for row in rows] for name in rows[0]}}


def arrow_filter() -> type[Any]:
    """A filter of finished rows that accepts the data frames of `read_webdataset`. Ray's own accepts only Arrow tables:
    with that a second run ends with an AssertionError (Ray 2.60)."""
    from ray.data.block import BlockAccessor
    from ray.data.checkpoint.checkpoint_filter import NumpyArrayBasedCheckpointFilter

    class ArrowFilter(NumpyArrayBasedCheckpointFilter):  # type: ignore[misc]
        def filter_rows_for_block(self, block: Any) -> Any:
            return super().filter_rows_for_block(BlockAccessor.for_block(block).to_arrow())

    return ArrowFilter


def main() -> int:
    parser = peer_options(__doc__)
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument("--skip-bad-blocks", action="store_true")
    options = parser.parse_args()
    import ray

    ray.init(address="local", num_cpus=options.workers + HELPERS, object_store_memory=1 << 30, include_dashboard=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1 if options.skip_bad_blocks else 0
    if options.checkpoint:
        context.checkpoint_config = {
            "id_column": "__key__",
            "checkpoint_path": f"{options.out.absolute()}.checkpoint",
            "delete_checkpoint_on_success": False,  # otherwise a third run would write everything again
            "checkpoint_filter_cls": arrow_filter(),
        }
    ray.data.read_webdataset(str(options.source), decoder=None, suffixes=["jpg", "txt"]).map_batches(
        LabelBatch,
        fn_constructor_args=(options.batch_size, options.size),
        batch_size=ROWS_A_BATCH,
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        num_cpus=1,
    ).write_parquet(str(options.out.absolute()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
