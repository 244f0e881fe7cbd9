"""A Ray on this machine that exports its metrics, as a Prometheus finds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray_cluster import free_port


@contextmanager
def scraped_ray() -> Iterator[int]:
    """One CPU; the port on loopback where metrics are found, at most half a second old. Needs ``ray[default]``."""
    import ray

    port = free_port()
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 << 20,
        _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 500},
    )
    try:
        yield port
    finally:
        ray.shutdown()
