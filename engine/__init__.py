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

Beside each file above, the folder with what it is made of:

    filters, duplicates     filtering/     language, the guard of evaluation sets, hashes of pictures
    phrases                 noun_phrases/  grammar of the chunks, rules, lemmas; parser/ holds spaCy's weights
    selection, calibration  selecting/     boxes as columns, the rules on them, calibrated scores
    artifacts               storage/       digests, atomic files, many reads at once, locks, leases, compare-and-swap
    shards                  dataset/       files, reader and tables of a dataset; committed units, wholeness, look-up
    runner                  running/       stages, cores, layout of processes, flow of units, workers, metrics, stopping

And what asks, reads, writes or keeps:

    box_tables (the only file that imports DuckDB), box_batches, label_diff: questions to the boxes of a dataset
    sources/ and gold/ are formats read, exporters/ formats written; few_shot takes a few pictures of a dataset
    view is a dataset as every reader sees it: without duplicates, verdicts first, the selection after them;
    view.read_dataset gives its samples one by one
    registry/ keeps models, retraining/ says when to train the next; made_by is what each thing says of its maker
"""
