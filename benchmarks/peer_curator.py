"""The labelling job with NeMo Curator: a pipeline of three stages, one tar a task, and its checkpoint of sources.

    python benchmarks/peer_curator.py ../shared/data/photos/web --out DIR --checkpoint

As Curator's guides to custom stages, execution backends and resumable processing have it: the models are opened in the
stage's `setup`, the writer names its file by the source's, and with `--checkpoint` a second run leaves out the tars
that a run before has finished. Curator's own reader of pictures leaves captions out, so this stage reads the tar too.
Needs `nemo-curator` (1.4), which is no dependency of this project.
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import pandas as pd
from peer_job import Labeller, peer_options, tar_samples
from ray_cluster import free_port, ray_cluster

HELPERS = 2  # CPUs of Ray besides those of the teachers, for the stages that list and write files

# Xenna asks Ray for more at once than Ray allows by default; Curator's own Ray client sets these, too.
STATE_LIMITS = {"RAY_MAX_LIMIT_FROM_API_SERVER": "40000", "RAY_MAX_LIMIT_FROM_DATA_SOURCE": "40000"}


def main() -> int:
    parser = peer_options(__doc__)
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument("--executor", choices=("xenna", "ray-data"), default="xenna", help="the first is Curator's own")
    options = parser.parse_args()
    with ray_cluster() as cluster:  # Curator's checkpoint needs a cluster that exists before the pipeline
        cluster.environment |= STATE_LIMITS
        cluster.add_node(cpus=options.workers + HELPERS, dashboard_port=free_port())  # Xenna asks the dashboard
        os.environ.update(cluster.environment, RAY_ADDRESS=cluster.address)  # before the import of Ray, which reads it
        run_pipeline(options)
    return 0


def run_pipeline(options: argparse.Namespace) -> None:
    """Run the pipeline on the existing Ray cluster."""
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.backends.xenna import XennaExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.base import ProcessingStage
    from nemo_curator.stages.file_partitioning import FilePartitioningStage
    from nemo_curator.stages.resources import Resources
    from nemo_curator.stages.text.io.writer import ParquetWriter
    from nemo_curator.tasks import DocumentBatch, FileGroupTask

    class LabelTar(ProcessingStage[FileGroupTask, DocumentBatch]):
        """The stage that reads a tar and labels it."""

        name = "label_tar"
        resources = Resources(cpus=1.0)

        def num_workers(self) -> int:
            return int(options.workers)

        def setup(self, worker_metadata: Any = None) -> None:
            self._labeller = Labeller(options.batch_size, options.size)

        def process(self, task: FileGroupTask) -> DocumentBatch:
            keys, images, captions = zip(*tar_samples(task.data[0]), strict=True)
            rows = pd.DataFrame(self._labeller(keys, images, captions))
            return DocumentBatch(task.dataset_name, rows, _metadata=task._metadata, _stage_perf=task._stage_perf)

    stages = [
        FilePartitioningStage(str(options.source), files_per_partition=1, file_extensions=[".tar"]),
        LabelTar(),
        ParquetWriter(str(options.out)).with_(resources=Resources(cpus=0.5)),
    ]
    executor = XennaExecutor() if options.executor == "xenna" else RayDataExecutor()
    Pipeline("label", stages=stages).run(
        executor, checkpoint_path=f"{options.out}.checkpoint" if options.checkpoint else None
    )


if __name__ == "__main__":
    sys.exit(main())
