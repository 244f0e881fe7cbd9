"""Caption-like pieces of treebank sentences keep gold trees."""

import random
from pathlib import Path

from pipelines.shipped.treebank import Sentence, caption_fragments, caption_like, read_conllu

CONLLU = """# text = I think the man isn't riding big waves in the sea.
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2\tthink\tthink\tVERB\tVBP\t_\t0\troot\t_\t_
3\tthe\tthe\tDET\tDT\t_\t4\tdet\t_\t_
4\tman\tman\tNOUN\tNN\t_\t7\tnsubj\t_\t_
5-6\tisn't\t_\t_\t_\t_\t_\t_\t_\t_
5\tis\tbe\tAUX\tVBZ\t_\t7\taux\t_\t_
6\tn't\tnot\tPART\tRB\t_\t7\tadvmod\t_\t_
7\triding\tride\tVERB\tVBG\t_\t2\tccomp\t_\t_
7.1\tghost\tghost\tNOUN\tNN\t_\t_\t_\t_\t_
8\tbig\tbig\tADJ\tJJ\t_\t9\tamod\t_\t_
9\twaves\twave\tNOUN\tNNS\t_\t7\tobj\t_\t_
10\tin\tin\tADP\tIN\t_\t12\tcase\t_\t_
11\tthe\tthe\tDET\tDT\t_\t12\tdet\t_\t_
12\tsea\tsea\tNOUN\tNN\t_\t7\tobl\t_\tSpaceAfter=No
13\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

"""


def text(sentence: Sentence) -> str:
    return "".join(word + " " * space for word, space in zip(sentence.words, sentence.spaces, strict=True)).strip()


def sentence(tmp_path: Path) -> Sentence:
    (tmp_path / "one.conllu").write_text(CONLLU)
    (only,) = read_conllu(tmp_path / "one.conllu")
    return only


def test_reading_gives_the_text_back_and_leaves_ellipsis_nodes_out(tmp_path: Path) -> None:
    read = sentence(tmp_path)
    assert text(read) == "I think the man isn't riding big waves in the sea."
    assert (read.arcs[1], read.heads[1]) == ("ROOT", 1)


def test_a_clause_loses_its_auxiliary_and_hangs_on_its_subject(tmp_path: Path) -> None:
    pieces = {text(piece): piece for piece in caption_fragments(sentence(tmp_path))}
    clause = pieces["the man n't riding big waves in the sea"]
    assert clause.words[clause.arcs.index("ROOT")] == "man"
    assert clause.arcs[clause.words.index("riding")] == "acl"


def test_every_variant_is_a_tree_with_one_root(tmp_path: Path) -> None:
    for variant in caption_like([sentence(tmp_path)] * 50, random.Random(3), fragment_rate=0.5):
        assert variant.arcs.count("ROOT") == 1
        for word in range(len(variant.words)):
            for _ in variant.words:
                word = variant.heads[word]
            assert variant.arcs[word] == "ROOT"


def test_the_same_seed_gives_the_same_variants(tmp_path: Path) -> None:
    many = [sentence(tmp_path)] * 20
    first, second = (list(caption_like(many, random.Random(7), 0.5)) for _ in range(2))
    assert first == second
