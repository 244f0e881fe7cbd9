"""What the end of each command's ``--help`` shows: how it is called, the usual way first. Tests parse every line."""

from __future__ import annotations

_RETRAIN = "--recipe recipes/retrain.yaml"

EXAMPLES = {
    "label": (
        "path/to/tars --out my-dataset",
        "photos --out my-dataset",
        "pairs.parquet --out my-dataset --set unit_size=2000 --set teacher.checkpoint=glip-t.pth",
        "'s3://bucket/{00000..00099}.tar' --plan",
    ),
    "verify": ("my-dataset",),
    "dedupe": ("my-dataset", "my-dataset --by pair"),
    "ground": ('photo.jpg "a red car and two dogs" --out annotated.png',),
    "generation": (
        "--recipe recipes/photos.yaml --out runs/photos",
        "--recipe recipes/demo.yaml --out runs/series --generations 3",
    ),
    "train": (
        "--recipe recipes/photos_openimages.yaml --out runs/student",
        "--recipe recipes/glip_l_27m.yaml --plan --gpus 64",
    ),
    "few-shot": ("--recipe recipes/few_shot_raccoon.yaml --out runs/few",),
    "evaluate": ("nano --on human-val --out eval", "runs/student/model --on human-val --set protocols=[coco]"),
    "robustness": (
        "runs/student/model --on human-val-phrases",
        "owlv2-folder --on human-val-phrases --set teacher.grounder=owlv2",
    ),
    "calibrate": (
        "nano --on human-val --out calibration.json",
        "--verdicts my-dataset --out calibration.json",
    ),
    "retrain": (f"{_RETRAIN} --if-due",),
    "schedule": (_RETRAIN, f"status {_RETRAIN}"),
    "report": ("my-dataset human --out my-report", "--compare old new --out my-report"),
    "diff": ("old new",),
    "import": (
        "coco annotations/instances_val2017.json --images val2017 --out human",
        "voc VOC2007 --split trainval --out human",
    ),
    "export": ("my-dataset --format coco --out coco --images", "my-dataset --format odvg --selection grit --out odvg"),
    "serve": ("my-dataset --reviewer ann --open",),
    "convert": ("glip_tiny_model_o365_goldg_cc_sbu.pth --out glip-t --tokenizer vocab.txt",),
    "promote": ("runs/photos --registry models", "nano --registry models"),
    "rollback": ("models --reason 'worse at night'",),
    "history": ("models",),
    "show": ("models", "models --version 3"),
    "mirror": ("models --model grounding",),
    "lineage": ("runs/photos", "registry:models@3"),
    "doctor": ("",),
}
