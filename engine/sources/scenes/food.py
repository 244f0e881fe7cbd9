"""How fruit, vegetables and dishes are drawn."""

from __future__ import annotations

from engine.sources.scenes.brush import Brush, arc, smooth


def apple(b: Brush) -> None:
    b.line([(0.5, 0.26), (0.54 + b.jitter(0.05), 0.06)], 0.035, "wood")
    b.polygon(smooth([(0.56, 0.16), (0.72, 0.04), (0.82, 0.1), (0.7, 0.2)]), "leaf")
    b.polygon(
        smooth(
            [
                (0.5, 0.26),
                (0.72, 0.18),
                (0.92, 0.38),
                (0.86, 0.7),
                (0.64, 0.94),
                (0.5, 0.9),
                (0.36, 0.94),
                (0.14, 0.7),
                (0.08, 0.38),
                (0.28, 0.18),
            ]
        )
    )
    b.oval(0.28, 0.42, 0.05, 0.1, "light", tilt=20, outline=False)


def banana(b: Brush) -> None:
    b.polygon(
        smooth(
            [(0.06, 0.24), (0.2, 0.58), (0.52, 0.76), (0.92, 0.66), (0.98, 0.74), (0.6, 0.98), (0.2, 0.86), (0.0, 0.46)]
        )
    )
    b.polygon([(0.02, 0.3), (0.02, 0.12), (0.09, 0.12), (0.11, 0.3)], "wood")


def pear(b: Brush) -> None:
    b.line([(0.5, 0.14), (0.56 + b.jitter(0.05), 0.0)], 0.035, "wood")
    b.polygon(
        smooth(
            [
                (0.5, 0.1),
                (0.62, 0.2),
                (0.66, 0.42),
                (0.84, 0.68),
                (0.7, 0.94),
                (0.5, 0.98),
                (0.3, 0.94),
                (0.16, 0.68),
                (0.34, 0.42),
                (0.38, 0.2),
            ]
        )
    )
    b.oval(0.34, 0.66, 0.05, 0.1, "light", tilt=15, outline=False)


def carrot(b: Brush) -> None:
    for x in (-0.14, 0.0, 0.14):
        b.polygon(smooth([(0.5, 0.3), (0.46 + x, 0.14), (0.5 + 1.4 * x, 0.0), (0.54 + x, 0.14)]), "leaf")
    b.polygon(smooth([(0.5, 0.24), (0.66, 0.32), (0.6, 0.6), (0.5, 1.0), (0.4, 0.6), (0.34, 0.32)]))
    for y, half in ((0.42, 0.07), (0.55, 0.05), (0.68, 0.03)):
        b.line([(0.5 - half, y), (0.5, y + 0.01)], 0.015)


def pizza(b: Brush) -> None:
    b.polygon([(0.5, 0.98), (0.06, 0.18), (0.94, 0.18)])
    b.polygon(smooth([(0.02, 0.2), (0.08, 0.06), (0.5, 0.0), (0.92, 0.06), (0.98, 0.2), (0.5, 0.15)]), "wood")
    for x, y in ((0.34, 0.34), (0.64, 0.36), (0.48, 0.6)):
        b.oval(x + b.jitter(0.03), y + b.jitter(0.03), 0.09, 0.09, "rose")


def cake(b: Brush) -> None:
    for x in (0.3, 0.5, 0.7):
        b.line([(x, 0.34), (x, 0.16)], 0.035, "snow")
        b.oval(x, 0.1, 0.03, 0.055, "gold")
    b.rectangle(0.04, 0.6, 0.96, 0.94)
    b.rectangle(0.18, 0.34, 0.82, 0.6)
    b.polygon(
        [(0.18, 0.34), (0.82, 0.34), (0.82, 0.42), (0.7, 0.46), (0.58, 0.41), (0.46, 0.47), (0.34, 0.41), (0.18, 0.45)],
        "cream",
    )


def ice_cream(b: Brush) -> None:
    b.polygon([(0.22, 0.44), (0.78, 0.44), (0.5, 1.0)], "wood")
    b.line([(0.36, 0.46), (0.58, 0.8)], 0.014)
    b.line([(0.64, 0.46), (0.42, 0.8)], 0.014)
    b.oval(0.34, 0.36, 0.19, 0.17)
    b.oval(0.66, 0.36, 0.19, 0.17)
    b.oval(0.5, 0.2, 0.2, 0.18)


def cherry(b: Brush) -> None:
    b.line(smooth([(0.24, 0.66), (0.36, 0.3), (0.6, 0.08)], closed=False), 0.028, "leaf")
    b.line(smooth([(0.74, 0.7), (0.7, 0.36), (0.6, 0.08)], closed=False), 0.028, "leaf")
    b.polygon(smooth([(0.6, 0.08), (0.78, 0.0), (0.96, 0.12), (0.78, 0.2)]), "leaf")
    b.oval(0.24, 0.76, 0.2, 0.2)
    b.oval(0.74, 0.8, 0.19, 0.19)


def grapes(b: Brush) -> None:
    b.line([(0.5, 0.24), (0.5, 0.02)], 0.035, "wood")
    b.polygon(smooth([(0.5, 0.14), (0.66, 0.02), (0.84, 0.12), (0.68, 0.22)]), "leaf")
    for row, count in enumerate((4, 3, 3, 2, 1)):
        for place in range(count):
            b.oval(0.5 + (place - (count - 1) / 2) * 0.21, 0.3 + row * 0.15, 0.115, 0.115)


def mushroom(b: Brush) -> None:
    b.polygon(smooth([(0.38, 0.5), (0.62, 0.5), (0.68, 0.94), (0.32, 0.94)]), "cream")
    b.polygon([*arc(0.5, 0.54, 0.46, 0.46, 180, 360), (0.5, 0.6)])
    for x, y in ((0.3, 0.38), (0.52, 0.24), (0.7, 0.4)):
        b.dot(x, y, 0.055, "snow")


def watermelon(b: Brush) -> None:
    b.polygon(arc(0.5, 0.3, 0.5, 0.5, 0, 180), "leaf")
    b.polygon(arc(0.5, 0.3, 0.42, 0.42, 0, 180), "rose")
    for x, y in ((0.3, 0.42), (0.5, 0.56), (0.7, 0.42), (0.5, 0.38)):
        b.dot(x, y, 0.024)


def burger(b: Brush) -> None:
    b.polygon(smooth([(0.06, 0.72), (0.94, 0.72), (0.9, 0.92), (0.1, 0.92)]), "wood")
    b.rectangle(0.04, 0.62, 0.96, 0.74, "ink")
    b.polygon(
        [(0.0, 0.54), (1.0, 0.54), (0.9, 0.64), (0.76, 0.58), (0.6, 0.66), (0.44, 0.58), (0.28, 0.66), (0.12, 0.58)],
        "leaf",
    )
    b.polygon([*arc(0.5, 0.52, 0.46, 0.4, 180, 360)], "gold")
    for x, y in ((0.34, 0.3), (0.5, 0.22), (0.66, 0.32)):
        b.dot(x, y, 0.022, "cream")
