"""How vehicles are drawn; each drives or flies to the right unless mirrored."""

from __future__ import annotations

from engine.sources.scenes.brush import MAIN, Brush, arc, smooth


def _wheels(b: Brush, xs: tuple[float, ...], y: float, radius: float) -> None:
    for x in xs:
        b.oval(x, y, radius, radius, "ink")
        b.dot(x, y, radius * 0.45, "steel")


def car(b: Brush) -> None:
    roof = 0.3 + b.jitter(0.04)
    b.polygon(
        [(0.0, 0.7), (0.02, 0.52), (0.2, 0.48), (0.32, roof), (0.66, roof), (0.8, 0.48), (0.97, 0.54), (1.0, 0.7)]
    )
    b.polygon([(0.27, 0.48), (0.36, roof + 0.05), (0.48, roof + 0.05), (0.48, 0.48)], "glass")
    b.polygon([(0.52, 0.48), (0.52, roof + 0.05), (0.63, roof + 0.05), (0.73, 0.48)], "glass")
    b.dot(0.96, 0.58, 0.025, "gold")
    _wheels(b, (0.23, 0.77), 0.71, 0.11)


def bus(b: Brush) -> None:
    b.rectangle(0.0, 0.22, 1.0, 0.76)
    for x in (0.06, 0.24, 0.42, 0.6):
        b.rectangle(x, 0.31, x + 0.14, 0.48, "glass")
    b.rectangle(0.8, 0.31, 0.95, 0.74, "glass")
    _wheels(b, (0.2, 0.68), 0.77, 0.1)


def truck(b: Brush) -> None:
    b.rectangle(0.0, 0.2, 0.6, 0.7)
    b.polygon([(0.64, 0.7), (0.64, 0.36), (0.84, 0.36), (0.97, 0.54), (0.99, 0.7)], "dark")
    b.polygon([(0.7, 0.52), (0.7, 0.41), (0.82, 0.41), (0.9, 0.52)], "glass")
    b.line([(0.0, 0.71), (0.98, 0.71)], 0.03, "ink")
    _wheels(b, (0.14, 0.34, 0.8), 0.75, 0.095)


def bicycle(b: Brush) -> None:
    for x in (0.22, 0.78):
        b.line(arc(x, 0.66, 0.2, 0.2, 0, 360), 0.03, "ink")
    frame = [(0.22, 0.66), (0.38, 0.36), (0.68, 0.36), (0.48, 0.66), (0.22, 0.66)]
    b.line(frame, 0.03, MAIN)
    b.line([(0.38, 0.36), (0.48, 0.66)], 0.03, MAIN)
    b.line([(0.78, 0.66), (0.66, 0.24), (0.76, 0.2)], 0.03, MAIN)
    b.line([(0.3, 0.29), (0.44, 0.29)], 0.05, "ink")


def boat(b: Brush) -> None:
    b.line([(0.48, 0.72), (0.48, 0.04)], 0.03, "wood")
    b.polygon([(0.52, 0.06), (0.92, 0.58), (0.52, 0.62)], "snow")
    b.polygon([(0.44, 0.16), (0.44, 0.6), (0.16 + b.jitter(0.04), 0.58)], "snow")
    b.polygon([(0.02, 0.68), (0.98, 0.68), (0.8, 0.94), (0.2, 0.94)])


def airplane(b: Brush) -> None:
    b.polygon([(0.42, 0.46), (0.3, 0.16), (0.42, 0.16), (0.64, 0.46)], "dark")
    b.polygon([(0.04, 0.46), (0.0, 0.24), (0.1, 0.24), (0.22, 0.44)], "dark")
    b.polygon(smooth([(0.02, 0.46), (0.3, 0.42), (0.8, 0.41), (1.0, 0.52), (0.8, 0.61), (0.3, 0.6)]))
    b.polygon([(0.4, 0.54), (0.62, 0.54), (0.4, 0.88), (0.28, 0.88)], "dark")
    for x in (0.34, 0.46, 0.58, 0.7):
        b.dot(x, 0.49, 0.025, "glass")
    b.polygon([(0.84, 0.45), (0.93, 0.48), (0.84, 0.51)], "glass")


def train(b: Brush) -> None:
    b.rectangle(0.06, 0.12, 0.4, 0.72)
    b.rectangle(0.12, 0.2, 0.34, 0.4, "glass")
    b.rectangle(0.4, 0.4, 0.92, 0.72)
    b.polygon([(0.74, 0.4), (0.7, 0.14), (0.9, 0.14), (0.86, 0.4)], "ink")
    b.polygon([(0.92, 0.66), (1.0, 0.84), (0.9, 0.84)], "rose")
    b.rectangle(0.02, 0.09, 0.44, 0.14, "dark")
    _wheels(b, (0.2, 0.48, 0.66, 0.84), 0.8, 0.09)


def rocket(b: Brush) -> None:
    flame = 0.98 + b.jitter(0.02)
    b.polygon([(0.4, 0.76), (0.6, 0.76), (0.56, 0.88), (0.5, flame), (0.44, 0.88)], "gold")
    b.polygon([(0.36, 0.5), (0.18, 0.74), (0.2, 0.86), (0.4, 0.72)], "rose")
    b.polygon([(0.64, 0.5), (0.82, 0.74), (0.8, 0.86), (0.6, 0.72)], "rose")
    b.polygon(smooth([(0.5, 0.0), (0.64, 0.2), (0.67, 0.5), (0.6, 0.78), (0.4, 0.78), (0.33, 0.5), (0.36, 0.2)]))
    b.oval(0.5, 0.34, 0.085, 0.085, "glass")


def helicopter(b: Brush) -> None:
    b.line([(0.14 + b.jitter(0.04), 0.16), (0.98, 0.16)], 0.03, "ink")
    b.line([(0.58, 0.16), (0.58, 0.34)], 0.035, "ink")
    b.polygon([(0.4, 0.42), (0.04, 0.36), (0.04, 0.46), (0.4, 0.58)])
    b.oval(0.06, 0.36, 0.06, 0.12, "dark")
    b.oval(0.6, 0.52, 0.3, 0.2)
    b.polygon([*arc(0.62, 0.52, 0.24, 0.15, -70, 10), (0.64, 0.54)], "glass")
    b.line([(0.36, 0.84), (0.88, 0.84)], 0.03, "ink")
    b.line([(0.48, 0.7), (0.46, 0.84)], 0.02, "ink")
    b.line([(0.72, 0.7), (0.74, 0.84)], 0.02, "ink")


def tractor(b: Brush) -> None:
    b.line([(0.76, 0.42), (0.76, 0.18)], 0.04, "ink")
    b.rectangle(0.42, 0.42, 0.94, 0.66)
    b.polygon([(0.12, 0.62), (0.18, 0.12), (0.5, 0.12), (0.54, 0.62)])
    b.polygon([(0.23, 0.42), (0.25, 0.19), (0.44, 0.19), (0.46, 0.42)], "glass")
    _wheels(b, (0.28,), 0.7, 0.24)
    _wheels(b, (0.84,), 0.8, 0.13)


def hot_air_balloon(b: Brush) -> None:
    b.line([(0.34, 0.62), (0.42, 0.82)], 0.015)
    b.line([(0.66, 0.62), (0.58, 0.82)], 0.015)
    b.rectangle(0.4, 0.82, 0.6, 0.98, "wood")
    b.polygon(smooth([(0.5, 0.0), (0.8, 0.12), (0.88, 0.36), (0.66, 0.66), (0.34, 0.66), (0.12, 0.36), (0.2, 0.12)]))
    b.polygon(smooth([(0.5, 0.0), (0.62, 0.34), (0.56, 0.66), (0.44, 0.66), (0.38, 0.34)]), "light")
