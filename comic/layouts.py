"""How panels share a page: which stand in a row, and where that puts each.

A layout first divides the panels into pages of rows. A row has columns in the order in which they are read; a column is a
panel, or several one under the other. Then `place_row` gives each its box: all panels of a row are as high, and as wide as their
shapes want, so that the row fills the page's width.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

LAYOUTS = ("grid", "classic", "four panel", "manga", "webtoon", "storyboard", "free")
MOST_COLUMNS = 4  # of a grid: with more, captions become too narrow to read; the page grows downwards instead
MOST_IN_ROW = 12  # of a free layout
STRETCH = 1.5  # how much higher, or lower, rows may become to fill a page of a given height

Column = tuple[int, ...]
Row = tuple[Column, ...]


@dataclass(frozen=True)
class Cell:
    """A panel's place in its row: its picture's frame in pixels, with its border. `panel` counts from 0."""

    panel: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Plan:
    """The pages' rows. `columns`: how many a row has at least, empty ones counted; 1 where each row is as wide as the page. `shapes`: width / height
    that the layout wants for pictures, by panel."""

    pages: tuple[tuple[Row, ...], ...]
    columns: int = 1
    shapes: dict[int, float] = field(default_factory=dict)


def plan_grid(count: int) -> Plan:
    """Rows of equal panels on one page."""
    rows, wide = grid_shape(count)
    return Plan((tuple(_row(range(at * wide, min(count, (at + 1) * wide))) for at in range(rows)),), wide)


def grid_shape(count: int, columns: int | None = None) -> tuple[int, int]:
    """(rows, columns) for `count` panels: near-square, few empty cells, at most MOST_COLUMNS wide; 6 are 2 rows of 3.

    `columns` overrides the choice.
    """
    if columns is not None:
        return -(-count // columns), columns
    shapes = [(-(-count // wide), wide) for wide in range(1, min(count, MOST_COLUMNS) + 1)]

    def cost(shape: tuple[int, int]) -> tuple[int, int, int]:
        rows, wide = shape
        empty = rows * wide - count
        return 2 * empty + abs(wide - rows), empty, -wide

    return min(shapes, key=cost)


def plan_classic(count: int, seed: int) -> Plan:
    """StoryDiffusion's: rows of four panels, for more than eight panels of four and six in turn; two, or four, of a row stand in columns of
    two. The columns' order is shuffled. What is left over at the end makes smaller rows."""
    shuffle = random.Random(seed).shuffle
    rows, start, sizes = [], 0, _classic_sizes(count)
    for size in sizes:
        columns = {1: [1], 2: [1, 1], 3: [1, 1, 1], 4: [1, 1, 2], 5: [1, 2, 2], 6: [1, 1, 2, 2]}[size]
        shuffle(columns)
        row = []
        for column in columns:
            row.append(tuple(range(start, start + column)))
            start += column
        rows.append(tuple(row))
    return Plan((tuple(rows),))


def plan_four_panel(count: int) -> Plan:
    """StoryDiffusion's: two rows of two on each page; places without a panel stay empty."""
    starts = range(0, count, 4)
    return Plan(tuple(tuple(_row(range(at, min(count, at + 2))) for at in range(page, min(count, page + 4), 2)) for page in starts), 2)


def plan_manga(count: int, seed: int, page_shape: float) -> Plan:
    """Pages of up to six panels in rows of one to three, of unequal widths and heights. `page_shape`: width / height of a page."""
    draw = random.Random(seed)
    pages, shapes, start = [], {}, 0
    for size in _even(count, 6):
        counts = draw.choice(_MANGA[size])
        heights = [draw.choice((0.9, 1.0, 1.2)) * (1.15 if wide == 1 else 1.0) for wide in counts]
        rows = []
        for wide, height in zip(counts, heights):
            widths = [draw.choice((0.8, 1.0, 1.25)) for _ in range(wide)]
            rows.append(_row(range(start, start + wide)))
            for place, width in enumerate(widths):
                # A page of fewer rows than three is not stretched: a lone picture would be cut to a column.
                row_height = height / sum(heights) * min(1.0, len(counts) / 3)
                shapes[start + place] = page_shape * width / sum(widths) / row_height
            start += wide
        pages.append(tuple(rows))
    return Plan(tuple(pages), shapes=shapes)


def plan_free(count: int, pattern: Sequence[int]) -> Plan:
    """Rows of as many panels as `pattern` says, page after page."""
    pages, start = [], 0
    while start < count:
        rows = []
        for wide in pattern:
            if start < count:
                rows.append(_row(range(start, min(count, start + wide))))
                start += wide
        pages.append(tuple(rows))
    return Plan(tuple(pages))


def read_pattern(text: str) -> tuple[int, ...]:
    """`2,1,3` as numbers. Raises: ValueError for anything else."""
    parts = text.replace("\uff0c", ",").split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= MOST_IN_ROW for part in parts if len(part) < 9) or max(map(len, parts)) >= 9:
        raise ValueError(
            f'rows: "{text[:80]}" is no list of rows. Write how many panels each row of a page has, from 1 to {MOST_IN_ROW}: 2,1,3.'
        )
    return tuple(map(int, parts))


def place_row(row: Row, shapes: Sequence[float], width: int, gutter: int, border: int, columns: int = 1) -> list[Cell]:
    """A row's cells, from its top left corner, the first to the left.

    Args:
        shapes: width / height of each panel's picture.
        width: of the row, in pixels. border: of a panel, gutter: between panels.
        columns: where the row has fewer, the rest of it stays empty, as wide as if columns of the row's middle shape stood there.
    """
    # The width of a column grows with the row's height: width = slope * height + offset.
    lines = []
    for column in row:
        total = sum(1 / shapes[panel] for panel in column)
        lines.append((1 / total, 2 * border - (2 * border * len(column) + gutter * (len(column) - 1)) / total))
    empty = max(0, columns - len(row))
    middle = sorted(lines)[len(lines) // 2]
    slope, offset = (sum(line[at] for line in [*lines, *[middle] * empty]) for at in (0, 1))
    height = int((width - gutter * (len(row) + empty - 1) - offset) / slope + 1e-6)
    widths = [int(one * height + other + 1e-6) for one, other in lines]
    spare = width - sum(widths) - gutter * (len(row) - 1)
    if not empty and len(set(lines)) > 1:  # equal columns stay equal; what is left over is a pixel or two
        widths = [own + spare // len(widths) + (at < spare % len(widths)) for at, own in enumerate(widths)]
    cells, left = [], 0
    for column, own in zip(row, widths):
        cells += _stack(column, shapes, left, own, height, gutter, border)
        left += own + gutter
    return cells


def stretch_row(cells: Sequence[Cell], factor: float, gutter: int) -> list[Cell]:
    """The same row, higher or lower by a factor, with gutters as they were, in line above and below."""
    bottom = max(cell.top + cell.height for cell in cells)
    new_bottom = round(bottom * factor)
    stretched = []
    for cell in cells:
        top = round(cell.top * factor)
        lowest = cell.top + cell.height == bottom
        end = new_bottom if lowest else round((cell.top + cell.height + gutter) * factor) - gutter
        stretched.append(Cell(cell.panel, cell.left, top, cell.width, max(1, end - top)))
    return stretched


def _stack(column: Column, shapes: Sequence[float], left: int, width: int, height: int, gutter: int, border: int) -> list[Cell]:
    total = sum(1 / shapes[panel] for panel in column)
    pictures = height - gutter * (len(column) - 1) - 2 * border * len(column)
    cells, top = [], 0
    for place, panel in enumerate(column):
        own = round(pictures / shapes[panel] / total) + 2 * border if place < len(column) - 1 else height - top
        cells.append(Cell(panel, left, top, width, own))
        top += own + gutter
    return cells


def _row(panels: Sequence[int]) -> Row:
    return tuple((panel,) for panel in panels)


def _classic_sizes(count: int) -> list[int]:
    sizes, wanted = [], [4] if count <= 8 else [4, 6]
    while sum(sizes) < count:
        sizes.append(min(wanted[len(sizes) % len(wanted)], count - sum(sizes)))
    if sizes[-1] == 1 and len(sizes) > 1:  # a last row of one panel would be as high as the page is wide
        sizes[-2:] = [sizes[-2] - 1, 2]
    return sizes


def _even(count: int, most: int) -> list[int]:
    """`count` in parts of at most `most`, of like size, the larger ones first."""
    parts = -(-count // most)
    return [count // parts + (at < count % parts) for at in range(parts)]


_MANGA = {
    1: [(1,)], 2: [(1, 1)], 3: [(1, 2), (2, 1)], 4: [(1, 2, 1), (2, 1, 1), (1, 1, 2)], 5: [(2, 1, 2), (1, 2, 2), (2, 2, 1)],
    6: [(2, 2, 2), (1, 2, 3), (2, 1, 3), (3, 1, 2), (3, 2, 1)],
}
