"""Places, light and weather of the demo world, drawn behind the figures."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageDraw

from .world import INDOORS, Picture, RGB

SKY: dict[str, tuple[RGB, RGB]] = {  # top, horizon
    "day": ((104, 178, 240), (206, 234, 250)),
    "sunset": ((120, 84, 160), (255, 168, 96)),
    "night": ((16, 20, 56), (52, 60, 116)),
}
LIGHT: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.8, 0.7),
    "night": (0.46, 0.5, 0.72),
}
HORIZON = 176


class Brush:
    """Draws in picture units; colours are lit by the time of day unless told otherwise."""

    def __init__(self, image: Image.Image, scale: int, light: tuple[float, float, float]):
        self._pen, self._scale, self._light = ImageDraw.Draw(image), scale, light

    def _lit(self, fill: RGB, glow: bool) -> RGB:
        return fill if glow else tuple(int(c * k) for c, k in zip(fill, self._light))

    def box(self, x0, y0, x1, y1, fill: RGB, glow: bool = False) -> None:
        self._pen.rectangle([v * self._scale for v in (x0, y0, x1, y1)], fill=self._lit(fill, glow))

    def oval(self, x, y, rx, ry, fill: RGB, glow: bool = False) -> None:
        self._pen.ellipse([v * self._scale for v in (x - rx, y - ry, x + rx, y + ry)], fill=self._lit(fill, glow))

    def poly(self, points, fill: RGB, glow: bool = False) -> None:
        self._pen.polygon([(x * self._scale, y * self._scale) for x, y in points], fill=self._lit(fill, glow))

    def line(self, points, width: float, fill: RGB, glow: bool = False) -> None:
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._pen.line(scaled, fill=self._lit(fill, glow), width=max(1, int(width * self._scale)))


def _gradient(width: int, height: int, top: RGB, bottom: RGB) -> Image.Image:
    t = np.linspace(0, 1, height)[:, None]
    column = (np.array(top) * (1 - t) + np.array(bottom) * t).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None, :], width, axis=1))


def _forest(b: Brush, w: int, rng: Random) -> None:
    b.box(0, HORIZON - 8, w, 256, (92, 150, 74))
    for x in range(-10, w + 30, 26):
        b.poly([(x - 26, HORIZON), (x, HORIZON - rng.randint(70, 104)), (x + 26, HORIZON)], (44, 104, 66))
    for x in (rng.uniform(0.02, 0.14) * w, rng.uniform(0.86, 0.98) * w):
        b.box(x - 11, 90, x + 11, 226, (112, 74, 46))
        for dx, dy, r in ((0, 44, 46), (-26, 72, 32), (26, 72, 32)):
            b.oval(x + dx, dy, r, r, (54, 132, 62))


def _beach(b: Brush, w: int, rng: Random) -> None:
    b.box(0, HORIZON - 32, w, HORIZON + 16, (38, 130, 190))
    for y in (HORIZON - 22, HORIZON - 6):
        x = rng.uniform(0, 0.5) * w
        b.line([(x, y), (x + 40, y)], 2.5, (170, 220, 240))
    b.box(0, HORIZON + 10, w, 256, (240, 214, 150))
    b.box(0, HORIZON + 6, w, HORIZON + 11, (240, 248, 250))
    x = rng.choice((rng.uniform(0.05, 0.16), rng.uniform(0.84, 0.95))) * w
    b.line([(x, 230), (x + 8, 150), (x + 2, 84)], 10, (142, 98, 58))
    for dx, dy in ((-44, 12), (44, 12), (-36, -22), (36, -22), (0, -36)):
        b.line([(x + 2, 84), (x + 2 + dx, 84 + dy)], 11, (62, 150, 70))


def _city(b: Brush, w: int, rng: Random) -> None:
    colours = ((168, 112, 98), (124, 134, 156), (190, 168, 128), (142, 152, 142))
    x = -6
    while x < w:
        width, top, colour = rng.randint(46, 62), rng.randint(40, 96), rng.choice(colours)
        b.box(x, top, x + width, HORIZON + 20, colour)
        for wy in range(top + 12, HORIZON - 4, 24):
            for wx in range(x + 9, x + width - 12, 18):
                b.box(wx, wy, wx + 9, wy + 13, (255, 232, 140), glow=True)
        x += width + 3
    b.box(0, HORIZON + 16, w, 256, (112, 112, 120))
    b.box(0, HORIZON + 16, w, HORIZON + 24, (186, 186, 186))
    for sx in range(0, w, 64):
        b.box(sx + 8, 244, sx + 40, 249, (236, 226, 150))


def _mountains(b: Brush, w: int, rng: Random) -> None:
    x = rng.randint(-50, -20)
    while x < w + 40:
        peak, half = rng.randint(42, 74), rng.randint(64, 82)
        b.poly([(x - half, HORIZON + 4), (x, peak), (x + half, HORIZON + 4)], (116, 128, 152))
        b.poly([(x - half * 0.36, peak + 44), (x, peak), (x + half * 0.36, peak + 44), (x + 8, peak + 34), (x - 8, peak + 50)], (248, 250, 255))
        x += rng.randint(76, 104)
    b.box(0, HORIZON, w, 256, (232, 240, 250))
    b.oval(w * rng.uniform(0.2, 0.8), HORIZON + 8, 90, 14, (232, 240, 250))


def _desert(b: Brush, w: int, rng: Random) -> None:
    b.poly([(0, HORIZON - 6), (w * 0.3, HORIZON - 34), (w * 0.62, HORIZON), (w * 0.84, HORIZON - 24), (w, HORIZON - 8), (w, 256), (0, 256)], (226, 164, 86))
    b.poly([(0, HORIZON + 26), (w * 0.5, HORIZON + 8), (w, HORIZON + 30), (w, 256), (0, 256)], (240, 186, 106))
    for x in (rng.uniform(0.06, 0.16) * w, rng.uniform(0.86, 0.94) * w):
        top = rng.randint(92, 116)
        b.line([(x, 216), (x, top)], 17, (58, 134, 82))
        b.oval(x, top, 8.5, 8.5, (58, 134, 82))
        b.line([(x, 168), (x + 22, 168), (x + 22, 136)], 11, (58, 134, 82))
        b.line([(x, 184), (x - 20, 184), (x - 20, 156)], 11, (58, 134, 82))


def _meadow(b: Brush, w: int, rng: Random) -> None:
    b.oval(w * 0.2, HORIZON + 44, w * 0.5, 76, (120, 190, 88))
    b.oval(w * 0.85, HORIZON + 50, w * 0.5, 76, (102, 176, 80))
    b.box(0, HORIZON + 14, w, 256, (130, 200, 92))
    x = rng.choice((0.14, 0.84)) * w
    b.box(x - 24, 112, x + 24, 164, (250, 240, 220))
    b.poly([(x - 32, 114), (x, 82), (x + 32, 114)], (196, 70, 60))
    b.box(x - 7, 138, x + 7, 164, (122, 80, 50))
    for _ in range(w // 12):
        fx, fy = rng.uniform(0, w), rng.uniform(HORIZON + 24, 252)
        b.oval(fx, fy, 4, 4, rng.choice(((250, 110, 130), (250, 230, 90), (250, 250, 250))))


def _library(b: Brush, w: int, rng: Random) -> None:
    b.box(0, 0, w, 256, (146, 96, 60))
    spines = ((168, 56, 52), (58, 92, 140), (66, 122, 82), (200, 160, 72), (122, 76, 122))
    for shelf in (14, 70, 126):
        b.box(0, shelf, w, shelf + 46, (84, 54, 36))
        x = 2
        while x < w:
            width, height = rng.randint(9, 15), rng.randint(32, 42)
            b.box(x, shelf + 46 - height, x + width, shelf + 46, rng.choice(spines))
            x += width + 2
    b.box(0, HORIZON + 12, w, 256, (176, 128, 82))
    b.oval(w * 0.5, 238, w * 0.42, 16, (150, 54, 58))


def _bedroom(b: Brush, w: int, rng: Random) -> None:
    b.box(0, 0, w, 256, (246, 214, 190))
    for x in range(8, w, 28):
        b.box(x, 0, x + 7, HORIZON + 10, (238, 200, 176))
    b.box(0, HORIZON + 8, w, 256, (200, 156, 110))
    x = rng.choice((0.0, 0.62)) * w
    b.box(x, 150, x + w * 0.38, 212, (104, 150, 206))
    b.box(x, 140, x + w * 0.38, 160, (250, 250, 250))
    b.box(x, 206, x + w * 0.38, 222, (130, 84, 50))


_PLACES = {
    "forest": _forest, "beach": _beach, "city": _city, "mountains": _mountains,
    "desert": _desert, "meadow": _meadow, "library": _library, "bedroom": _bedroom,
}


def _window(image: Image.Image, scale: int, picture: Picture, w: int, rng: Random) -> None:
    """Indoors, time and weather are seen through a window."""
    x = int(rng.choice((0.06, 0.66)) * w)
    sky = _gradient(66 * scale, 80 * scale, *SKY[picture.time])
    glow = Brush(sky, scale, (1, 1, 1))
    _weather(glow, picture.weather, 66, 80, rng)
    frame = Brush(image, scale, (1, 1, 1))
    frame.box(x - 6, 28, x + 72, 120, (250, 246, 238))
    image.paste(sky, (x * scale, 34 * scale))
    frame.box(x + 31, 34, x + 35, 114, (250, 246, 238))


def _celestial(b: Brush, picture: Picture, w: int, rng: Random) -> None:
    x = rng.uniform(0.12, 0.88) * w
    if picture.time == "night":
        b.oval(x, 40, 17, 17, (250, 246, 210), glow=True)
        b.oval(x + 8, 36, 14, 14, (24, 28, 66), glow=True)
        for _ in range(w // 10):
            b.oval(rng.uniform(0, w), rng.uniform(0, 120), 1.4, 1.4, (255, 255, 235), glow=True)
    elif picture.time == "sunset":
        b.oval(x, 136, 26, 26, (255, 226, 130), glow=True)
    elif picture.weather == "clear":
        b.oval(x, 36, 20, 20, (255, 232, 96), glow=True)
    if picture.weather != "clear" or rng.random() < 0.5:
        cloud = (255, 255, 255) if picture.weather == "clear" else (176, 182, 196)
        for _ in range(2 + w // 256):
            cx, cy = rng.uniform(0, w), rng.uniform(20, 60)
            for dx, r in ((-20, 13), (0, 19), (20, 13)):
                b.oval(cx + dx, cy, r * 1.2, r, cloud)


def _weather(b: Brush, weather: str, w: int, h: int, rng: Random) -> None:
    if weather == "rain":
        for _ in range(w * h // 700):
            x, y = rng.uniform(0, w), rng.uniform(0, h)
            b.line([(x, y), (x - 4, y + 15)], 1.7, (196, 214, 240), glow=True)
    elif weather == "snow":
        for _ in range(w * h // 800):
            b.oval(rng.uniform(0, w), rng.uniform(0, h), 2.5, 2.5, (255, 255, 255), glow=True)


def draw_scenery(image: Image.Image, picture: Picture, scale: int) -> None:
    """Paints the whole background of `picture` onto `image`, which is `scale` times the picture's size."""
    rng = Random(picture.look)
    w = image.width // scale
    indoors = picture.place in INDOORS
    light = LIGHT[picture.time]
    if indoors:
        light = tuple(0.35 + 0.65 * v for v in light)
    brush = Brush(image, scale, light)
    if not indoors:
        image.paste(_gradient(*image.size, *SKY[picture.time]))
        _celestial(brush, picture, w, rng)
    _PLACES[picture.place](brush, w, rng)
    if indoors:
        _window(image, scale, picture, w, rng)
    else:
        _weather(brush, picture.weather, w, 256, rng)
