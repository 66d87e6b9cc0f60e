"""Panels onto pages, and pages into files: `Fabula_ComicPage`, `Fabula_SaveComic`."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..comic.page_style import TEXT_DIRECTIONS, page_style
from ..comic.layouts import LAYOUTS
from ..comic.page import draw_pages
from ..comic.panel import CAPTIONS
from ..comic.paper import PAPERS
from ..host import comic_file, folders
from ..host.comic_panels import comic_panels
from ..host.images import to_images, to_pixels
from .choices import check_choices
from .types import StoryType


class ComicPage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_ComicPage",
            display_name="Comic Page",
            category="Fabula/comic",
            description="Lays the panels out on pages, with their captions and speech balloons.",
            is_input_list=True,
            inputs=[
                io.Image.Input("images", tooltip="The panels, in the story's order: a batch, or a list of batches."),
                io.Combo.Input(
                    "layout", options=list(LAYOUTS), default="grid",
                    tooltip="grid: rows of equal panels. classic: rows of four and six, some stacked. four panel: two rows of two a page. manga: from "
                    "right to left. webtoon: a tall strip, cut into files. storyboard: a table with the prompts. free: as 'rows' says.",
                ),
                io.Int.Input("page_width", default=1536, min=256, max=8192, step=8, tooltip="Width of a page in pixels, where it is not of a paper size."),
                io.Combo.Input("font", options=folders.font_names(), tooltip="Font of all text. Put .ttf and .otf files into models/fabula_fonts. What "
                               "it has not is drawn with the others there."),
                io.Int.Input("font_size", default=30, min=6, max=400, tooltip="Size of the letters in pixels. In balloons and boxes they become smaller "
                             "where there is no room."),
                io.Int.Input("seed", default=0, min=0, max=2**63 - 1, control_after_generate=False, tooltip="Of layouts that vary: classic, manga."),
                StoryType.Input("story", optional=True, tooltip="Whose captions and speech stand in the panels."),
                io.Combo.Input(
                    "captions", optional=True, options=list(CAPTIONS), default="auto",
                    tooltip="strip: under the picture. box: in it, where it is emptiest. outlined: letters straight on the picture. none. auto: as the "
                    "layout has them.",
                ),
                io.Combo.Input("paper", optional=True, options=list(PAPERS), default=PAPERS[0], tooltip="A page of this size at 'dpi'; or as wide as "
                               "page_width and as high as it takes."),
                io.Int.Input("dpi", optional=True, default=150, min=36, max=1200, tooltip="Pixels an inch of paper."),
                io.Int.Input("page_height", optional=True, default=0, min=0, max=16384, step=8, tooltip="Height of a page in pixels. 0: as high as it "
                             "takes. webtoon: of a file at most."),
                io.String.Input("rows", optional=True, default="2,1,3", tooltip="free: how many panels each row of a page has."),
                io.Int.Input("gutter", optional=True, default=-1, min=-1, max=400, tooltip="Pixels between panels. -1: by the page's width."),
                io.Int.Input("border", optional=True, default=-1, min=-1, max=100, tooltip="Pixels of a panel's border. -1: by the page's width."),
                io.Combo.Input(
                    "text_direction", optional=True, options=list(TEXT_DIRECTIONS), default="auto",
                    tooltip="Of balloons. auto: vertical in manga for Chinese and Japanese.",
                ),
                io.Boolean.Input("shadow", optional=True, default=False, tooltip="A soft shadow under balloons, boxes and outlined letters."),
                io.Mask.Input(
                    "masks", optional=True,
                    tooltip="Where the characters, or their faces, are: pictures are cut around them, nothing covers them, tails point to them. One a panel, "
                    "one for each character of each panel, or one for all.",
                ),
                io.Custom("BOUNDING_BOX").Input(
                    "face_boxes", optional=True, tooltip="Boxes of faces that nothing may cover: one, or a list, a panel.",
                    extra_dict={"forceInput": True},  # hosts of 2026 have a widget for one box, which would give an empty one
                ),
            ],
            outputs=[io.Image.Output(display_name="pages", is_output_list=True, tooltip="A list of pages.")],
        )

    @classmethod
    def execute(cls, images, font, story=(None,), masks=(), face_boxes=(), **choices) -> io.NodeOutput:
        chosen = {name: given[0] for name, given in choices.items()}
        check_choices(cls, **chosen)
        pictures = [picture for batch in images for picture in to_images(batch)]
        panels = comic_panels(pictures, story[0], [mask for mask in masks if mask is not None], [box for box in face_boxes if box not in (None, {})])
        try:
            style = page_style(panels, folders.typeface(font[0]), **chosen)
            pages = draw_pages(panels, style)
        except ValueError as error:
            raise ValueError(f"Fabula_ComicPage: {error}") from error
        return io.NodeOutput([to_pixels([page]) for page in pages])


class SaveComic(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_SaveComic",
            display_name="Save Comic",
            category="Fabula/comic",
            description="Saves all pages to the output folder: as PNG files with the workflow inside, or as one book (PDF, or CBZ for comic "
            "readers).",
            is_input_list=True,
            inputs=[
                io.Image.Input("pages", tooltip="The pages, from Comic Page."),
                io.String.Input("filename_prefix", default="comic", tooltip="The file's name; a number is added, nothing is overwritten."),
                io.Combo.Input("format", options=["png", *comic_file.WRITERS], default="png", tooltip="png: a file a page. pdf, cbz: one file."),
                io.Int.Input("dpi", optional=True, default=150, min=36, max=1200, tooltip="pdf: pixels of a page an inch of paper."),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, pages, filename_prefix, format, dpi=(150,)) -> io.NodeOutput:
        check_choices(cls, format=format[0])
        pictures = [picture for batch in pages for picture in batch]
        if not pictures:
            raise ValueError("Fabula_SaveComic: input 'pages' is empty. Connect the pages of Fabula_ComicPage.")
        if format[0] == "png":
            comic_file.check_prefix(filename_prefix[0])
            results = ui.ImageSaveHelper.save_images(pictures, filename_prefix[0], io.FolderType.output, cls)
            return io.NodeOutput(ui=ui.SavedImages(results))
        images = [to_images(picture[None])[0] for picture in pictures]
        name, subfolder = comic_file.save_book(images, filename_prefix[0], format[0], dpi[0])
        told = f"{len(images)} page{'s' if len(images) > 1 else ''}: {'/'.join(part for part in (subfolder, name) if part)}"
        # The first page as well: not every frontend shows texts.
        return io.NodeOutput(ui={**ui.PreviewImage(pictures[0][None], cls=cls).as_dict(), **ui.PreviewText(told).as_dict()})
