"""The lemma of a noun: a table of irregular forms first, then the spelling rules of the English plural.

In: a word form and whether it is tagged plural. Out: its lower-case lemma. A lemmatiser would need a model or a package
of tables only for the lemma of one noun; and with our own rules every spaCy pipeline gives the same lemmas.
"""

from __future__ import annotations

from functools import lru_cache

PLURALS = """
men man / women woman / children child / grandchildren grandchild / people person / teeth tooth / feet foot
geese goose / mice mouse / oxen ox / dice die / sheep sheep / deer deer / fish fish / aircraft aircraft
species species / series series / buses bus / busses bus / gases gas / lenses lens / irises iris / skis ski
taxis taxi / axes axe / cacti cactus / fungi fungus / larvae larva / bases base / leaves leaf / knives knife
wolves wolf / shelves shelf / bookshelves bookshelf / scarves scarf / calves calf / loaves loaf / halves half
hooves hoof / elves elf / wives wife / housewives housewife / thieves thief / lives life / cookies cookie
movies movie / brownies brownie / hoodies hoodie / selfies selfie / smoothies smoothie / veggies veggie
zombies zombie / birdies birdie / doggies doggie / kiddies kiddie / pinkies pinkie / budgies budgie
hippies hippie / rookies rookie / genies genie / prairies prairie / shoes shoe / horseshoes horseshoe
snowshoes snowshoe / canoes canoe / toes toe / headaches headache / moustaches moustache / mustaches mustache
"""
# Plural only in form: a pair of them is one thing.
ONLY_PLURAL = """
scissors pants jeans shorts trousers pajamas pyjamas tights leggings overalls clothes sunglasses eyeglasses goggles
binoculars tongs pliers headphones earphones headquarters goods troops surroundings politics economics
"""
# Endings that look like those of a plural, but are not.
SINGULARS = "bus gas lens iris tennis chess cactus octopus walrus christmas canvas atlas specimen regimen abdomen"

IRREGULAR: dict[str, str] = {
    **dict(pair.split() for line in PLURALS.strip().splitlines() for pair in line.split(" / ")),
    **{word: word for word in (ONLY_PLURAL + SINGULARS).split()},
}

# Signs that a tokenizer leaves on a word ("an elephant/"); not those that end a name ("Inc.", "C++", "dogs'").
CLINGING = '/\\|,;:"“”()[]*~_='


@lru_cache(maxsize=65536)
def noun_lemma(form: str, plural: bool) -> str:
    """Return the lower-case lemma of a noun, without clinging signs; a form that no rule covers is its own lemma."""
    word = form.lower().strip(CLINGING) or form
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("men") and len(word) > 5:  # "snowmen", "policemen", also if tagged singular
        return word[:-2] + "an"
    return regular_singular(word) if plural else word


def regular_singular(word: str) -> str:
    """Undo the regular plural of a lower-case noun: "boxes" > "box", "berries" > "berry", "dogs" > "dog"."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes", "oes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word
