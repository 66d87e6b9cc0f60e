"""Draws a `Picture` of the demo world with Pillow, and the map of which pixel shows which part of whom."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw

from .poses import POSES, Point
from .scenery import draw_scenery
from .world import CLOTH, HAIR, PARTS, SKIN, Character, Figure, Picture, RGB

SIZE = 256  # pixels, both ways
OVERSAMPLING = 2
OUTLINE: RGB = (38, 32, 48)
PART_ID = {name: i + 1 for i, name in enumerate(PARTS)}  # 0: neither


@dataclass
class Canvas:
    """Draws in units of the final picture on an oversampled image, and every part into `parts` as well."""

    image: Image.Image
    parts: Image.Image

    def __post_init__(self) -> None:
        self._pens = (ImageDraw.Draw(self.image), ImageDraw.Draw(self.parts))

    def _inks(self, fill: RGB, part: str | None):
        return zip(self._pens, (fill, PART_ID.get(part, 0)))

    def ellipse(self, centre: Point, rx: float, ry: float, fill: RGB, part: str | None = None, outline: float = 2.2) -> None:
        x, y = centre
        for grow, colour, name in ((outline, OUTLINE, None), (0.0, fill, part)):
            box = [OVERSAMPLING * v for v in (x - rx - grow, y - ry - grow, x + rx + grow, y + ry + grow)]
            for pen, ink in self._inks(colour, name):
                pen.ellipse(box, fill=ink)

    def chord(self, centre: Point, rx: float, ry: float, start: float, end: float, fill: RGB, part: str | None = None) -> None:
        x, y = centre
        for grow, colour, name in ((2.2, OUTLINE, None), (0.0, fill, part)):
            box = [OVERSAMPLING * v for v in (x - rx - grow, y - ry - grow, x + rx + grow, y + ry + grow)]
            for pen, ink in self._inks(colour, name):
                pen.chord(box, start, end, fill=ink)

    def line(self, points: list[Point], width: float, fill: RGB, part: str | None = None, outline: float = 2.2) -> None:
        """A thick line with round joints and ends: a limb."""
        scaled = [(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in points]
        for grow, colour, name in ((outline, OUTLINE, None), (0.0, fill, part)):
            r = OVERSAMPLING * (width / 2 + grow)
            for pen, ink in self._inks(colour, name):
                pen.line(scaled, fill=ink, width=int(round(2 * r)))
                for x, y in scaled:
                    pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def polygon(self, points: list[Point], fill: RGB, part: str | None = None, outline: float = 2.2) -> None:
        scaled = [(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in points]
        for pen, ink in self._inks(OUTLINE, None):
            pen.line([*scaled, scaled[0], scaled[1]], fill=ink, width=int(2 * OVERSAMPLING * outline), joint="curve")
        for pen, ink in self._inks(fill, part):
            pen.polygon(scaled, fill=ink)


@dataclass(frozen=True)
class Body:
    """Lengths in pixels at scale 1."""

    leg: float
    torso: float
    head: float
    arm: float
    shoulder: float
    hip: float


CHILD = Body(leg=44, torso=46, head=35, arm=44, shoulder=19, hip=15)
ADULT = Body(leg=60, torso=58, head=32, arm=54, shoulder=23, hip=17)


GROUND = 236.0


def _draw_figure(canvas: Canvas, figure: Figure, width: int) -> None:
    who = figure.character
    body = CHILD if who.kind in ("girl", "boy") else ADULT
    pose = figure.pose or POSES[figure.action]
    s, face = figure.scale, figure.facing
    leg, arm, head = body.leg * s, body.arm * s, body.head * s
    x0 = figure.x * width
    hip_y = GROUND - (pose.hip + pose.lift) * leg - 6
    neck: Point = (x0 + face * pose.lean * body.torso * s, hip_y - body.torso * s)
    centre: Point = (neck[0] + face * pose.lean * 8, neck[1] - head * 0.82)
    skin, hair = SKIN[who.skin], HAIR[who.hair]
    top, bottom = CLOTH[who.top], CLOTH[who.bottom]
    shoes, hat = CLOTH[who.shoes], CLOTH[who.hat_colour]

    def limb(anchor: Point, joints: tuple[Point, Point], length: float) -> list[Point]:
        return [anchor, *((anchor[0] + face * dx * length, anchor[1] + dy * length) for dx, dy in joints)]

    canvas.ellipse((x0, GROUND + 1), 34 * s, 6 * s, (70, 66, 74), outline=0)
    prop = figure.prop if figure.prop > 0.1 else 0
    if figure.action == "sitting" and prop:
        _draw_bench(canvas, x0, GROUND - (GROUND - hip_y) * prop, s * prop)
    _draw_back_hair(canvas, who, centre, head, hair)

    hips = [(x0 + face * side * body.hip * 0.62 * s, hip_y) for side in (-1, 1)]
    shoulders = [(neck[0] + face * side * body.shoulder * 0.78 * s, neck[1] + 9 * s) for side in (-1, 1)]
    dress = who.outfit == "dress"
    arms = [limb(a, j, arm) for a, j in zip(shoulders, pose.arms)]
    in_front = figure.action in ("reading", "sitting") and prop > 0.5

    def draw_arm(points: list[Point]) -> None:
        canvas.line(points[1:], 10.5 * s, skin, "skin")
        canvas.ellipse(points[2], 6.6 * s, 6.6 * s, skin, "skin")
        sleeve = (points[1][0] * 0.45 + points[2][0] * 0.55, points[1][1] * 0.45 + points[2][1] * 0.55)
        canvas.line([points[0], points[1], sleeve], 14.5 * s, top, "top")

    for points, joints in zip([limb(h, j, leg) for h, j in zip(hips, pose.legs)], pose.legs):
        canvas.line(points, 16 * s, skin if dress else bottom, "skin" if dress else "bottom")
        toe = face if figure.action == "running" or figure.pose else (1 if joints[1][0] * face > 0 else -1)
        canvas.ellipse((points[2][0] + 4 * s * toe, points[2][1] + 3 * s), 12.5 * s, 7.8 * s, shoes, "shoes")
    if not in_front:
        for points in arms:
            draw_arm(points)
    _draw_torso(canvas, who, neck, (x0, hip_y), body, s, top, prop if figure.action == "sitting" else 0.0)
    if in_front:
        for points in arms:
            draw_arm(points)
    if figure.action == "reading" and prop:
        _draw_book(canvas, ((arms[0][2][0] + arms[1][2][0]) / 2, arms[0][2][1]), s * prop)
        for points in arms:
            canvas.ellipse(points[2], 6.6 * s, 6.6 * s, skin, "skin")
    if figure.action == "balloon" and prop:
        _draw_balloon(canvas, arms[1][2], face, s * prop)
    if who.hat != "none":
        canvas.line([(neck[0] - 13 * s, neck[1] + 3 * s), (neck[0] + 13 * s, neck[1] + 3 * s)], 13 * s, hat, "hat")
        canvas.line([(neck[0] - face * 9 * s, neck[1] + 6 * s), (neck[0] - face * 12 * s, neck[1] + 32 * s)], 11 * s, hat, "hat")
    _draw_head(canvas, who, centre, head, face, skin, hair, hat)


def _draw_torso(canvas: Canvas, who: Character, neck: Point, hip: Point, body: Body, s: float, top: RGB, seated: float) -> None:
    """seated: from 0 to 1; a long hem gathers on the seat."""
    hem = {"shirt": 8.0, "coat": 0.34 * body.leg, "dress": 0.5 * body.leg}[who.outfit] * s
    flare = {"shirt": 1.12, "coat": 1.5, "dress": 2.1}[who.outfit]
    hem += seated * (min(hem, 16 * s) - hem)
    w0, w1 = body.shoulder * s, body.hip * s * flare
    (nx, ny), (hx, hy) = neck, hip
    canvas.polygon(
        [(nx - w0 * 0.66, ny), (nx + w0 * 0.66, ny), (nx + w0, ny + 12 * s), (hx + w1, hy + hem), (hx - w1, hy + hem), (nx - w0, ny + 12 * s)],
        top, "top",
    )
    if who.outfit == "coat":
        for t in (0.3, 0.55, 0.8):
            canvas.ellipse((nx + (hx - nx) * t, ny + (hy - ny) * t + 4), 2.4 * s, 2.4 * s, OUTLINE, None, outline=0)


def _draw_back_hair(canvas: Canvas, who: Character, centre: Point, head: float, hair: RGB) -> None:
    x, y = centre
    if who.hair_style == "long":
        canvas.line([(x, y), (x, y + head * 1.05)], head * 2.05, hair, "hair")
    elif who.hair_style == "curly":
        for dx, dy in ((-0.95, 0.1), (0.95, 0.1), (-0.8, -0.5), (0.8, -0.5), (-0.85, 0.55), (0.85, 0.55)):
            canvas.ellipse((x + dx * head, y + dy * head), head * 0.42, head * 0.42, hair, "hair")
    elif who.hair_style == "bun":
        canvas.ellipse((x - head * 0.95, y - head * 0.6), head * 0.44, head * 0.44, hair, "hair")
        canvas.ellipse((x + head * 0.95, y - head * 0.6), head * 0.44, head * 0.44, hair, "hair")


def _draw_head(canvas: Canvas, who: Character, centre: Point, head: float, face: int, skin: RGB, hair: RGB, hat: RGB) -> None:
    x, y = centre
    canvas.ellipse(centre, head * 1.06, head * 1.02, hair, "hair")
    canvas.ellipse((x, y + head * 0.14), head * 0.9, head * 0.86, skin, "skin", outline=0)
    if who.beard:
        canvas.chord((x, y + head * 0.18), head * 0.9, head * 0.84, 12, 168, hair, "hair")
        canvas.line([(x - head * 0.22, y + head * 0.52), (x + head * 0.22, y + head * 0.52)], 5, (150, 60, 60), None, outline=0)
    else:
        canvas.chord((x + face * head * 0.1, y + head * 0.42), head * 0.26, head * 0.2, 10, 170, (176, 58, 64), None)
    if not who.beard:
        for side in (-1, 1):
            canvas.ellipse((x + face * head * 0.1 + side * head * 0.56, y + head * 0.4), head * 0.15, head * 0.1, (240, 150, 140), None, outline=0)
    for side in (-1, 1):
        canvas.ellipse((x + face * head * 0.1 + side * head * 0.36, y + head * 0.1), head * 0.1, head * 0.16, OUTLINE, None, outline=0)
    # The fringe, then the hat over it.
    canvas.chord((x, y - head * 0.02), head * 1.06, head * 1.0, 200, 340, hair, "hair")
    if who.hat == "cap":
        canvas.chord((x, y - head * 0.28), head * 1.1, head * 0.92, 180, 360, hat, "hat")
        canvas.line([(x + face * head * 0.2, y - head * 0.28), (x + face * head * 1.35, y - head * 0.26)], head * 0.24, hat, "hat")
    elif who.hat == "beanie":
        canvas.ellipse((x, y - head * 1.3), head * 0.28, head * 0.28, hat, "hat")
        canvas.chord((x, y - head * 0.3), head * 1.1, head * 1.0, 180, 360, hat, "hat")
        canvas.line([(x - head * 0.98, y - head * 0.36), (x + head * 0.98, y - head * 0.36)], head * 0.3, hat, "hat")
    elif who.hat == "sun hat":
        canvas.chord((x, y - head * 0.4), head * 0.86, head * 0.95, 180, 360, hat, "hat")
        canvas.ellipse((x, y - head * 0.42), head * 1.62, head * 0.26, hat, "hat")


def _draw_bench(canvas: Canvas, x: float, y: float, s: float) -> None:
    canvas.polygon([(x - 44 * s, y + 9), (x + 44 * s, y + 9), (x + 44 * s, y + 20), (x - 44 * s, y + 20)], (150, 102, 58))
    for side in (-1, 1):
        canvas.line([(x + side * 36 * s, y + 22), (x + side * 36 * s, GROUND)], 7, (120, 80, 46))


def _draw_book(canvas: Canvas, centre: Point, s: float) -> None:
    x, y = centre
    for side in (-1, 1):
        canvas.polygon([(x, y - 13 * s), (x + side * 29 * s, y - 19 * s), (x + side * 29 * s, y + 13 * s), (x, y + 19 * s)], (150, 52, 44))
        canvas.polygon([(x, y - 9 * s), (x + side * 25 * s, y - 15 * s), (x + side * 25 * s, y + 8 * s), (x, y + 14 * s)], (250, 246, 226), outline=0.8)


def _draw_balloon(canvas: Canvas, hand: Point, face: int, s: float) -> None:
    x, y = hand[0] + face * 9 * s, hand[1] - 74 * s
    canvas.line([hand, (x, y + 20 * s)], 1.6, OUTLINE, None, outline=0)
    canvas.ellipse((x, y), 22 * s, 27 * s, (226, 50, 66), None)
    canvas.ellipse((x - 7 * s, y - 10 * s), 5 * s, 7 * s, (255, 190, 196), None, outline=0)


def draw_picture(picture: Picture, size: tuple[int, int] = (SIZE, SIZE)) -> tuple[Image.Image, Image.Image]:
    """Draws `picture` at `size` (width, height).

    Returns the RGB image and the part map: mode L, 0 where no part is seen, else `PART_ID[part]`; of two figures the
    second one's parts carry `len(PARTS)` more.
    """
    return draw_figures(draw_background(picture, size), picture.figures)


def draw_background(picture: Picture, size: tuple[int, int] = (SIZE, SIZE)) -> Image.Image:
    """The picture without its figures, `OVERSAMPLING` times as large as `size`."""
    image = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    draw_scenery(image, picture, OVERSAMPLING)
    return image


def draw_figures(background: Image.Image, figures: tuple[Figure, ...]) -> tuple[Image.Image, Image.Image]:
    """Figures on a background of `draw_background`, which is left as it is; returns what `draw_picture` does."""
    big, size = background.size, (background.width // OVERSAMPLING, background.height // OVERSAMPLING)
    canvas = Canvas(background.copy(), Image.new("L", big))
    parts = Image.new("L", big)
    for number, figure in enumerate(figures):
        layer = Canvas(canvas.image, Image.new("L", big))
        # A pixel of the layer that is drawn over, even by an outline, hides what stood there before.
        before = canvas.image.copy() if number else background
        _draw_figure(layer, figure, size[0])
        shift = number * len(PARTS)
        touched = _difference_mask(before, canvas.image) if number else None
        shown = layer.parts.point(lambda v, shift=shift: v + shift if v else 0)
        parts.paste(shown, mask=touched)
    return canvas.image.resize(size, Image.LANCZOS), parts.resize(size, Image.NEAREST)


def _difference_mask(before: Image.Image, after: Image.Image) -> Image.Image:
    return ImageChops.difference(before, after).convert("L").point(lambda v: 255 if v else 0)

