"""How animals and people-like figures are drawn; each faces right unless mirrored."""

from __future__ import annotations

from engine.sources.scenes.brush import MAIN, Brush, arc, smooth


def _legs(b: Brush, xs: tuple[float, ...], top: float, bottom: float, width: float, fill: str = MAIN) -> None:
    for x in xs:
        b.line([(x, top), (x + b.jitter(0.05), bottom)], width, fill)


def dog(b: Brush) -> None:
    wag = b.jitter(0.1)
    b.line(smooth([(0.2, 0.5), (0.08, 0.4), (0.06 + wag, 0.22)], closed=False), 0.06, MAIN)
    _legs(b, (0.22, 0.34, 0.6, 0.7), 0.65, 0.94, 0.075)
    b.polygon(smooth([(0.14, 0.5), (0.4, 0.46), (0.72, 0.42), (0.76, 0.64), (0.45, 0.72), (0.16, 0.7)]))
    b.oval(0.76, 0.32, 0.15, 0.14)
    b.oval(0.89, 0.37, 0.1, 0.075)
    b.polygon(smooth([(0.66, 0.2), (0.74, 0.26), (0.7, 0.5), (0.6, 0.44)]), "dark")
    b.dot(0.8, 0.28, 0.022)
    b.dot(0.97, 0.35, 0.03)


def cat(b: Brush) -> None:
    b.line(smooth([(0.3, 0.88), (0.06, 0.86), (0.08, 0.55 + b.jitter(0.1)), (0.18, 0.42)], closed=False), 0.06, MAIN)
    b.polygon(smooth([(0.5, 0.36), (0.74, 0.6), (0.76, 0.94), (0.24, 0.94), (0.26, 0.6)]))
    b.polygon([(0.27, 0.3), (0.28, 0.04), (0.46, 0.16)])
    b.polygon([(0.73, 0.3), (0.72, 0.04), (0.54, 0.16)])
    b.oval(0.5, 0.32, 0.26, 0.21)
    for side in (-1, 1):
        b.oval(0.5 + side * 0.1, 0.29, 0.035, 0.05, "snow")
        b.dot(0.5 + side * 0.1, 0.3, 0.022)
        b.line([(0.5 + side * 0.1, 0.41), (0.5 + side * 0.3, 0.38)], 0.01)
    b.polygon([(0.46, 0.37), (0.54, 0.37), (0.5, 0.42)], "rose")


def bird(b: Brush) -> None:
    b.line([(0.45, 0.75), (0.43, 0.95)], 0.025)
    b.line([(0.55, 0.75), (0.56, 0.95)], 0.025)
    b.polygon([(0.25, 0.5), (0.0, 0.34), (0.02, 0.56), (0.28, 0.68)], "dark")
    b.polygon(smooth([(0.2, 0.52), (0.5, 0.36), (0.78, 0.46), (0.7, 0.72), (0.42, 0.8)]))
    b.oval(0.72, 0.3, 0.16, 0.15)
    b.polygon([(0.86, 0.25), (1.0, 0.32), (0.86, 0.37)], "gold")
    lift = b.jitter(0.12)
    b.polygon(smooth([(0.3, 0.52), (0.6, 0.5), (0.5, 0.68 + lift), (0.22, 0.66 + lift)]), "dark")
    b.dot(0.76, 0.27, 0.025)


def fish(b: Brush) -> None:
    b.polygon([(0.28, 0.5), (0.0, 0.24 + b.jitter(0.05)), (0.07, 0.5), (0.0, 0.76 + b.jitter(0.05))], "dark")
    b.polygon(smooth([(0.4, 0.3), (0.55, 0.12), (0.68, 0.3)]), "dark")
    b.polygon(smooth([(0.2, 0.5), (0.45, 0.26), (0.75, 0.27), (0.98, 0.5), (0.75, 0.73), (0.45, 0.74)]))
    b.polygon(smooth([(0.5, 0.55), (0.62, 0.5), (0.5, 0.68), (0.42, 0.68)]), "light")
    b.oval(0.82, 0.42, 0.05, 0.05, "snow")
    b.dot(0.83, 0.42, 0.025)


def butterfly(b: Brush) -> None:
    spread = 0.46 + b.jitter(0.04)
    for side in (-1, 1):
        b.polygon(
            smooth([(0.5, 0.48), (0.5 + side * 0.2, 0.12), (0.5 + side * spread, 0.12), (0.5 + side * 0.4, 0.44)])
        )
        b.polygon(
            smooth([(0.5, 0.52), (0.5 + side * 0.34, 0.54), (0.5 + side * 0.34, 0.82), (0.5 + side * 0.14, 0.86)])
        )
        b.oval(0.5 + side * 0.3, 0.27, 0.06, 0.06, "light")
        b.line([(0.5, 0.28), (0.5 + side * 0.12, 0.08)], 0.015)
    b.oval(0.5, 0.5, 0.045, 0.28, "ink")


def snail(b: Brush) -> None:
    b.polygon(
        smooth([(0.04, 0.9), (0.3, 0.74), (0.7, 0.74), (0.78, 0.5), (0.9, 0.48), (0.96, 0.62), (0.84, 0.92)]), "cream"
    )
    b.line([(0.84, 0.5), (0.8, 0.32)], 0.02)
    b.line([(0.91, 0.5), (0.97, 0.33)], 0.02)
    b.dot(0.8, 0.31, 0.03)
    b.dot(0.97, 0.32, 0.03)
    b.oval(0.42, 0.52, 0.32, 0.32)
    b.oval(0.42, 0.52, 0.2, 0.2)
    b.oval(0.42, 0.52, 0.09, 0.09)


def turtle(b: Brush) -> None:
    b.polygon(smooth([(0.7, 0.6), (0.8, 0.36), (0.95, 0.36), (0.97, 0.5), (0.84, 0.68)]), "leaf")
    b.dot(0.9, 0.42, 0.02)
    b.polygon([(0.12, 0.68), (0.0, 0.76), (0.16, 0.74)], "leaf")
    for x in (0.28, 0.66):
        b.oval(x + b.jitter(0.03), 0.78, 0.08, 0.12, "leaf")
    b.polygon([*arc(0.46, 0.7, 0.38, 0.42, 180, 360), (0.84, 0.74), (0.08, 0.74)])
    for x in (0.3, 0.48, 0.66):
        b.oval(x, 0.54, 0.07, 0.07, "dark")


def rabbit(b: Brush) -> None:
    for x, lean in ((0.6, -0.04), (0.74, 0.03)):
        b.oval(x + lean, 0.2, 0.06, 0.2, tilt=b.jitter(10))
        b.oval(x + lean, 0.2, 0.025, 0.13, "rose", outline=False)
    b.oval(0.1, 0.7, 0.09, 0.09, "snow")
    b.polygon(smooth([(0.12, 0.7), (0.34, 0.48), (0.66, 0.6), (0.74, 0.92), (0.16, 0.94)]))
    b.oval(0.68, 0.48, 0.19, 0.17)
    b.dot(0.74, 0.44, 0.026)
    b.dot(0.86, 0.5, 0.024, "rose")


def horse(b: Brush) -> None:
    b.polygon(smooth([(0.16, 0.42), (0.02, 0.5), (0.04, 0.78), (0.12, 0.6)]), "dark")
    _legs(b, (0.2, 0.3, 0.58, 0.67), 0.58, 0.97, 0.06)
    b.polygon(smooth([(0.14, 0.42), (0.4, 0.42), (0.62, 0.36), (0.7, 0.6), (0.4, 0.64), (0.16, 0.62)]))
    b.polygon(
        [(0.55, 0.46), (0.68, 0.12), (0.8, 0.06), (0.84, 0.16), (0.97, 0.3), (0.92, 0.38), (0.8, 0.3), (0.72, 0.52)]
    )
    b.polygon([(0.5, 0.42), (0.64, 0.06), (0.73, 0.02), (0.74, 0.12), (0.6, 0.44)], "dark")
    b.dot(0.82, 0.19, 0.018)


def elephant(b: Brush) -> None:
    b.line([(0.08, 0.4), (0.02, 0.62)], 0.025)
    for x in (0.16, 0.3, 0.48, 0.6):
        b.rectangle(x - 0.055, 0.6, x + 0.055, 0.94)
    b.oval(0.36, 0.46, 0.32, 0.27)
    trunk = [(0.86, 0.34), (0.94, 0.56), (0.9 + b.jitter(0.06), 0.84)]
    b.line(smooth(trunk, closed=False), 0.085, MAIN)
    b.oval(0.74, 0.33, 0.17, 0.19)
    b.oval(0.62, 0.36, 0.13, 0.2, "dark")
    b.polygon([(0.8, 0.5), (0.9, 0.62), (0.78, 0.56)], "snow")
    b.dot(0.8, 0.29, 0.022)


def snake(b: Brush) -> None:
    bend = b.jitter(0.05)
    body = [
        (0.04, 0.78),
        (0.18, 0.6 + bend),
        (0.34, 0.78),
        (0.52, 0.6 + bend),
        (0.66, 0.74),
        (0.72, 0.44),
        (0.86, 0.32),
    ]
    b.line(smooth(body, closed=False), 0.11, MAIN)
    b.line([(0.95, 0.27), (1.0, 0.22)], 0.02, "rose")
    b.oval(0.87, 0.3, 0.11, 0.08, tilt=-20)
    b.dot(0.88, 0.26, 0.022)


def sheep(b: Brush) -> None:
    _legs(b, (0.26, 0.38, 0.58, 0.68), 0.66, 0.94, 0.05, "ink")
    puffs = [(0.2, 0.5), (0.32, 0.36), (0.5, 0.32), (0.66, 0.4), (0.72, 0.56), (0.56, 0.66), (0.38, 0.68), (0.22, 0.62)]
    for x, y in puffs:
        b.oval(x, y, 0.14, 0.14)
    b.oval(0.46, 0.5, 0.28, 0.2, outline=False)
    b.oval(0.84, 0.42, 0.12, 0.15, "ink", tilt=-20)
    b.dot(0.87, 0.38, 0.025, "snow")


def giraffe(b: Brush) -> None:
    _legs(b, (0.2, 0.3, 0.48, 0.56), 0.62, 0.98, 0.045)
    b.polygon([(0.12, 0.56), (0.46, 0.5), (0.66, 0.1), (0.76, 0.12), (0.62, 0.66), (0.14, 0.7)])
    b.polygon(smooth([(0.66, 0.04), (0.8, 0.06), (0.96, 0.16), (0.9, 0.22), (0.7, 0.18)]))
    b.line([(0.7, 0.05), (0.69, 0.0)], 0.02)
    b.dot(0.78, 0.1, 0.017)
    for x, y in ((0.24, 0.6), (0.38, 0.6), (0.5, 0.58), (0.56, 0.42), (0.62, 0.3), (0.66, 0.2)):
        b.dot(x, y, 0.032, "dark")


def penguin(b: Brush) -> None:
    flap = b.jitter(0.06)
    for x in (0.38, 0.62):
        b.oval(x, 0.94, 0.12, 0.045, "gold")
    b.oval(0.22, 0.56, 0.07, 0.22, "dark", tilt=20 + 100 * flap)
    b.oval(0.78, 0.56, 0.07, 0.22, "dark", tilt=-20 + 100 * flap)
    b.oval(0.5, 0.58, 0.28, 0.36)
    b.oval(0.5, 0.64, 0.19, 0.27, "snow", outline=False)
    b.oval(0.5, 0.2, 0.19, 0.18)
    b.dot(0.44, 0.17, 0.03, "snow")
    b.dot(0.56, 0.17, 0.03, "snow")
    b.polygon([(0.44, 0.24), (0.56, 0.24), (0.5, 0.34)], "gold")


def crab(b: Brush) -> None:
    for side in (-1, 1):
        for reach, y in ((0.44, 0.72), (0.4, 0.84), (0.32, 0.94)):
            b.line([(0.5 + side * 0.2, 0.62), (0.5 + side * reach, y - 0.12), (0.5 + side * reach, y)], 0.025)
        b.line([(0.5 + side * 0.26, 0.55), (0.5 + side * 0.4, 0.36)], 0.05, MAIN)
        b.polygon([*arc(0.5 + side * 0.38, 0.24, 0.12, 0.14, -60, 240), (0.5 + side * 0.38, 0.24)])
        b.line([(0.5 + side * 0.08, 0.48), (0.5 + side * 0.09, 0.36)], 0.02)
        b.dot(0.5 + side * 0.09, 0.35, 0.035)
    b.oval(0.5, 0.62, 0.3, 0.19)


def man(b: Brush) -> None:
    raised = b.jitter(0.2)
    for x in (0.42, 0.58):
        b.line([(x, 0.62), (x + b.jitter(0.05), 0.95)], 0.085, "ink")
    b.line([(0.36, 0.38), (0.2, 0.56 + raised)], 0.06, "skin")
    b.line([(0.64, 0.38), (0.8, 0.56 - raised)], 0.06, "skin")
    b.polygon([(0.34, 0.32), (0.66, 0.32), (0.66, 0.66), (0.34, 0.66)])
    b.oval(0.5, 0.18, 0.125, 0.14, "skin")
    b.polygon(arc(0.5, 0.15, 0.13, 0.12, 180, 360), "wood")
    b.dot(0.46, 0.19, 0.016)
    b.dot(0.55, 0.19, 0.016)


def woman(b: Brush) -> None:
    raised = b.jitter(0.15)
    b.polygon(smooth([(0.36, 0.12), (0.5, 0.03), (0.64, 0.12), (0.68, 0.4), (0.32, 0.4)]), "wood")
    for x in (0.43, 0.57):
        b.line([(x, 0.8), (x + b.jitter(0.03), 0.96)], 0.05, "skin")
    b.line([(0.4, 0.4), (0.24, 0.58 + raised)], 0.05, "skin")
    b.line([(0.6, 0.4), (0.76, 0.58 - raised)], 0.05, "skin")
    b.polygon([(0.4, 0.33), (0.6, 0.33), (0.58, 0.52), (0.76, 0.84), (0.24, 0.84), (0.42, 0.52)])
    b.oval(0.5, 0.2, 0.115, 0.135, "skin")
    b.polygon(arc(0.5, 0.16, 0.12, 0.1, 180, 360), "wood")
    b.dot(0.46, 0.21, 0.015)
    b.dot(0.54, 0.21, 0.015)


def robot(b: Brush) -> None:
    b.line([(0.5, 0.14), (0.5, 0.03)], 0.02)
    b.dot(0.5, 0.04, 0.04, "rose")
    for side in (-1, 1):
        b.line([(0.5 + side * 0.26, 0.5), (0.5 + side * 0.4, 0.66 + b.jitter(0.12))], 0.06, "steel")
        b.rectangle(0.5 + side * 0.13 - 0.06, 0.76, 0.5 + side * 0.13 + 0.06, 0.96, "steel")
    b.rectangle(0.24, 0.44, 0.76, 0.78)
    b.rectangle(0.3, 0.13, 0.7, 0.41)
    b.rectangle(0.36, 0.52, 0.64, 0.66, "glass")
    for x in (0.41, 0.59):
        b.oval(x, 0.25, 0.055, 0.055, "snow")
        b.dot(x, 0.25, 0.025)


def snowman(b: Brush) -> None:
    b.line([(0.3, 0.46), (0.08, 0.3 + b.jitter(0.1))], 0.025, "wood")
    b.line([(0.7, 0.46), (0.92, 0.3 + b.jitter(0.1))], 0.025, "wood")
    b.oval(0.5, 0.77, 0.27, 0.21)
    b.oval(0.5, 0.48, 0.2, 0.17)
    b.oval(0.5, 0.25, 0.15, 0.14)
    b.rectangle(0.39, 0.0, 0.61, 0.13, "ink")
    b.rectangle(0.32, 0.12, 0.68, 0.16, "ink")
    b.polygon([(0.4, 0.35), (0.62, 0.35), (0.68, 0.56), (0.58, 0.56), (0.54, 0.42), (0.4, 0.42)], "rose")
    b.dot(0.45, 0.22, 0.02)
    b.dot(0.55, 0.22, 0.02)
    b.polygon([(0.5, 0.25), (0.68, 0.29), (0.5, 0.3)], "gold", outline=False)


def spider(b: Brush) -> None:
    for side in (-1, 1):
        for knee, foot in ((0.2, 0.06), (0.36, 0.32), (0.52, 0.72), (0.62, 0.94)):
            b.line([(0.5, 0.5), (0.5 + side * 0.28, knee), (0.5 + side * 0.46, foot + b.jitter(0.04))], 0.025)
    b.oval(0.5, 0.62, 0.19, 0.2)
    b.oval(0.5, 0.38, 0.12, 0.11)
    b.dot(0.46, 0.35, 0.025, "snow")
    b.dot(0.54, 0.35, 0.025, "snow")
