"""The kinds of things in the scenes world: how each is called, drawn, coloured and placed, from common to rare.

The order of the table is the Zipf rank. Names are nouns that a caption may use; the first is the kind's own, and two
kinds may share another one ("person"), which a caption avoids where it would be ambiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.sources.scenes import creatures, food, household, outdoors, vehicles
from engine.sources.scenes.brush import Brush


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing. ``size`` is relative to the picture's usual thing, ``turn`` the largest tilt in degrees,
    ``zone`` where it is at home ("sky", "ground" or "any"), ``carries`` is how far down its surface is, where things
    can stand on it (0 its top edge).
    Where ``tells_colour`` is false the main colour is only a part of the thing ("a red man" has a red shirt): it is one
    of ``colours`` and no caption names it. ``mass`` nouns have no singular ("grapes")."""

    name: str
    draw: Callable[[Brush], None]
    colours: tuple[str, ...]
    also: tuple[str, ...] = ()
    size: float = 1.0
    turn: float = 8.0
    zone: str = "ground"
    carries: float | None = None
    tells_colour: bool = True
    mass: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All nouns for this kind, its own first."""
        return (self.name, *self.also)


_IRREGULAR = {
    "fish": "fish", "sheep": "sheep", "man": "men", "woman": "women", "person": "people", "leaf": "leaves",
    "snowman": "snowmen", "bus": "buses", "grapes": "grapes", "cherry": "cherries", "butterfly": "butterflies",
    "couch": "couches", "puppy": "puppies", "bunny": "bunnies", "lady": "ladies", "cross": "crosses",
    "fortress": "fortresses", "cactus": "cacti", "coach": "coaches",
}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a noun of the table; of several words the last one changes."""
    words = noun.split(" ")
    last = words[-1]
    words[-1] = _IRREGULAR.get(last, last + "s")
    return " ".join(words)


_TABLE = (
    Kind("dog", creatures.dog, ("brown", "white", "black"), ("puppy",)),
    Kind("car", vehicles.car, ("red", "blue", "white", "black"), ("automobile",), 1.25, 5),
    Kind("man", creatures.man, ("blue", "red", "green", "white"), ("person",), 1.25, 6, tells_colour=False),
    Kind("tree", outdoors.tree, ("green", "green", "orange"), (), 1.4, 5),
    Kind("cat", creatures.cat, ("gray", "black", "orange"), ("kitten",)),
    Kind("house", outdoors.house, ("white", "yellow", "red"), ("home", "cottage"), 1.4, 3),
    Kind("woman", creatures.woman, ("purple", "red", "yellow"), ("person", "lady"), 1.25, 6, tells_colour=False),
    Kind("ball", household.ball, ("red", "blue", "orange"), (), 0.75, 180, "any"),
    Kind("chair", household.chair, ("brown", "blue", "green"), ("seat",), 1.0, 5, carries=0.5),
    Kind("bird", creatures.bird, ("blue", "red", "yellow"), (), 0.8, 15, "any"),
    Kind("table", household.table, ("brown", "white", "black"), ("desk",), 1.4, 3, carries=0.02),
    Kind("flower", outdoors.flower, ("pink", "red", "yellow", "purple"), ("blossom",), 0.85, 12),
    Kind("cup", household.cup, ("white", "blue", "green"), ("mug",), 0.75, 6),
    Kind("boat", vehicles.boat, ("blue", "red", "brown"), ("sailboat",), 1.15, 8),
    Kind("apple", food.apple, ("red", "green", "yellow"), (), 0.7, 20),
    Kind("star", outdoors.star_shape, ("yellow", "white", "orange"), (), 0.75, 36, "any"),
    Kind("bicycle", vehicles.bicycle, ("red", "blue", "black"), ("bike",), 1.2, 6),
    Kind("cloud", outdoors.cloud, ("white", "gray"), (), 1.1, 4, "sky"),
    Kind("fish", creatures.fish, ("orange", "blue", "turquoise"), (), 0.85, 25, "any"),
    Kind("hat", household.hat, ("black", "brown", "red"), (), 0.8, 15, "any"),
    Kind("horse", creatures.horse, ("brown", "white", "black"), ("pony",), 1.25, 5),
    Kind("book", household.book, ("red", "blue", "green"), (), 0.85, 15, "any"),
    Kind("sun", outdoors.sun, ("yellow", "orange"), (), 1.0, 30, "sky"),
    Kind("bottle", household.bottle, ("green", "blue", "brown"), (), 0.95, 12),
    Kind("airplane", vehicles.airplane, ("white", "gray", "blue"), ("plane", "jet"), 1.2, 20, "sky"),
    Kind("circle", outdoors.circle, ("red", "blue", "green", "purple"), ("disc",), 0.75, 0, "any"),
    Kind("bus", vehicles.bus, ("red", "yellow", "blue"), ("coach",), 1.35, 4, carries=0.01),
    Kind("umbrella", household.umbrella, ("red", "blue", "black"), (), 1.0, 25, "any"),
    Kind("sheep", creatures.sheep, ("white", "black"), ("lamb",), 1.0, 6),
    Kind("lamp", household.lamp, ("yellow", "orange", "white"), (), 0.95, 5),
    Kind("heart", outdoors.heart, ("red", "pink"), (), 0.7, 20, "any"),
    Kind("banana", food.banana, ("yellow", "green"), (), 0.8, 60),
    Kind("train", vehicles.train, ("black", "red", "green"), ("locomotive",), 1.35, 3),
    Kind("square", outdoors.square, ("blue", "red", "black"), (), 0.7, 15, "any"),
    Kind("clock", household.clock, ("red", "yellow", "turquoise"), (), 0.8, 10, "any"),
    Kind("truck", vehicles.truck, ("blue", "white", "orange"), ("lorry",), 1.35, 4, carries=0.01),
    Kind("butterfly", creatures.butterfly, ("orange", "blue", "purple"), (), 0.8, 35, "any"),
    Kind("shoe", household.shoe, ("red", "white", "black"), ("sneaker",), 0.8, 15),
    Kind("balloon", household.balloon, ("red", "pink", "yellow"), (), 1.0, 12, "sky"),
    Kind("sofa", household.sofa, ("brown", "gray", "red"), ("couch",), 1.35, 3, carries=0.42),
    Kind("rabbit", creatures.rabbit, ("white", "gray", "brown"), ("bunny",), 0.85, 8),
    Kind("moon", outdoors.moon, ("yellow", "white"), (), 0.85, 25, "sky"),
    Kind("cake", food.cake, ("pink", "brown", "white"), (), 0.95, 4),
    Kind("triangle", outdoors.triangle, ("green", "yellow", "orange"), (), 0.75, 180, "any"),
    Kind("guitar", household.guitar, ("brown", "red", "orange"), (), 1.15, 40, "any"),
    Kind("shirt", household.shirt, ("blue", "white", "red"), (), 0.9, 12, "any"),
    Kind("elephant", creatures.elephant, ("gray", "gray", "pink"), (), 1.35, 4),
    Kind("pizza", food.pizza, ("yellow", "orange"), (), 0.8, 60, "any", tells_colour=False),
    Kind("key", household.key, ("yellow", "gray", "brown"), (), 0.75, 60, "any"),
    Kind("bed", household.bed, ("blue", "white", "pink"), (), 1.4, 3, carries=0.5),
    Kind("carrot", food.carrot, ("orange", "orange", "purple"), (), 0.85, 50, "any"),
    Kind("castle", outdoors.castle, ("gray", "brown", "white"), ("fortress",), 1.4, 3),
    Kind("kite", household.kite, ("red", "purple", "turquoise"), (), 0.95, 25, "sky"),
    Kind("pine", outdoors.pine, ("green", "green", "turquoise"), ("pine tree", "tree"), 1.3, 4),
    Kind("backpack", household.backpack, ("blue", "green", "purple"), ("rucksack",), 0.9, 8),
    Kind("snowman", creatures.snowman, ("white", "white", "white"), (), 1.15, 6),
    Kind("mushroom", food.mushroom, ("red", "brown"), ("toadstool",), 0.75, 12),
    Kind("teapot", household.teapot, ("blue", "white", "turquoise"), ("kettle",), 0.85, 6),
    Kind("helicopter", vehicles.helicopter, ("green", "red", "yellow"), ("chopper",), 1.15, 12, "sky"),
    Kind("robot", creatures.robot, ("gray", "blue", "orange"), ("android",), 1.15, 6),
    Kind("gift", household.gift, ("green", "blue", "yellow"), ("present",), 0.85, 8, carries=0.2),
    Kind("pear", food.pear, ("green", "yellow"), (), 0.75, 25),
    Kind("turtle", creatures.turtle, ("green", "brown"), ("tortoise",), 0.95, 10),
    Kind("rocket", vehicles.rocket, ("white", "gray", "red"), ("spaceship",), 1.15, 35, "sky"),
    Kind("giraffe", creatures.giraffe, ("yellow", "orange"), (), 1.4, 4),
    Kind("flag", outdoors.flag, ("red", "blue", "green"), (), 1.05, 8, "any"),
    Kind("hammer", household.hammer, ("gray", "black", "red"), ("mallet",), 0.85, 60, "any"),
    Kind("penguin", creatures.penguin, ("black", "blue"), (), 0.95, 8),
    Kind("cactus", outdoors.cactus, ("green", "green"), (), 1.0, 5),
    Kind("tent", outdoors.tent, ("orange", "green", "blue"), (), 1.2, 3),
    Kind("vase", household.vase, ("blue", "white", "purple"), (), 0.9, 6),
    Kind("drum", household.drum, ("red", "blue"), (), 0.9, 10),
    Kind("crab", creatures.crab, ("red", "orange"), (), 0.9, 12),
    Kind("mountain", outdoors.mountain, ("gray", "brown", "purple"), ("hill",), 1.45, 3),
    Kind("tractor", vehicles.tractor, ("green", "red"), (), 1.2, 4),
    Kind("snake", creatures.snake, ("green", "yellow"), ("serpent",), 1.05, 20),
    Kind("cherry", food.cherry, ("red", "pink"), (), 0.75, 15, "any"),
    Kind("lighthouse", outdoors.lighthouse, ("red", "blue"), (), 1.4, 3),
    Kind("television", household.television, ("brown", "gray", "black"), ("tv",), 1.0, 5),
    Kind("arrow", outdoors.arrow, ("black", "red", "green"), (), 0.8, 180, "any"),
    Kind("hot air balloon", vehicles.hot_air_balloon, ("red", "yellow", "turquoise"), (), 1.3, 8, "sky"),
    Kind("snail", creatures.snail, ("brown", "pink", "yellow"), (), 0.8, 8),
    Kind("candle", household.candle, ("white", "red"), (), 0.85, 5),
    Kind("windmill", outdoors.windmill, ("white", "brown"), (), 1.4, 4),
    Kind("watermelon", food.watermelon, ("green",), ("melon",), 0.85, 25, tells_colour=False),
    Kind("ice cream", food.ice_cream, ("pink", "white", "brown"), (), 0.9, 20, "any"),
    Kind("palm", outdoors.palm, ("green", "green"), ("palm tree", "tree"), 1.35, 6),
    Kind("bucket", household.bucket, ("blue", "red", "yellow"), ("pail",), 0.85, 8),
    Kind("spider", creatures.spider, ("black", "brown"), (), 0.8, 45, "any"),
    Kind("leaf", outdoors.leaf, ("green", "orange", "brown"), (), 0.75, 60, "any"),
    Kind("bridge", outdoors.bridge, ("gray", "brown", "red"), (), 1.4, 2),
    Kind("grapes", food.grapes, ("purple", "green"), (), 0.85, 12, "any", mass=True),
    Kind("burger", food.burger, ("brown",), ("hamburger",), 0.85, 8, tells_colour=False),
    Kind("cross", outdoors.cross, ("red", "black"), (), 0.75, 20, "any"),
    Kind("ring", outdoors.ring, ("yellow", "gray"), (), 0.75, 0, "any"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
