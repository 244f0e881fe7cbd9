"""A small table of synonyms, and of kinds of things that pictures show.

Written by hand for the nouns that captions and detection classes use most (COCO, LVIS, Objects365, OpenImages). It is
no dictionary: a name that is not here has no synonym and no kind. In: a lemma. Out: its synonyms, or the kinds that it
belongs to. Callers look up a name of several words as a whole, and its head.
"""

from __future__ import annotations

from functools import lru_cache

# The first name of a line is the kind, the rest are kinds of it. A name may stand in several lines; kinds nest.
KINDS = """
person: man woman boy girl child baby adult people player rider skier surfer skateboarder snowboarder cyclist driver
person: passenger pedestrian worker soldier officer chef waiter bride groom crowd audience athlete student teacher
person: doctor nurse farmer musician guitarist singer dancer lady guy gentleman lad kid toddler infant human couple
person: family team group spectator fan pitcher batter catcher umpire referee goalie jockey cowboy biker motorcyclist
man: guy gentleman boy groom
woman: lady girl bride
child: boy girl baby toddler
animal: dog cat horse cow sheep pig goat bird fish elephant bear zebra giraffe lion tiger monkey rabbit mouse squirrel
animal: deer turtle frog snake duck goose chicken donkey camel panda fox wolf herd flock insect butterfly bee livestock
dog: puppy hound terrier poodle bulldog
cat: kitten
horse: pony foal
cow: bull calf cattle ox
sheep: lamb ram
bird: duck goose chicken parrot pigeon seagull gull owl eagle swan penguin sparrow crow rooster hen turkey flamingo
bear: panda
vehicle: car truck bus van train tram motorcycle bicycle boat airplane helicopter tractor trailer ambulance taxi scooter
vehicle: carriage cart wagon jeep limousine suv pickup minivan ship ferry canoe kayak yacht sailboat
car: taxi sedan suv jeep limousine convertible van
truck: pickup lorry
boat: ship ferry canoe kayak yacht sailboat rowboat
airplane: jet jetliner airliner
train: locomotive tram subway
furniture: chair table sofa bed bench desk cabinet shelf stool armchair dresser nightstand bookcase wardrobe
chair: armchair stool recliner
table: desk nightstand
food: fruit vegetable bread cake pizza sandwich donut meat cheese salad soup pasta rice egg snack dessert meal dish
food: hamburger hotdog cookie pie noodle sushi taco pancake
fruit: apple banana orange strawberry grape lemon pear peach pineapple watermelon cherry berry mango melon
vegetable: carrot broccoli tomato potato onion pepper cucumber lettuce corn cabbage
dessert: cake pie cookie donut cupcake
clothing: shirt pants dress skirt jacket coat hat shoe sock tie suit sweater shorts jeans glove scarf uniform vest
clothing: blouse hoodie belt cap helmet robe
hat: cap helmet beanie
shoe: boot sneaker sandal heel
shirt: blouse tshirt t-shirt
dishware: plate bowl cup glass mug fork knife spoon saucer
cup: mug
glass: goblet wineglass
plant: tree flower bush grass shrub houseplant cactus palm vine
flower: rose tulip daisy sunflower orchid
building: house church tower barn skyscraper shed castle hut cabin garage
house: cabin cottage hut
ball: football basketball baseball soccer-ball volleyball
sport: football basketball baseball tennis
computer: laptop
toy: doll teddy
bag: backpack handbag purse suitcase luggage briefcase
container: box bottle jar basket bucket bin can vase bowl cup
light: lamp lantern streetlight
drink: wine beer coffee tea juice water milk
instrument: guitar piano violin drum trumpet
"""
# Names of one thing.
SYNONYMS = """
sofa couch | bicycle bike | motorcycle motorbike | airplane plane aeroplane aircraft | tv television televisor
cellphone phone telephone smartphone | fridge refrigerator | donut doughnut | automobile car | picture photo painting
child kid | human person individual | lady woman | guy man | cow cattle | rug carpet mat | couch settee | lorry truck
garbage trash rubbish | bin trashcan | purse handbag | road street | sneaker trainer | sweater jumper pullover
hamburger burger | hotdog frankfurter | luggage suitcase baggage | stove oven | faucet tap | mug cup | puppy pup
kitten kitty | bunny rabbit | soccer football | pants trousers | spectacles eyeglasses glasses | shades sunglasses
seagull gull | bookcase bookshelf | monitor screen display | notebook laptop | stroller pram | desk table
"""


@lru_cache(maxsize=1)
def _parents() -> dict[str, frozenset[str]]:
    parents: dict[str, set[str]] = {}
    for line in KINDS.strip().splitlines():
        kind, _, members = line.partition(": ")
        for member in members.split():
            parents.setdefault(member, set()).add(kind)
    return {name: frozenset(kinds) for name, kinds in parents.items()}


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, frozenset[str]]:
    sets: dict[str, frozenset[str]] = {}
    for line in SYNONYMS.strip().splitlines():
        for group in line.split(" | "):
            for name in group.split():
                sets[name] = sets.get(name, frozenset()) | frozenset(group.split())
    return sets


def synonyms_of(lemma: str) -> frozenset[str]:
    """The synonyms of a lemma, including itself."""
    return _synonyms().get(lemma, frozenset()) | {lemma}


def kinds_of(lemma: str) -> frozenset[str]:
    """All kinds that a thing belongs to, by any of its names, and the kinds of those; without the lemma itself."""
    found: set[str] = set()
    waiting = list(synonyms_of(lemma))
    while waiting:
        for kind in _parents().get(waiting.pop(), ()):
            if kind not in found:
                found.add(kind)
                waiting.append(kind)
    return frozenset(found - {lemma})
