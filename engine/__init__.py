"""The stages of the engine, in the order data flows through them.

    source slice (schemas.records.UnitRef)
        │  sources/            read one unit
        ▼
    CaptionedImage             an encoded picture and its caption
        │  phrases.py          caption > noun phrases with character spans (spaCy)
        ▼
    ParsedCaption
        │  prompts.py          phrases > prompts inside the teacher's token budget
        ▼
    GroundingRequest
        │  (teacher/)          the grounding model, on Ray actors
        ▼
    Grounding                  every candidate box, raw scores
        │  selection.py        the floor when written; presets when read
        ▼
    PseudoLabel
        │  shards.py           tar + tables, the manifest last (artifacts.py: whole or absent)
        ▼
    dataset ◄── gold/          human annotations, the same format
        ├── mix/              human + pseudo as one weighted, seeded stream  ──►  (student/)
        ├── statistics/       counts, long tail, scores                      ──►  report
        ├── review/           what people said of its boxes                   ──►  every reader
        └── metrics/          AP, phrase recall, pseudo-label precision      ──►  promotion.py: the gate

All files, by what they are for:

    filtering    filters, caption_language, leaks, image_identity, image_hash
    duplicates   duplicates, near_duplicates: a view on what is read
    phrases      phrases, phrase_chunks, phrase_rules, phrase_lemmas; prompts
    selecting    selection, selection_rules (of samples), selection_columns (of tables); calibrated_scores, calibration,
                 calibration_check: which score means which precision
    storage      artifacts, digests, local_files, folder_lock, leases, compare_and_swap, store_faults
    a dataset    shards, shard_files, shard_reader, annotation_rows, annotation_tables; committed, manifest_summary,
                 dataset_wholeness, repeated_keys, open_shards, sample_lookup
    questions    box_tables (the only file that imports DuckDB), box_batches, statistics/, label_diff; review/
    formats      sources/ and gold/ are read, exporters/ written
    running      stages (what one is), runner (the only file here that imports Ray), layout (which processes there are),
                 unit_flow (which of them gets which unit), unit_worker (what runs in one), unit_metrics, stopping
    models       mix/, few_shot; metrics/, baselines, promotion; registry/, retraining/
"""
