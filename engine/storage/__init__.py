"""Files of a store that are whole or absent: digests, atomic writes, locks, and compare-and-swap of a small file."""
