"""Files of a store that are whole or absent: digests, atomic writes, many reads at once, locks, compare-and-swap."""
