"""What crosses a process or a disk: records, shard members, manifests, recipes, reports.

``records`` is the flow from top to bottom, ``shards`` the dataset on disk, ``recipes`` what a user writes,
``reports`` what a user reads. Nothing here opens a file or imports another room.
"""
