"""Files of a store that become whole or stay absent: digests, atomic writes, locks, one small file moved by many."""
