"""What a page is made of: its panels, and how it shall look."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from .typeface import Typeface

INK, CAPTION_PAPER = (28, 26, 24), (251, 247, 236)
CAPTIONS = ("auto", "strip", "box", "outlined", "none")


@dataclass(frozen=True)
class Balloon:
    """What is said in a panel. `name`: who says it. `speaker`: where in the picture that is (mode L, of any size); None where nobody knows.
    `outside`: who says it is not in the picture."""

    text: str
    name: str = ""
    speaker: Image.Image | None = None
    outside: bool = False


@dataclass(frozen=True)
class ComicPanel:
    """A panel for a page.

    caption: the text for it; empty for none. prompt: what the picture was drawn from, for a storyboard.
    keep_free: mode L, of any size, white where the character is: the picture is cut to its cell around it, and nothing covers it.
    shape: width / height of its picture on the page, where the layout leaves a choice; None: as the layout has it.
    """

    picture: Image.Image
    caption: str = ""
    balloons: tuple[Balloon, ...] = ()
    prompt: str = ""
    keep_free: Image.Image | None = None
    shape: float | None = None

    @property
    def own_shape(self) -> float:
        """The shape that it wants, else that of its picture."""
        return self.shape or self.picture.width / self.picture.height


@dataclass(frozen=True)
class Lettering:
    """How text is set. `size`: of the letters, in pixels, at most. `vertical`: balloons are written from top to bottom.
    `shadow`: under balloons, boxes, and letters straight on the picture."""

    face: Typeface
    size: float
    vertical: bool = False
    right_to_left: bool = False
    shadow: bool = False


@dataclass(frozen=True)
class PageStyle:
    """How pages look.

    layout: one of LAYOUTS. width: of a page. height: of a page; None where it follows from what stands on it.
    captions: one of CAPTIONS: under the picture, in a box or in outlined letters on it, none, or as the layout has them.
    gutter: between panels, border: of a panel; None: by the page's width.
    rows: of the layout "free". seed: of layouts that vary.
    """

    layout: str
    width: int
    lettering: Lettering
    height: int | None = None
    captions: str = "auto"
    gutter: int | None = None
    border: int | None = None
    rows: tuple[int, ...] = ()
    seed: int = 0
