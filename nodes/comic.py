"""Panels onto pages, and pages into files: `Fabula_ComicPage`, `Fabula_SaveComic`."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..comic.lettering import load_font
from ..comic.page import draw_page
from ..host import comic_file, folders
from ..host.images import to_images, to_pixels
from .types import StoryType


class ComicPage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_ComicPage",
            display_name="Comic Page",
            category="Fabula/comic",
            description="Lays the panels out on a page, each with its caption.",
            is_input_list=True,
            inputs=[
                io.Image.Input("images", tooltip="The panels, in the story's order: a batch, or a list of batches."),
                io.Combo.Input("layout", options=["grid"], default="grid", tooltip="grid: rows of equal panels."),
                io.Int.Input("page_width", default=1536, min=256, max=8192, step=8, tooltip="Width of the page in pixels."),
                io.Combo.Input("font", options=folders.font_names(), tooltip="Font of the captions. Put .ttf and .otf files into models/fonts."),
                io.Int.Input("font_size", default=30, min=6, max=400, tooltip="Size of the captions in pixels."),
                io.Int.Input("seed", default=0, min=0, max=2**63 - 1, control_after_generate=False, tooltip="Used by layouts that vary; grid does not."),
                StoryType.Input("story", optional=True, tooltip="Whose captions stand under the panels."),
            ],
            outputs=[io.Image.Output(display_name="pages", is_output_list=True, tooltip="A list of pages.")],
        )

    @classmethod
    def execute(cls, images, layout, page_width, font, font_size, seed, story=None) -> io.NodeOutput:
        pictures = [picture for batch in images for picture in to_images(batch)]
        captions = story[0].captions if story and story[0] else [""] * len(pictures)
        if len(captions) != len(pictures):
            raise ValueError(
                f"Fabula_ComicPage: input 'images' has {len(pictures)} pictures, but input 'story' has {len(captions)} panels. "
                "Connect the pictures of this very story, or leave 'story' open for a page without captions."
            )
        try:
            page = draw_page(pictures, captions, page_width[0], load_font(folders.font_path(font[0]), font_size[0]))
        except ValueError as error:
            raise ValueError(f"Fabula_ComicPage: {error}") from error
        return io.NodeOutput([to_pixels([page])])


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
        pictures = [picture for batch in pages for picture in batch]
        if not pictures:
            raise ValueError("Fabula_SaveComic: input 'pages' is empty. Connect the pages of Fabula_ComicPage.")
        if format[0] == "png":
            results = ui.ImageSaveHelper.save_images(pictures, filename_prefix[0], io.FolderType.output, cls)
            return io.NodeOutput(ui=ui.SavedImages(results))
        images = [to_images(picture[None])[0] for picture in pictures]
        name, subfolder = comic_file.save_book(images, filename_prefix[0], format[0], dpi[0])
        return io.NodeOutput(ui=ui.PreviewText(f"{len(images)} pages: {'/'.join(part for part in (subfolder, name) if part)}"))
