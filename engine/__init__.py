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

``stages.py`` says what a stage is; ``runner.py`` runs them, on Ray actors or inline, and is the only file here that
imports Ray (``unit_flow.py``: which actor gets which unit; ``unit_worker.py``: what runs in its worker processes;
``unit_row.py``: a unit between two of them; ``stopping.py``: when no further one is begun).
"""
