"""The help and its examples, the answers to slips, and that no command line starts slowly."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.selection import Selection, resolve_selection
from engine.sources import SOURCES
from pipelines.cli import main
from pipelines.commands.command_line import command_line
from pipelines.commands.examples import EXAMPLES
from schemas.recipes import LabelRecipe, load_recipe

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SLIPS = {
    "a command": (["lable", "x"], "no command 'lable'; did you mean 'label'?"),
    "an option": (["label", "x", "--ouut", "y"], "no option '--ouut'; did you mean '--out'?"),
    "an option with its value": (["label", "x", "--ouut=y"], "did you mean '--out'?"),
    "a format": (["import", "coko", "a", "--out", "b"], "no format 'coko'; did you mean 'coco'?"),
    "a format like no other": (["export", "a", "--format", "qq", "--out", "b"], "no --format 'qq'; there are: coco, "),
    "a glob that the shell has opened": (
        ["label", "a.tar", "b.tar", "--out", "x"],
        "more arguments than it takes: b.tar",
    ),
    "a word for a number": (["label", "x", "--workers", "many"], "wanted a whole number from 1 up, not 'many'"),
    "a seed below zero": (["label", "x", "--plan-seed", "-1"], "wanted a whole number from 0 up, not '-1'"),
    "workers in one process": (["label", "x", "--inline", "--workers", "2"], "not allowed with argument --inline"),
    "a URL for a folder": (["train", "--recipe", "x", "--out", "s3://b/run"], "wanted a path on this machine"),
    "a score that is none": (["robustness", "nano", "--on", "x", "--min-score", "50"], "from 0 to below 1"),
    "fields that are none": (["label", "--fields", "colour"], "no field begins with 'colour'"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line_that_names_what_is_meant_and_the_help(
    slip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = SLIPS[slip]
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert expected in error
    assert error.count("\n") == 1
    assert error.rstrip().endswith("--help")


def test_a_slip_is_told_in_json_to_those_who_asked_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["evaluate", "--json", "--bogus"], ["diff", "old", "--json"], ["labl", "--json"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert (stopped.value.code, document["status"]) == (2, 2)
        assert document["error"] in told.err


MISSING = {
    "no source": (["label", "--out", "x"], "nothing to label: give a source"),
    "nowhere to write": (["label", "tars"], "nowhere to write: give --out FOLDER, or --plan"),
    "nowhere to train": (["train", "--recipe", "x.yaml"], "nowhere to write: give --out FOLDER, or --plan"),
    "a plan's price": (["label", "tars", "--out", "x", "--price-per-hour", "2"], "--price-per-hour without --plan"),
    "a plan's GPUs": (["train", "--recipe", "x.yaml", "--out", "x", "--gpus", "8"], "--gpus without --plan"),
    "nothing to evaluate on": (["evaluate", "nano"], "nothing to evaluate on: give --on DATASET"),
    "nothing to calibrate on": (["calibrate", "nano", "--out", "c.json"], "command line: give `datasets` (--on)"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_said_with_what_to_give(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = MISSING[what]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_a_selection_that_is_no_yaml_is_told_in_a_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old", "new", "--selection", "{min_score: 0.4"]) == 2
    told = "--selection '{min_score: 0.4' is not YAML: expected ',' or '}', but got '<stream end>'"
    assert capsys.readouterr().err == f"glip-engine: error: {told}\n"


def test_without_arguments_the_help_is_shown_and_nothing_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "pseudo-label captioned images" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"glip-engine \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_example_of_a_help_is_a_command_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    shown = [line.strip() for line in capsys.readouterr().out.partition("examples:\n")[2].splitlines()]
    assert len(shown) == len(EXAMPLES[command])
    for line in shown:
        command_line().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_the_documentation_is_one(page: Path) -> None:
    for line in _command_lines(page.read_text(encoding="utf-8")):
        try:
            command_line().parse_args(line)
        except SystemExit as ended:  # of --fields, which has done all when it is read
            if ended.code:
                pytest.fail(f"{line} ends with status {ended.code}")


def _command_lines(text: str) -> list[list[str]]:
    """Arguments of what stands in code blocks after ``glip-engine``, also behind variables or another command."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    blocks += re.findall(r"^ {4}\S.*$", text, flags=re.MULTILINE)
    found = re.findall(r"^\s*(?:\w+=\S+ |.* -- +)?(?:\S*/)?glip-engine (.*)", "\n".join(blocks), flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in found]


def test_the_fields_of_a_recipe_are_listed_with_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["label", "--fields", "unit"])
    assert stopped.value.code == 0
    name, meaning = capsys.readouterr().out.splitlines()
    assert name == "unit_size  (integer; default 200)"
    assert meaning.startswith("    Samples in a unit")


def test_what_several_kinds_of_a_source_have_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["label", "--fields", "source"])
    listed = capsys.readouterr().out.splitlines()
    assert [line for line in listed if line.startswith(("source.kind ", "source.carry "))] == [
        "source.carry  (list of string; default []; for kind: coco, folder, parquet, urls, webdataset)",
        f"source.kind  ({' or '.join(sorted(SOURCES))}; required)",
    ]
    with pytest.raises(SystemExit):
        main(["generation", "--fields", "gold[].scenes.kind"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == 'gold[].scenes.kind  ("scenes"; default "scenes")', "there is no other, so it need not be given"


def test_the_numbers_of_a_selection_are_listed_under_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--fields", "mix[].selection."])
    listed = {line.partition("  (")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")}
    assert listed == {f"mix[].selection.{name}" for name in Selection.model_fields if name != "calibrated"}
    with pytest.raises(SystemExit):
        main(["label", "--fields", "selection.min_score"])
    name, meaning = capsys.readouterr().out.splitlines()
    assert (name, meaning) == (
        "selection.min_score  (number or null; default null)",
        "    A box scores more than this.",
    )
    recipe = load_recipe(LabelRecipe, None, ("selection.min_score=0.25",), {"source": {"kind": "scenes"}})
    assert resolve_selection(recipe.selection) == Selection(min_score=0.25)


STARTS = {
    "the help": "from pipelines.commands.command_line import command_line; command_line(); "
    "heavy |= {'numpy', 'pyarrow', 'rich'}",
    "what shows a dataset": "import pipelines.report, pipelines.serve, pipelines.diff, pipelines.export",
    "what checks": "import pipelines.verify, pipelines.dedupe, pipelines.schedule",
    "the registry": "import pipelines.registry, pipelines.lineage.tree, pipelines.mirror",
}


@pytest.mark.parametrize("what", STARTS)
def test_what_needs_no_model_starts_without_torch_and_ray(what: str) -> None:
    heavy = "{'torch', 'ray', 'spacy', 'transformers', 'pandas'}"
    program = f"import sys; heavy = {heavy}; {STARTS[what]}; print(*heavy & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


READERS_OF_RECIPES = {
    "label": "--out x",
    "train": "--out x",
    "few-shot": "--out x",
    "generation": "--out x",
    "evaluate": "nano --on x",
    "calibrate": "nano --on x --out x",
    "retrain": "",
    "schedule": "",
}


def test_a_recipe_that_is_not_there_is_told_before_anything_heavy_is_imported() -> None:
    lines = [[name, *rest.split(), "--recipe", "nowhere.yaml"] for name, rest in READERS_OF_RECIPES.items()]
    heavy = "{'torch', 'ray', 'spacy', 'transformers', 'pandas'}"
    program = "import sys; from pipelines.commands.command_line import run; "
    program += f"print(*({{line[0]: (run(line), *{heavy} & set(sys.modules)) for line in {lines}}}).items(), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [str((name, (2,))) for name in READERS_OF_RECIPES], found.stderr
