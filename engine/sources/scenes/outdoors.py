"""How buildings, plants, things of the sky and plain shapes are drawn."""

from __future__ import annotations

from engine.sources.scenes.brush import MAIN, Brush, arc, smooth, star


def house(b: Brush) -> None:
    b.rectangle(0.68, 0.12, 0.8, 0.4, "steel")
    b.rectangle(0.12, 0.44, 0.88, 0.96)
    b.polygon([(0.0, 0.46), (0.5, 0.06 + b.jitter(0.04)), (1.0, 0.46)], "wood")
    b.rectangle(0.42, 0.64, 0.6, 0.96, "dark")
    for x in (0.2, 0.68):
        b.rectangle(x, 0.56, x + 0.14, 0.72, "glass")


def castle(b: Brush) -> None:
    b.rectangle(0.2, 0.46, 0.8, 0.96)
    for x in (0.28, 0.44, 0.6):
        b.rectangle(x, 0.38, x + 0.1, 0.48)
    for x in (0.12, 0.88):
        b.rectangle(x - 0.12, 0.34, x + 0.12, 0.96)
        b.polygon([(x - 0.14, 0.34), (x, 0.04), (x + 0.14, 0.34)], "rose")
    b.polygon([*arc(0.5, 0.74, 0.12, 0.14, 180, 360), (0.62, 0.96), (0.38, 0.96)], "ink")


def lighthouse(b: Brush) -> None:
    b.polygon([(0.38, 0.28), (0.62, 0.28), (0.72, 0.98), (0.28, 0.98)])
    b.polygon([(0.36, 0.5), (0.65, 0.5), (0.67, 0.66), (0.33, 0.66)], "snow")
    b.rectangle(0.38, 0.14, 0.62, 0.28, "gold")
    b.polygon([(0.32, 0.15), (0.5, 0.0), (0.68, 0.15)], "ink")
    b.line([(0.3, 0.29), (0.7, 0.29)], 0.03, "ink")


def tent(b: Brush) -> None:
    b.polygon([(0.0, 0.9), (0.5, 0.12), (1.0, 0.9)])
    b.polygon([(0.34, 0.9), (0.5, 0.3), (0.66, 0.9)], "ink")
    b.line([(0.46, 0.05), (0.5, 0.12), (0.54, 0.05)], 0.025)


def windmill(b: Brush) -> None:
    b.polygon([(0.38, 0.36), (0.62, 0.36), (0.74, 0.98), (0.26, 0.98)])
    b.polygon([(0.36, 0.37), (0.5, 0.22), (0.64, 0.37)], "wood")
    b.rectangle(0.44, 0.8, 0.56, 0.98, "ink")
    turn = b.jitter(40)
    for quarter in (45, 135, 225, 315):
        tip = arc(0.5, 0.36, 0.42, 0.42, quarter + turn - 8, quarter + turn + 8)
        b.polygon([(0.5, 0.36), tip[0], tip[-1]], "snow")
    b.dot(0.5, 0.36, 0.04)


def bridge(b: Brush) -> None:
    b.polygon(
        [(0.0, 0.38), (1.0, 0.38), (1.0, 0.8), (0.84, 0.8), *arc(0.5, 0.8, 0.34, 0.3, 0, -180), (0.16, 0.8), (0.0, 0.8)]
    )
    b.line([(0.0, 0.28), (1.0, 0.28)], 0.03)
    for x in (0.04, 0.27, 0.5, 0.73, 0.96):
        b.line([(x, 0.28), (x, 0.4)], 0.025)


def tree(b: Brush) -> None:
    b.polygon([(0.43, 0.5), (0.57, 0.5), (0.62, 0.98), (0.38, 0.98)], "wood")
    for x, y, radius in ((0.3, 0.42, 0.22), (0.7, 0.42, 0.22), (0.5, 0.24, 0.24), (0.5, 0.46, 0.2)):
        b.oval(x + b.jitter(0.03), y, radius, radius)
    b.oval(0.5, 0.38, 0.24, 0.18, outline=False)


def pine(b: Brush) -> None:
    b.rectangle(0.44, 0.82, 0.56, 0.99, "wood")
    for top, bottom, half in ((0.42, 0.84, 0.36), (0.2, 0.58, 0.28), (0.0, 0.34, 0.2)):
        b.polygon([(0.5, top), (0.5 + half, bottom), (0.5 - half, bottom)])


def palm(b: Brush) -> None:
    b.line(smooth([(0.42, 0.97), (0.46, 0.7), (0.54, 0.36)], closed=False), 0.07, "wood")
    for x, y in ((0.04, 0.5), (0.1, 0.22), (0.4, 0.02), (0.8, 0.08), (1.0, 0.34), (0.92, 0.58)):
        b.polygon(
            smooth([(0.54, 0.34), ((0.54 + x) / 2, (0.3 + y) / 2 - 0.12), (x, y), ((0.54 + x) / 2, (0.34 + y) / 2)])
        )


def flower(b: Brush) -> None:
    b.line(smooth([(0.5, 0.4), (0.52 + b.jitter(0.04), 0.7), (0.5, 0.98)], closed=False), 0.035, "leaf")
    b.polygon(smooth([(0.5, 0.84), (0.62, 0.66), (0.82, 0.64), (0.7, 0.8)]), "leaf")
    for x, y in arc(0.5, 0.3, 0.19, 0.19, 0, 300)[::4]:
        b.oval(x, y, 0.125, 0.125)
    b.oval(0.5, 0.3, 0.11, 0.11, "gold")


def cactus(b: Brush) -> None:
    b.line(smooth([(0.5, 0.62), (0.2, 0.6), (0.18, 0.36)], closed=False), 0.13, MAIN)
    b.line(smooth([(0.5, 0.5), (0.8, 0.48), (0.82, 0.26)], closed=False), 0.13, MAIN)
    b.line([(0.5, 0.12), (0.5, 0.76)], 0.19, MAIN)
    b.polygon([(0.26, 0.76), (0.74, 0.76), (0.68, 0.98), (0.32, 0.98)], "wood")
    for y in (0.2, 0.36, 0.52):
        b.line([(0.5, y), (0.5, y + 0.06)], 0.014, "snow")


def leaf(b: Brush) -> None:
    b.line([(0.5, 0.8), (0.5, 1.0)], 0.03, "wood")
    b.polygon(
        smooth([(0.5, 0.0), (0.72, 0.2), (0.8, 0.5), (0.66, 0.76), (0.5, 0.88), (0.34, 0.76), (0.2, 0.5), (0.28, 0.2)])
    )
    b.line([(0.5, 0.1), (0.5, 0.84)], 0.016)
    for y in (0.3, 0.48, 0.64):
        b.line([(0.32, y - 0.06), (0.5, y + 0.06), (0.68, y - 0.06)], 0.014)


def mountain(b: Brush) -> None:
    b.polygon([(0.0, 0.86), (0.4, 0.16), (0.58, 0.46), (0.7, 0.3), (1.0, 0.86)])
    b.polygon([(0.4, 0.16), (0.52, 0.36), (0.46, 0.42), (0.4, 0.36), (0.34, 0.43), (0.27, 0.38)], "snow")


def sun(b: Brush) -> None:
    b.polygon(star(0.5, 0.5, 0.5, 0.34, 12, b.jitter(15)))
    b.oval(0.5, 0.5, 0.29, 0.29, "light")


def moon(b: Brush) -> None:
    b.polygon([*arc(0.46, 0.5, 0.44, 0.46, -60, -300), *arc(0.66, 0.5, 0.32, 0.36, -240, -120)])


def cloud(b: Brush) -> None:
    for x, y, radius in ((0.2, 0.6, 0.17), (0.8, 0.6, 0.17), (0.38, 0.44, 0.2), (0.62, 0.42, 0.22)):
        b.oval(x, y, radius, radius)
    b.rectangle(0.2, 0.52, 0.8, 0.76)
    b.oval(0.5, 0.56, 0.34, 0.19, outline=False)


def star_shape(b: Brush) -> None:
    b.polygon(star(0.5, 0.53, 0.5, 0.21, 5))


def heart(b: Brush) -> None:
    b.polygon(
        smooth(
            [
                (0.5, 0.26),
                (0.68, 0.08),
                (0.94, 0.2),
                (0.92, 0.5),
                (0.7, 0.74),
                (0.5, 0.96),
                (0.3, 0.74),
                (0.08, 0.5),
                (0.06, 0.2),
                (0.32, 0.08),
            ]
        )
    )


def circle(b: Brush) -> None:
    b.oval(0.5, 0.5, 0.44, 0.44)


def square(b: Brush) -> None:
    b.rectangle(0.1, 0.1, 0.9, 0.9)


def triangle(b: Brush) -> None:
    b.polygon([(0.5, 0.06), (0.98, 0.88), (0.02, 0.88)])


def cross(b: Brush) -> None:
    b.polygon(
        [
            (0.36, 0.04),
            (0.64, 0.04),
            (0.64, 0.36),
            (0.96, 0.36),
            (0.96, 0.64),
            (0.64, 0.64),
            (0.64, 0.96),
            (0.36, 0.96),
            (0.36, 0.64),
            (0.04, 0.64),
            (0.04, 0.36),
            (0.36, 0.36),
        ]
    )


def arrow(b: Brush) -> None:
    b.polygon([(0.0, 0.38), (0.56, 0.38), (0.56, 0.14), (1.0, 0.5), (0.56, 0.86), (0.56, 0.62), (0.0, 0.62)])


def ring(b: Brush) -> None:
    b.line(arc(0.5, 0.5, 0.34, 0.34, 0, 360), 0.16, MAIN)


def flag(b: Brush) -> None:
    b.line([(0.14, 0.02), (0.14, 0.98)], 0.05, "wood")
    wave = b.jitter(0.05)
    b.polygon(
        [
            *smooth([(0.16, 0.08), (0.42, 0.04 + wave), (0.7, 0.12), (0.98, 0.06)], closed=False),
            *smooth([(0.98, 0.5), (0.7, 0.56), (0.42, 0.48 + wave), (0.16, 0.52)], closed=False),
        ]
    )
